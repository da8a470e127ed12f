"""Videos whose decoded frames bear no time stamps, or wrong ones: frames count in the order in which they are decoded."""

import itertools
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from gsfnas.data import DataSettings, open_data
from gsfnas.data import check as check_set
from gsfnas.data._manifest import Entry
from gsfnas.data.video import _index, _probe
from gsfnas.data.video._decode import check, decode, examine, probe, scan
from gsfnas.data.video._index import load, save
from gsfnas.data.video._order import AS_STORED, AVI, BACK, BACK_DECODED, MISSING, PACKED, REPEATED

FRAMES, RATE = 30, 10
# The encoder of PyAV 14 crashes.
HAS_HEVC = "libx265" in av.codecs_available and not av.__version__.startswith("14.")
VOP = b"\x00\x00\x01\xb6"

# In the order stored: number and packet -> whatever changes it.
Stamp = Callable[[int, Any], None]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    _index._remembered.clear()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("order")


def scene() -> np.ndarray:
    """A picture that moves: its frames differ, and refer to each other."""
    texture = np.random.default_rng(0).integers(0, 255, (12, 20, 3)).astype(np.uint8)
    texture = np.kron(texture, np.ones((8, 8, 1), np.uint8))
    return np.stack([texture[number : number + 48, 2 * number : 2 * number + 64] for number in range(FRAMES)])


def written(path: Path, codec: str, gop: int = 100, **options: str) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        if "bf" in options:
            stream.codec_context.max_b_frames = int(options["bf"])
        for image in scene():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def remuxed(source: Path, path: Path, change: Stamp = lambda number, packet: None) -> Path:
    with av.open(str(source)) as read, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(read.streams.video[0])
        for number, packet in enumerate([packet for packet in read.demux(video=0) if packet.size]):
            change(number, packet)
            packet.stream = stream
            container.mux(packet)
    return path


def packed(source: Path, path: Path) -> Path:
    """An AVI of MPEG-4 as DivX writes it: the first B-frame after a P-frame in its chunk, an empty one after the last."""
    chunks: list[tuple[bytes, bool]] = []
    stored = [(bytes(packet), bool(packet.is_keyframe)) for packet in packets(source)]
    groups: list[list[tuple[bytes, bool]]] = []
    for data, is_key in stored:
        if data[data.index(VOP) + 4] >> 6 == 2:
            groups[-1].append((data, is_key))
        else:
            groups.append([(data, is_key)])
    for (anchor, is_key), *b_frames in groups:
        if not b_frames:
            chunks.append((anchor, is_key))
            continue
        chunks += [(anchor + b_frames[0][0], is_key), *b_frames[1:], (_empty(anchor), False)]
    first, is_key = chunks[0]
    place = first.index(VOP)
    chunks[0] = first[:place] + b"\x00\x00\x01\xb2DivX503b1393p" + first[place:], is_key
    with av.open(str(source)) as read, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(read.streams.video[0])
        for number, (data, is_key) in enumerate(chunks):
            packet = av.Packet(data)
            packet.pts = packet.dts = number
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, RATE), stream, is_key
            container.mux(packet)
    return path


