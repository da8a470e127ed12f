"""Frames by their index from real files, whole and damaged."""

import gc
import itertools
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext

from gsfnas.data.video import _decode, _index
from gsfnas.data.video._decode import DecodeError, FrameIndex, check, decode, frame_files, probe, scan
from gsfnas.data.video._pictures import upright

from .media import numbered, numbers_of, write_images, write_sound, write_video

# The encoder of PyAV 14 crashes.
HAS_HEVC = "libx265" in av.codecs_available and not av.__version__.startswith("14.")
WRITES_ROTATION = hasattr(av.video.stream.VideoStream, "set_display_rotation")
WRITES_MATRIX = hasattr(av.video.stream.VideoStream, "set_display_matrix")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    _index._remembered.clear()


@pytest.fixture
def kept_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file counts as a long one."""
    monkeypatch.setattr(_index, "_KEEP_BYTES", 0)


@pytest.fixture
def no_rescan(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("read through again")

    monkeypatch.setattr(_decode, "read_packets", fail)
    monkeypatch.setattr(_index, "read_packets", fail)


def written(
    path: Path,
    frames: Sequence[np.ndarray],
    codec: str,
    *,
    rotation: int = 0,
    matrix: Sequence[int] | None = None,
    stamps_ms: Sequence[int] | None = None,
    pix_fmt: str = "yuv420p",
    gop: int = 12,
    **options: str,
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt, stream.bit_rate, stream.gop_size = pix_fmt, 4_000_000, gop
        if rotation:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if stamps_ms is not None:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for number, image in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            if stamps_ms is not None:
                frame.pts, frame.time_base = stamps_ms[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def all_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def noise(count: int, height: int = 32, width: int = 48) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, height, width, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("media")


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".mkv", ".mov", ".avi"])
@pytest.mark.parametrize("gop", [5, 60])
def test_the_frames_asked_for_are_the_frames_returned(folder: Path, suffix: str, gop: int) -> None:
    path = write_video(folder / f"gop{gop}{suffix}", numbered(40), gop)
    assert probe(path).frames == 40
    generator = random.Random(gop)
    for _ in range(4):
        indices = sorted(generator.choices(range(40), k=6))
        images = decode(path, indices)
        assert images.shape == (6, 32, 48, 3)
        assert numbers_of(images) == indices
    assert numbers_of(decode(path, range(40))) == list(range(40))


@pytest.mark.parametrize("keep_bytes", [0, 1 << 20])
@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_decoding_jumps_to_the_key_frame_before(
    folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, keep_bytes: int
) -> None:
    monkeypatch.setattr(_index, "_KEEP_BYTES", keep_bytes)
    path = write_video(folder / f"jump{suffix}", numbered(60), gop=5)
    decoded = []
    frames = _decode._frames

    def counting(*arguments: object) -> Iterator[tuple[int, object]]:
        for stamp, frame in frames(*arguments):
            decoded.append(stamp)
            yield stamp, frame

    monkeypatch.setattr(_decode, "_frames", counting)
    for indices in ([2, 57], [57]):
        decoded.clear()
        assert numbers_of(decode(path, indices)) == indices
        assert len(decoded) < 20


def test_an_index_past_the_end_is_the_last_frame(folder: Path) -> None:
    path = write_video(folder / "short.mp4", numbered(4))
    assert numbers_of(decode(path, [0, 3, 9])) == [0, 3, 3]


@pytest.mark.parametrize("suffix", [".webm", ".mkv", ".avi"])
def test_a_truncated_file_gives_what_is_left(folder: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3)).astype(np.uint8)
    path = write_video(folder / f"cut{suffix}", noise, gop=5)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 6 // 10])
    frames = probe(path).frames
    assert 10 < frames < 40
    assert decode(path, [0, frames - 1, 39]).shape == (3, 32, 48, 3)


def test_damage_in_the_middle_repeats_the_frame_before(folder: Path) -> None:
    path = write_video(folder / "damaged.mkv", np.random.default_rng(0).integers(0, 255, (30, 32, 48, 3)).astype(np.uint8))
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 3000):
        data[place] = 0
    path.write_bytes(data)
    assert decode(path, list(range(0, 30, 5))).shape == (6, 32, 48, 3)


@pytest.mark.parametrize(("content", "reason"), [(b"", "cannot be opened"), (b"not a video" * 100, "cannot be opened")])
def test_what_is_no_video_says_why(folder: Path, content: bytes, reason: str) -> None:
    path = folder / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(DecodeError, match=reason):
        probe(path)


def test_an_mp4_without_its_end_cannot_be_opened(folder: Path) -> None:
    path = write_video(folder / "headless.mp4", numbered(10))
    path.write_bytes(path.read_bytes()[:600])
    with pytest.raises(DecodeError):
        probe(path)


def test_sound_alone_is_no_video(folder: Path) -> None:
    with pytest.raises(DecodeError, match="no video stream"):
        probe(write_sound(folder / "sound.mp4"))


def test_images_come_in_the_order_of_their_numbers(folder: Path) -> None:
    path = write_images(folder / "clip", list(numbered(12)))
    assert probe(path).frames == 12
    assert numbers_of(decode(path, [0, 1, 9, 11])) == [0, 1, 9, 11]


def test_images_of_several_sizes_take_the_first_ones(folder: Path) -> None:
    path = write_images(folder / "sizes", [*numbered(2, 33, 47), *numbered(1, 20, 20)])
    assert decode(path, [0, 1, 2]).shape == (3, 33, 47, 3)


def test_grey_images_and_damaged_ones(folder: Path) -> None:
    path = write_images(folder / "grey", [frame[..., 0] for frame in numbered(3)])
    assert decode(path, [0, 2]).shape == (2, 32, 48, 3)
    (path / "img_1.jpg").write_bytes(b"no")
    with pytest.raises(DecodeError, match=r"img_1\.jpg is no readable image"):
        probe(path)
    with pytest.raises(DecodeError, match="holds no images"):
        probe(write_images(folder / "none", []))


def test_the_digest_tells_contents_apart(folder: Path) -> None:
    one = write_video(folder / "one.mp4", numbered(5))
    other = write_video(folder / "other.mp4", numbered(6))
    assert probe(one).digest == probe(one).digest != probe(other).digest


@pytest.mark.parametrize("stamps", [None, 7])
@pytest.mark.parametrize("keep_bytes", [0, 1 << 20])
def test_files_without_time_stamps_are_read_by_counting(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stamps: int | None, keep_bytes: int
) -> None:
    path = write_video(folder / "stampless.mp4", numbered(20))
    make = _index._index
    monkeypatch.setattr(_index, "_index", lambda known, keys, stream: make([stamps] * len(known), keys, stream))
    monkeypatch.setattr(_index, "_KEEP_BYTES", keep_bytes)
    index = scan(path)
    assert index.counted
    assert len(index) == 20
    assert index.between(0.5, 1.0) == (5, 10)
    assert numbers_of(decode(path, [0, 3, 3, 19])) == [0, 3, 3, 19]
    assert numbers_of(decode(path, [4, 30], index)) == [4, 19]
    assert check(path) is check(path, (5, 9)) is None


@pytest.mark.parametrize("suffix", [".webm", ".mp4", ".mkv", ".avi"])
def test_the_index_counts_frames_and_finds_them_by_time(folder: Path, suffix: str) -> None:
    index = scan(write_video(folder / f"index{suffix}", numbered(40), gop=10))
    assert len(index) == 40
    assert not index.counted
    assert index.keys[0] == index.stamps[0]
    assert len(index.keys) >= 3
    assert set(index.keys) <= set(index.stamps)
    assert index.between(0, 4) == index.between(-1, 1e12) == index.between(-float("inf"), float("inf")) == (0, 40)
    assert index.between(1.0, 2.0) == (10, 20)
    assert index.between(0.95, 2.01) == (10, 21)
    assert index.between(1.01, 1.05) == (11, 11)
    assert index.between(2, 1) == (20, 20)
    assert index.between(9, 10) == (40, 40)


def test_the_ends_of_a_time_window_are_rounded_to_the_ticks_of_the_file() -> None:
    twelve_a_second = FrameIndex(np.array([5, 88, 172, 255]), np.array([5]), Fraction(1, 1000))
    assert [twelve_a_second.between(n / 12, (n + 1) / 12) for n in range(4)] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert FrameIndex(np.zeros(0, np.int64), np.zeros(0, np.int64), Fraction(1)).between(0, 1) == (0, 0)


def test_frames_at_uneven_times(folder: Path) -> None:
    times = [0, 40, 50, 200, 1000, 1010, 1500, 2500, 2540, 2600]
    path = written(folder / "uneven.mkv", numbered(10), "libx264", stamps_ms=times, crf="10", bf="2", gop=4)
    index = scan(path)
    assert index.stamps.tolist() == times
    assert index.between(0.04, 1.0) == (1, 4)
    assert index.between(1.0, 2.55) == (4, 9)
    assert numbers_of(decode(path, range(10), index)) == list(range(10))


CODECS = [
    ("libvpx-vp9", ".webm", {}),
    ("libvpx", ".webm", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ("libx264", ".mp4", {"bf": "3"}),
    ("libx264", ".mkv", {"bf": "3", "x264-params": "open-gop=1:b-pyramid=normal"}),
    ("libx264", ".avi", {"bf": "3"}),
    ("mpeg4", ".avi", {"bf": "2"}),
    ("mpeg4", ".mp4", {"bf": "2"}),
    ("mpeg4", ".mkv", {"bf": "0"}),
    ("mpeg2video", ".mpg", {"bf": "2"}),
    ("mpeg2video", ".mkv", {"bf": "0"}),
    ("mpeg1video", ".mkv", {"bf": "2"}),
    ("libx264", ".mkv", {"bf": "0"}),
    ("libx265", ".mp4", {"x265-params": "bframes=3:log-level=none"}),
    ("libx265", ".mkv", {"x265-params": "bframes=0:log-level=none"}),
    ("mjpeg", ".mkv", {}),
]
CODECS = [case for case in CODECS if case[0] != "libx265" or HAS_HEVC]


@pytest.mark.parametrize(
    ("codec", "suffix", "options"), CODECS, ids=lambda case: case if isinstance(case, str) else "-".join(case.values())
)
@pytest.mark.parametrize("keep_bytes", [0, 1 << 25])
def test_every_frame_is_the_one_that_decoding_in_order_gives(
    folder: Path, monkeypatch: pytest.MonkeyPatch, codec: str, suffix: str, options: dict[str, str], keep_bytes: int
) -> None:
    """Frames that no other refers to are left out on the way, and key frames jumped to: not one value may change."""
    monkeypatch.setattr(_index, "_KEEP_BYTES", keep_bytes)
    scene = np.concatenate([noise(1), *(np.roll(noise(1), step, 2) // 2 + noise(1) // 2 for step in range(35))])
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    path = written(folder / f"exact-{codec}{suffix}", scene, codec, pix_fmt=pix_fmt, **options)
    whole = all_frames(path)
    assert len(whole) == 36
    index = scan(path)
    generator = random.Random(0)
    choices = [[0], [35], [11, 12, 13], *(sorted(generator.sample(range(36), 5)) for _ in range(6))]
    for indices, known in itertools.product(choices, (None, index)):
        assert np.array_equal(decode(path, indices, known), whole[indices]), indices
    # Frames are told by their stamps wherever there are any.
    assert index.counted == ((codec, suffix) == ("libx264", ".avi"))
    assert check(path) is None
    for window in ((0, 1), (11, 14), (20, 36)):
        assert check(path, window) is None


def test_a_known_index_is_not_made_again(folder: Path, no_rescan: None, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(folder / "known.mp4", numbered(30))
    with monkeypatch.context() as allowed:
        allowed.setattr(_index, "read_packets", _READ_PACKETS)
        index = scan(path)
    assert scan(path) is index
    assert numbers_of(decode(path, [4, 25], index)) == [4, 25]
    os.utime(path, ns=(1, 1))
    with pytest.raises(AssertionError, match="read through again"):
        scan(path)


_READ_PACKETS = _index.read_packets


def test_the_second_window_of_a_long_file_does_not_read_through_it(
    folder: Path, kept_nowhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(folder / "long.mp4", numbered(30))
    reads = []
    monkeypatch.setattr(_decode, "read_packets", lambda *arguments: reads.append(1) or _READ_PACKETS(*arguments))
    for start in (0, 12, 20):
        assert numbers_of(decode(path, [start, start + 5])) == [start, start + 5]
    assert len(reads) == 1


def test_the_indices_not_used_for_longest_are_dropped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_index, "_NUM_REMEMBERED", 2)
    paths = [write_video(folder / f"lru{number}.mp4", numbered(2)) for number in range(3)]
    for path in (paths[0], paths[1], paths[0], paths[2]):
        scan(path)
    assert [_index.recall(path) is not None for path in paths] == [True, False, True]


class Cycle:
    """Garbage that lets other threads run while it is collected."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.sleep(0)


