"""The index of a video: its frames counted, found by time, and reached by seeking."""

import gc
import itertools
import os
import random
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from gsfnas.data.video import _decode, _index
from gsfnas.data.video._decode import FrameIndex, check, decode, scan

from ...media import numbered, numbers_of, write_video
from .encode import HAS_HEVC, all_frames, noise, written


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
    ("libx265", ".mp4", {"x265-params": "bframes=3:asm=0:log-level=none"}),
    ("libx265", ".mkv", {"x265-params": "bframes=0:asm=0:log-level=none"}),
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