def _empty(anchor: bytes) -> bytes:
    """A P-frame that is not coded, at the time of the one before."""
    place = anchor.index(VOP) + 4
    bits = "".join(f"{byte:08b}" for byte in anchor[place : place + 8])
    seconds = bits.index("0", 2) + 2
    # Of 10 ticks a second a time takes 4 bits; then come a marker, vop_coded and stuffing.
    found = "01" + bits[2 : seconds + 4] + "100"
    found += "1" * (-len(found) % 8)
    return VOP + int(found, 2).to_bytes(len(found) // 8, "big")


def all_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def is_right(path: Path, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every frame, asked for alone and with others, of a file that is kept in memory and of a long one, seen before or not."""
    generator = random.Random(0)
    choices: list[Sequence[int]] = [range(FRAMES), [0], [5], [FRAMES - 1], [3, 4], [11, 12, 13]]
    choices += [sorted(generator.sample(range(FRAMES), 4)) for _ in range(4)]
    for keep_bytes, is_known in itertools.product((0, 1 << 25), (False, True)):
        monkeypatch.setattr(_index, "_KEEP_BYTES", keep_bytes)
        for indices in choices:
            _index._remembered.clear()
            index = scan(path) if is_known else None
            assert np.array_equal(decode(path, indices, index), expected[list(indices)]), (keep_bytes, is_known, indices)
    _index._remembered.clear()


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mp4"])
@pytest.mark.parametrize(("num_b", "gop"), [(1, 100), (2, 100), (1, 8), (2, 9)])
def test_packed_b_frames(folder: Path, monkeypatch: pytest.MonkeyPatch, num_b: int, gop: int, suffix: str) -> None:
    source = written(folder / "plain.avi", "mpeg4", gop, bf=str(num_b), sc_threshold="1000000000")
    assert scan(source).note == ""
    expected = all_frames(source)
    path = packed(source, folder / "packed.avi")
    if suffix != ".avi":
        path = remuxed(path, folder / f"packed{suffix}")
    # Decoding in order gives the frames; it is their stamps that are wrong.
    assert np.array_equal(all_frames(path), expected)
    is_right(path, expected, monkeypatch)
    seen = probe(path)
    assert (seen.frames, seen.note) == (FRAMES, PACKED)
    assert examine(path) == examine(path, (7, 20)) == (None, PACKED)
    index = scan(path)
    assert index.between(0.5, 1.0) == (5, 10)
    save(index, folder / "packed.npz")
    kept = load(folder / "packed.npz")
    assert kept is not None
    assert (kept.note, kept.counted) == (PACKED, True)
    assert np.array_equal(decode(path, [4, 17], kept), expected[[4, 17]])


def as_stored(number: int, packet: Any) -> None:
    packet.pts = packet.dts = number * 1000 // RATE


def exchanged(pairs: Sequence[int], source: Path) -> Stamp:
    """The stamps of each of these frames and the next one, as shown, change places."""
    stamps = sorted(packet.pts for packet in packets(source))
    swap = dict(zip(stamps, stamps, strict=True))
    for number in pairs:
        swap[stamps[number]], swap[stamps[number + 1]] = stamps[number + 1], stamps[number]

    def change(number: int, packet: Any) -> None:
        packet.pts = swap[packet.pts]
        # Earlier than any frame is shown.
        packet.dts = number - 1000

    return change


H264 = {"bf": "3", "x264-params": "b-adapt=0"}
REORDERED = [
    ("libx264", H264, 100, BACK_DECODED),
    ("libx264", {**H264, "x264-params": "b-adapt=0:open-gop=1"}, 10, BACK_DECODED),
    ("libx265", {"x265-params": "bframes=3:asm=0:log-level=none"}, 100, BACK_DECODED),
    ("mpeg4", {"bf": "2", "sc_threshold": "1000000000"}, 10, AS_STORED),
    ("mpeg2video", {"bf": "2", "sc_threshold": "1000000000"}, 10, AS_STORED),
]
REORDERED = [case for case in REORDERED if case[0] != "libx265" or HAS_HEVC]


@pytest.mark.skipif(av.__version__.startswith("14."), reason="this PyAV does not copy H.264 into Matroska")
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
@pytest.mark.parametrize(("codec", "options", "gop", "note"), REORDERED, ids=[f"{case[0]}-{case[2]}" for case in REORDERED])
def test_stamps_in_the_order_of_storage(
    folder: Path, monkeypatch: pytest.MonkeyPatch, codec: str, options: dict[str, str], gop: int, note: str, suffix: str
) -> None:
    """As when an AVI of H.264 is copied into another container."""
    source = written(folder / "ordered.mkv", codec, gop, **options)
    assert not scan(source).counted
    expected = all_frames(source)
    path = remuxed(source, folder / f"stored{suffix}", as_stored)
    is_right(path, expected, monkeypatch)
    assert (probe(path).frames, probe(path).note) == (FRAMES, note)
    assert examine(path) == examine(path, (3, 20)) == (None, note)


@pytest.mark.skipif(av.__version__.startswith("14."), reason="this PyAV does not copy H.264 into Matroska")
@pytest.mark.parametrize("early", [True, False])
def test_stamps_of_a_few_frames_exchanged(folder: Path, early: bool) -> None:
    """A look decodes the first frames, a check all of them; and what either found is known from then on."""
    source = written(folder / "whole.mkv", "libx264", **H264)
    expected = all_frames(source)
    path = remuxed(source, folder / f"exchanged{early}.mkv", exchanged([4] if early else [24], source))
    assert probe(path).note == (BACK_DECODED if early else "")
    _index._remembered.clear()
    assert np.array_equal(decode(path, range(FRAMES)), expected)
    _index._remembered.clear()
    assert examine(path) == (None, BACK_DECODED)
    assert scan(path).note == BACK_DECODED
    for number in (4, 5, 24, 25):
        assert np.array_equal(decode(path, [number]), expected[[number]])
    assert examine(path, (23, 27)) == (None, BACK_DECODED)


def test_stamps_that_go_back_where_no_frame_is_reordered(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(folder / "pictures.mkv", "mjpeg")
    path = remuxed(source, folder / "back.mkv", exchanged([3, 11, 20], source))
    is_right(path, all_frames(source), monkeypatch)
    assert probe(path).note == BACK
    assert examine(path) == (None, BACK)


def test_stamps_of_several_parts_that_each_begin_at_0(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a codec that reorders frames, too, such a jump back cannot be from one to the next."""
    source = written(folder / "part.mkv", "mpeg2video", 10, bf="2", sc_threshold="1000000000")
    expected = all_frames(source)

    def again(number: int, packet: Any) -> None:
        # Between the stamps of the first half, so that none is there twice.
        packet.pts = packet.pts - 1450 if number >= 15 else packet.pts
        packet.dts = number - 5000

    path = remuxed(source, folder / "parts.mkv", again)
    is_right(path, expected, monkeypatch)
    assert examine(path) == (None, BACK)


def test_stamps_that_repeat_or_are_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(folder / "plain.mkv", "mjpeg")

    def repeating(number: int, packet: Any) -> None:
        packet.pts = packet.dts = packet.pts // 200 * 200

    path = remuxed(source, folder / "repeating.mkv", repeating)
    is_right(path, all_frames(source), monkeypatch)
    assert examine(path) == (None, REPEATED)
    avi = written(folder / "h264.avi", "libx264", **H264)
    is_right(avi, all_frames(avi), monkeypatch)
    assert examine(avi) == (None, AVI)
    make = _index._index
    monkeypatch.setattr(_index, "_index", lambda stamps, keys, stream: make([None, *stamps[1:]], keys, stream))
    assert examine(source) == (None, MISSING)


def test_a_packed_file_that_is_cut_off_or_damaged(folder: Path) -> None:
    source = written(folder / "whole.avi", "mpeg4", 8, bf="1", sc_threshold="1000000000")
    path = packed(source, folder / "cut.avi")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    assert check(path) is not None
    assert decode(path, [0, 20]).shape == (2, 48, 64, 3)
    whole = remuxed(packed(source, folder / "again.avi"), folder / "cut.mkv")
    data = whole.read_bytes()
    whole.write_bytes(data[: len(data) * 6 // 10])
    assert "it ends after" in str(check(whole))


def settings(root: Path, **values: object) -> DataSettings:
    given = {"frames": 8, "resolution": 32, "cache": str(root.parent / "cache"), **values}
    return DataSettings(name="folder", root=str(root), **given)  # type: ignore[arg-type]


def clips_of(asked: DataSettings) -> dict[str, np.ndarray]:
    splits = open_data(asked).splits
    train = np.concatenate([clips for clips, _ in splits["train"].batches(2, shuffle_seed=1, augment_seed=2)])
    return {"train": train, "test": np.concatenate([clips for clips, _ in splits["test"].batches(2)])}


def as_a_set(file: Path, root: Path) -> Path:
    """The same clip in each class of each split."""
    for split, name in itertools.product(("train", "val", "test"), "ab"):
        (root / split / name).mkdir(parents=True)
        shutil.copy(file, root / split / name / f"clip{file.suffix}")
    return root


@pytest.fixture(scope="module")
def two_sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same frames from a plain and from a packed file."""
    folder = tmp_path_factory.mktemp("sets")
    plain = written(folder / "plain.avi", "mpeg4", 8, bf="1", sc_threshold="1000000000")
    sets = as_a_set(plain, folder / "plain" / "set"), as_a_set(packed(plain, folder / "packed.avi"), folder / "packed" / "set")
    for root in sets:
        rows = [(split, name, start) for split in ("train", "val", "test") for name in "ab" for start in (0.3, 1.2)]
        lines = [f"{split}/{name}/clip.avi,{name},{start},{start + 1.1},{split}" for split, name, start in rows]
        (root / "clips.csv").write_text("\n".join(["path,label,start,stop,split", *lines]) + "\n")
    return sets


@pytest.mark.parametrize("augment", ["light", "paper"])
@pytest.mark.parametrize("cache_gb", [4.0, 0.0])
@pytest.mark.parametrize("table", [None, "clips.csv"])
@pytest.mark.parametrize("is_checked", [False, True])
def test_training_sees_the_frames_that_it_sees_of_a_plain_file(
    two_sets: tuple[Path, Path], tmp_path: Path, augment: str, cache_gb: float, table: str | None, is_checked: bool
) -> None:
    given = {"augment": augment, "cache_gb": cache_gb, "csv": table, "cache": str(tmp_path)}
    plain, unstamped = (settings(root, **given) for root in two_sets)
    if is_checked:
        check_set(unstamped)
    expected, found = clips_of(plain), clips_of(unstamped)
    assert [np.array_equal(expected[split], found[split]) for split in ("train", "test")] == [True, True]
    names = [open_data(asked).splits["train"].names for asked in (plain, unstamped)]
    assert names[0] == names[1]


def test_a_check_names_such_files_and_they_are_used(two_sets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    plain, unstamped = (settings(root) for root in two_sets)
    assert check_set(plain).rows == ()
    found = check_set(unstamped)
    assert found.clips == {"train": 2, "val": 2, "test": 2}
    assert found.counts == {"no usable time stamps": 6}
    assert {(row.says, row.is_used) for row in found.rows} == {
        (f"{PACKED}; its frames are taken in the order in which they are decoded", True)
    }
    monkeypatch.setattr(_probe, "examine", lambda *_: pytest.fail("checked again"))
    assert check_set(unstamped) == found


def test_no_cache_of_a_time_when_they_were_read_otherwise_is_taken(two_sets: tuple[Path, Path], tmp_path: Path) -> None:
    """Clips in it go by the digest. Frames without any stamps were always counted."""
    h264 = as_a_set(written(tmp_path / "h264.avi", "libx264", **H264), tmp_path / "h264" / "set")
    for root, is_new in ((two_sets[0], False), (two_sets[1], True), (h264, False)):
        entry = Entry("clip", "test/a/clip.avi", (0,))
        seen = _probe.probe_files(root, [entry], tmp_path / root.parent.name / "index.json")[entry.path]
        assert (seen.digest != probe(root / entry.path).digest) == is_new


@pytest.mark.skipif(av.__version__.startswith("14."), reason="this PyAV does not copy H.264 into Matroska")
def test_what_only_a_check_finds_is_heeded_from_then_on(tmp_path: Path) -> None:
    source = written(tmp_path / "whole.mkv", "libx264", **H264)
    plain = settings(as_a_set(source, tmp_path / "plain" / "set"))
    late = remuxed(source, tmp_path / "late.mkv", exchanged([24], source))
    asked = settings(as_a_set(late, tmp_path / "late" / "set"), cache_gb=0.0)
    before = open_data(asked).fingerprint
    assert check_set(asked).counts == {"no usable time stamps": 6}
    assert open_data(asked).fingerprint != before
    # Of three segments the middle of the last one is frame 25.
    for frames in (3, 4, FRAMES):
        _index._remembered.clear()
        clips, expected = (clips_of(replace(one, frames=frames)) for one in (asked, plain))
        assert np.array_equal(clips["test"], expected["test"])
    # A look at other clips of the file forgets nothing.
    root = Path(str(asked.root))
    (index,) = (root.parent / "cache").rglob("index.json")
    entry = Entry("part", "test/a/clip.mkv", (0,), 1, 5)
    assert _probe.probe_files(root, [entry], index)[entry.path].note == BACK_DECODED


def test_what_was_seen_before_notes_were_taken_is_seen_again_and_verdicts_stay(
    two_sets: tuple[Path, Path], tmp_path: Path
) -> None:
    asked = settings(two_sets[1], cache=str(tmp_path))
    now = check_set(asked)
    (index,) = tmp_path.rglob("index.json")
    known = json.loads(index.read_text())
    for path, entry in known.items():
        del entry["note"]
        entry["digest"] = "of before"
        entry["windows"][""] = [0, FRAMES, "condemned" if path == "train/a/clip.avi" else None, True, None]
    index.write_text(json.dumps(known))
    data = open_data(asked)
    assert data.skipped == ("train/a/clip.avi: condemned",)
    assert len(data.splits["train"]) == 1
    assert sum(row.problem == "no usable time stamps" for row in check_set(asked).rows) == len(now.rows) - 1