def test_many_threads_read_kept_indices_at_once(tmp_path: Path) -> None:
    # A SystemError of Python 3.11 otherwise, where threads meet inside ``ast``.
    index = FrameIndex(np.arange(5), np.array([0]), Fraction(1, 25), False)
    files = [tmp_path / f"{number}.npz" for number in range(300)]
    for file in files:
        _index.save(index, file)
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    gc.freeze()
    gc.set_threshold(7, 1, 1)
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            read = list(pool.map(lambda file: Cycle() and _index.load(file), files))
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        sys.setswitchinterval(interval)
    assert [None if kept is None else kept.stamps.tolist() for kept in read] == [[0, 1, 2, 3, 4]] * len(files)


def test_where_seeking_goes_too_far_the_file_is_read_from_its_start(
    folder: Path, kept_nowhere: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(folder / "seek.mp4", numbered(30), gop=10)
    container_type = type(av.open(str(path)))
    seeks = []

    class Late:
        def __init__(self, container: object) -> None:
            self._container = container

        def __getattr__(self, name: str) -> object:
            return getattr(self._container, name)

        def seek(self, key: int, **options: object) -> None:
            seeks.append(key)
            self._container.seek(10**9, **options)

    opened = _index.open_video

    def open_late(path: Path) -> tuple[object, object]:
        container, stream = opened(path)
        assert isinstance(container, container_type)
        return Late(container), stream

    monkeypatch.setattr(_decode, "open_video", open_late)
    assert numbers_of(decode(path, [15], scan(path))) == [15]
    assert check(path, (12, 16)) is None
    assert len(seeks) == 2


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


@pytest.mark.parametrize(("codec", "suffix", "pix_fmt"), [("libvpx-vp9", ".webm", "yuv420p"), ("libx264", ".mp4", "yuv444p")])
def test_odd_sizes(folder: Path, codec: str, suffix: str, pix_fmt: str) -> None:
    path = written(folder / f"odd{suffix}", numbered(6, 33, 47), codec, pix_fmt=pix_fmt)
    images = decode(path, [0, 5])
    assert images.shape == (2, 33, 47, 3)
    assert numbers_of(images) == [0, 5]


def test_a_size_that_changes_takes_the_first_ones(folder: Path) -> None:
    path = folder / "sizes.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for part, start in ((numbered(6), 0), (numbered(12, 48, 80)[6:], 6)):
            codec = av.CodecContext.create("libvpx-vp9", "w")
            codec.height, codec.width, codec.pix_fmt = *part.shape[1:3], "yuv420p"
            codec.time_base, codec.framerate, codec.bit_rate = Fraction(1, 10), 10, 4_000_000
            frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in part]
            for number, frame in enumerate(frames, start):
                frame.pts, frame.time_base = number, Fraction(1, 10)
            for packet in [packet for frame in [*frames, None] for packet in codec.encode(frame)]:
                packet.stream, packet.time_base = stream, Fraction(1, 10)
                container.mux(packet)
    assert decode(path, [0, 11]).shape == (2, 32, 48, 3)
    assert decode(path, [7, 11]).shape == (2, 48, 80, 3)
    assert numbers_of(decode(path, [2, 11])) == [2, 11]
    assert check(path) is None


