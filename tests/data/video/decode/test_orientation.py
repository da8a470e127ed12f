"""Videos are read upright, however their files store the orientation."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from gsfnas.data.video._decode import check, decode
from gsfnas.data.video._pictures import upright

from .encode import WRITES_MATRIX, WRITES_ROTATION, written

# Orientation -> how the container's display matrix says it: the ends of a step to the right, and of a step down.
MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}


def quarters() -> np.ndarray:
    """Twelve frames that are white in the upper left, grey in the upper right."""
    frames = np.zeros((12, 32, 48, 3), np.uint8)
    frames[:, :16, :24], frames[:, :16, 24:] = 255, 128
    return frames


@pytest.mark.skipif(not WRITES_MATRIX, reason="this PyAV cannot write a display matrix")
@pytest.mark.parametrize("orientation", MATRICES)
@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_turned_video_stands_as_a_player_shows_it(folder: Path, orientation: int, suffix: str) -> None:
    right_x, right_y, down_x, down_y = (number << 16 for number in MATRICES[orientation])
    matrix = (right_x, right_y, 0, down_x, down_y, 0, 0, 0, 1 << 30)
    path = written(folder / f"turned{orientation}{suffix}", quarters(), "libx264", matrix=matrix, crf="1")
    images = decode(path, [0, 2, 11])
    expected = upright(quarters()[0], orientation)
    assert images.shape == (3, *expected.shape)
    assert expected.shape == ((48, 32, 3) if orientation > 4 else (32, 48, 3))
    for image in images:
        assert np.abs(image[4::8, 4::8].astype(int) - expected[4::8, 4::8]).max() < 8
    assert check(path) is None


@pytest.mark.skipif(not WRITES_ROTATION, reason="this PyAV cannot write a rotation")
@pytest.mark.parametrize(("degrees", "orientation"), [(90, 8), (180, 3), (-90, 6), (270, 6)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_degrees_are_counted_counterclockwise(folder: Path, degrees: int, orientation: int, suffix: str) -> None:
    path = written(folder / f"degrees{degrees}{suffix}", quarters(), "libx264", rotation=degrees, crf="1")
    expected = upright(quarters()[0], orientation)
    (image,) = decode(path, [3])
    assert image.shape == expected.shape
    assert np.abs(image[4::8, 4::8].astype(int) - expected[4::8, 4::8]).max() < 8


@pytest.mark.skipif(av.__version__.startswith("14."), reason="this PyAV does not filter packets on their way")
@pytest.mark.parametrize("turned", [range(12), range(1), range(6, 12)])
def test_frames_that_say_themselves_how_they_stand(folder: Path, turned: range) -> None:
    """H.264 may say it of each frame; where frames differ, all take the size of the first one that is asked for."""
    path = folder / f"frames{len(turned)}.mp4"
    flat = written(folder / "flat.mp4", quarters(), "libx264", crf="1", bf="0")
    with av.open(str(flat)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate([packet for packet in source.demux(video=0) if packet.size]):
            name = "h264_metadata=display_orientation=insert:rotate=90" if number in turned else "null"
            for changed in BitStreamFilterContext(name, source.streams.video[0]).filter(packet):
                changed.stream = stream
                container.mux(changed)
    images = decode(path, range(12))
    assert images.shape == ((12, 48, 32, 3) if 0 in turned else (12, 32, 48, 3))
    for number, image in enumerate(images):
        expected = upright(quarters()[0], 8 if number in turned else 1)
        corners = np.s_[[2, 2, -3, -3], [2, -3, 2, -3]]
        assert np.abs(image[corners].astype(int) - expected[corners]).max() < 8
    assert check(path) is None