@pytest.mark.skipif(not WRITES_ROTATION, reason="this PyAV cannot write a cover")
def test_a_cover_is_no_video(folder: Path) -> None:
    path = folder / "song.mp4"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("aac", rate=16000)
        sound.layout = "mono"
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 48, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(numbered(1)[0], format="rgb24")))
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    with pytest.raises(DecodeError, match="no video stream"):
        scan(path)


def test_what_is_not_there_says_so(folder: Path) -> None:
    for call in (probe, scan, lambda path: decode(path, [0])):
        with pytest.raises(DecodeError, match="no such file"):
            call(folder / "none.mp4")
    assert check(folder / "none.mp4") == "it cannot be opened (no such file or directory)"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_pipes_and_devices_are_not_waited_for(folder: Path) -> None:
    """Nobody ever writes to the pipe, and the device never ends."""
    os.mkfifo(folder / "pipe.mp4")
    (folder / "to_pipe.mp4").symlink_to("pipe.mp4")
    (folder / "endless.mp4").symlink_to("/dev/zero")
    for name in ("pipe.mp4", "to_pipe.mp4", "endless.mp4"):
        for call in (probe, scan, lambda path: decode(path, [0])):
            with pytest.raises(DecodeError, match="it is not a regular file"):
                call(folder / name)
        assert check(folder / name) == check(folder / name, (0, 1)) == "it is not a regular file"


@pytest.mark.parametrize("suffix", [".mp4", ""])
def test_what_is_made_of_each_frame_is_kept_in_its_place(folder: Path, suffix: str) -> None:
    """So that of large frames no more than one is in memory."""
    write = write_images if suffix == "" else write_video
    path = write(folder / f"prepared{suffix}", numbered(12))
    seen = []

    def prepare(image: np.ndarray) -> np.ndarray:
        seen.append(image.shape)
        return image[::4, ::4]

    assert np.array_equal(decode(path, [1, 4, 11], prepare=prepare), decode(path, [1, 4, 11])[:, ::4, ::4])
    assert seen == [(32, 48, 3)] * 3


def test_a_frame_may_not_be_much_longer_than_wide(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longer side grows with the short one, which is resized."""
    path = write_video(folder / "long.webm", numbered(3))
    monkeypatch.setattr(_index, "_MAX_RATIO", 1)
    with pytest.raises(DecodeError, match="a frame of it has 48 x 32 pixels; more than 1 to 1 are not decoded"):
        probe(path)


def test_a_text_file_opens_no_others(folder: Path) -> None:
    write_video(folder / "listed.mp4", numbered(3))
    for name, text in (
        ("concat.mp4", "ffconcat version 1.0\nfile listed.mp4\n"),
        ("list.mp4", "#EXTM3U\n#EXTINF:1,\nlisted.mp4\n"),
    ):
        (folder / name).write_text(text)
        with pytest.raises(DecodeError, match="cannot be opened"):
            probe(folder / name)


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
def test_a_name_that_looks_like_an_address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(folder / "http:clip.mp4", numbered(3))
    monkeypatch.chdir(folder)
    assert probe(Path("http:clip.mp4")).frames == 3


def test_a_frame_too_large_to_be_one_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(folder / "large.mp4", numbered(3))
    monkeypatch.setattr(_index, "_MAX_PIXELS", 1000)
    with pytest.raises(DecodeError, match=r"no frame of it .*: it has 48 x 32 pixels; more than 1,000 are not decoded"):
        probe(path)


def test_names_with_leading_zeros_are_ordered_by_their_numbers(folder: Path) -> None:
    path = write_images(folder / "zeros", list(numbered(12)))
    for file in path.iterdir():
        file.rename(path / f"frame_{int(file.stem[4:]):010d}.jpg")
    assert numbers_of(decode(path, [0, 1, 9, 11])) == [0, 1, 9, 11]
    (path / "frame_3.jpg").write_bytes(b"")
    assert [file.name for file in frame_files(path)[2:4]] == ["frame_0000000003.jpg", "frame_3.jpg"]


def test_what_check_says(folder: Path) -> None:
    path = write_video(folder / "whole.mkv", noise(30), gop=5)
    assert check(path) is None
    assert check(path, (10, 31)) == "it has 30 frames, which do not hold [10, 31)"
    assert check(path, (4, 4)) == "it has 30 frames, which do not hold [4, 4)"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    # Also where its packets were looked at before.
    assert len(scan(path)) < 30
    assert "it ends after 1." in check(path)
    path.write_bytes(b"")
    assert check(path).startswith("it cannot be opened")
    assert check(write_sound(folder / "sound.mov")) == "it has no video stream"


@pytest.mark.skipif(av.__version__.startswith("14."), reason="this PyAV does not copy H.264 into Matroska")
def test_check_finds_what_does_not_come_out(folder: Path) -> None:
    """Without its first key frame the start of a file cannot be decoded, which FFmpeg does not call an error."""
    path = folder / "keyless.mkv"
    with av.open(str(write_video(folder / "keyed.mkv", numbered(20)))) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in [packet for packet in source.demux(video=0) if packet.size][1:]:
            packet.stream = stream
            container.mux(packet)
    assert "frames do not come out, the first of them frame 0" in check(path)
    assert check(path, (10, 15)) is None


def test_a_file_whose_table_comes_first_and_whose_end_is_cut_off(folder: Path) -> None:
    path = folder / "fast.mp4"
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        for image in noise(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    assert check(path).endswith("of 30 frames")
    assert decode(path, [0, 29]).shape == (2, 32, 48, 3)
    path.write_bytes(data[: len(data) - 20])
    assert "its data ends early" in check(path)


def test_frames_that_an_edit_list_cuts_off_are_not_counted(folder: Path) -> None:
    path = folder / "edited.mp4"
    with av.open(str(path), "w", options={"avoid_negative_ts": "disabled"}) as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0", "crf": "10"})
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuv420p"
        frames = [av.VideoFrame.from_ndarray(image, format="rgb24") for image in numbered(20)]
        for packet in [packet for frame in [*frames, None] for packet in stream.encode(frame)]:
            packet.pts, packet.dts = packet.pts - 5, packet.dts - 5
            container.mux(packet)
    assert len(scan(path)) == 15
    assert numbers_of(decode(path, range(15))) == list(range(5, 20))
    assert check(path) is None


def test_pictures_of_vp8_that_are_not_shown_are_not_counted(folder: Path) -> None:
    path = folder / "hidden.webm"
    source_path = written(folder / "shown.webm", numbered(20), "libvpx")
    with av.open(str(source_path)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate([packet for packet in source.demux(video=0) if packet.size]):
            data = bytearray(bytes(packet))
            if number == 7:
                data[0] &= ~0x10  # show_frame
            changed = av.Packet(bytes(data))
            changed.pts, changed.dts, changed.time_base = packet.pts, packet.dts, packet.time_base
            changed.is_keyframe, changed.stream = packet.is_keyframe, stream
            container.mux(changed)
    assert len(scan(path)) == 19
    assert numbers_of(decode(path, [6, 7, 18])) == [6, 8, 19]
    assert check(path) is None


@pytest.mark.parametrize("keep_bytes", [0, 1 << 25])
def test_stamps_that_change_with_where_reading_starts(folder: Path, monkeypatch: pytest.MonkeyPatch, keep_bytes: int) -> None:
    monkeypatch.setattr(_index, "_KEEP_BYTES", keep_bytes)
    path = written(folder / "program.mpg", numbered(40), "mpeg2video", bf="2")
    index = scan(path)
    for indices in ([39], [38, 39], [0, 3, 17, 38], [5, 6, 7]):
        assert numbers_of(decode(path, indices, index)) == numbers_of(decode(path, indices)) == indices


def test_check_of_a_window_looks_at_the_window_alone(folder: Path) -> None:
    path = write_video(folder / "window.mp4", noise(40), gop=5)
    with av.open(str(path)) as container:
        place, size = next((p.pos, p.size) for p in container.demux(video=0) if p.pts == 20 * 1024 or p.dts == 20 * 1024)
    data = bytearray(path.read_bytes())
    data[place + 8 : place + size] = bytes(size - 8)
    path.write_bytes(data)
    assert "cannot be decoded" in check(path)
    assert check(path, (0, 10)) is None
    assert check(path, (30, 40)) is None
    assert check(path, (15, 25)) is not None


def test_check_of_images(folder: Path) -> None:
    path = write_images(folder / "checked", list(numbered(5)))
    assert check(path) is None
    (path / "img_4.jpg").write_bytes((path / "img_4.jpg").read_bytes()[:300])
    assert check(path) == "img_4.jpg is no readable image"
    assert check(path, (0, 3)) is None
    assert check(path, (0, 6)) == "it has 5 frames, which do not hold [0, 6)"
    assert check(write_images(folder / "nothing", [])) == "it holds no images"
    with pytest.raises(DecodeError, match="holds no images"):
        decode(folder / "nothing", [0])
