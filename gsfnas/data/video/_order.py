"""Whether the decoded frames of a video can be identified by their time stamps, as far as its packets show.

Where they cannot, frames are counted in the order in which they are decoded, which is always the order shown.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Any, Literal

import numpy as np

# What a packet may hold: a frame that is probably shown before one stored earlier; more than one frame.
Kind = Literal["b_frame", "packed"]

# Why frames are counted. The first three were always recognised, so caches made with them are right.
MISSING = "its frames lack time stamps"
REPEATED = "its time stamps repeat"
AVI = "AVI stores no time stamps for its codec"
PACKED = "its B-frames are packed, as DivX and XviD store them"
AS_STORED = "its time stamps are in the order in which its frames are stored, not in that in which they are shown"
BACK = "its time stamps go back"
UNSTAMPED = "its decoded frames lack time stamps"
BACK_DECODED = "the time stamps of its decoded frames repeat or go back"

# Codec -> what a picture begins with, then the byte, shift and mask of its type, and the type of B-frames.
_MPEG = {
    "mpeg1video": (b"\x00\x00\x01\x00", 5, 3, 7, 3),
    "mpeg2video": (b"\x00\x00\x01\x00", 5, 3, 7, 3),
    "mpeg4": (b"\x00\x00\x01\xb6", 4, 6, 3, 2),
}
# Codec -> where its header in MP4 and Matroska says of how many bytes the length before each unit is.
_LENGTH_AT = {"h264": 4, "hevc": 21}
# Codecs that may show frames in another order than they are stored, also where FFmpeg has not met such frames at the start.
_REORDERING = ("h264", "hevc", "vvc", "vc1", "wmv3")
# How many frames stored before one may be shown after it, in any codec.
_MOST_AHEAD = 16


def kinds_of(packet: Any, codec: Any, known: Container[Kind]) -> Iterator[Kind]:
    """What a packet holds beyond what is ``known`` of the stream."""
    if codec.name in _MPEG:
        yield from _mpeg_kinds(bytes(packet), codec.name)
    elif codec.name in _LENGTH_AT and "b_frame" not in known and _is_b_frame(memoryview(packet), codec):
        yield "b_frame"


def why_in_order(stamps: Sequence[int | None], codec: Any, kinds: Container[Kind]) -> str | None:
    """Why frames must be counted: decoded frames will have the ``stamps`` of other packets, given in the order stored.

    Empty where that is likely but not certain; None where nothing suggests it.
    """
    if "packed" in kinds:
        return PACKED
    has_b_frames = codec.name in _MPEG or bool(codec.has_b_frames)
    if codec.name in _MPEG or codec.name in _LENGTH_AT:
        has_b_frames &= "b_frame" in kinds
    order = np.argsort(np.array(stamps, np.int64))
    shown = np.empty_like(order)
    shown[order] = np.arange(len(order))
    ahead = np.arange(len(order)) - shown
    if codec.name in _MPEG:
        most = 1 if has_b_frames else 0
    else:
        most = _MOST_AHEAD if has_b_frames or codec.name in _REORDERING else 0
    if ahead.max(initial=0) > most:
        return BACK
    if has_b_frames and len(stamps) > 1 and not ahead.any():
        return AS_STORED if codec.name in _MPEG else ""
    return None


def _mpeg_kinds(data: bytes, codec: str) -> Iterator[Kind]:
    start, place, shift, mask, b_frame = _MPEG[codec]
    types = [data[at + place] >> shift & mask for at in _places(data, start) if at + place < len(data)]
    if b_frame in types:
        yield "b_frame"
    # In MPEG-2 they may be the two fields of one frame.
    if len(types) > 1 and codec == "mpeg4":
        yield "packed"


def _is_b_frame(data: memoryview, codec: Any) -> bool:
    """Whether the first slice of a frame of H.264 is a B-slice, or none of HEVC refers to it."""
    for unit in _units(data, codec):
        if codec.name == "hevc":
            # Sub-layer non-reference pictures have the even numbers below 16, all pictures those below 32.
            kind = unit[0] >> 1 & 0x3F
            if kind < 32:
                return kind < 16 and kind % 2 == 0
        elif unit[0] & 0x1F in (1, 5) and len(unit) > 1:
            # first_mb_in_slice 0 is the bit 1; slice_type follows, of which 1 is 010, and 6 is 00111.
            return unit[1] & 0xF0 == 0xA0 or unit[1] & 0xFC == 0x9C
    return False


def _units(data: memoryview, codec: Any) -> Iterator[memoryview]:
    """The units of a packet, each after its length, or after a start code."""
    header, at = bytes(codec.extradata or b""), 0
    if len(header) > _LENGTH_AT[codec.name] and header[0] == 1:
        num_bytes = (header[_LENGTH_AT[codec.name]] & 3) + 1
        while at + num_bytes < len(data):
            length = int.from_bytes(data[at : at + num_bytes], "big")
            at += num_bytes
            if length:
                yield data[at : at + length]
            at += length
    else:
        for start in _places(bytes(data), b"\x00\x00\x01"):
            if start + 3 < len(data):
                yield data[start + 3 :]


def _places(data: bytes, code: bytes) -> Iterator[int]:
    at = data.find(code)
    while at >= 0:
        yield at
        at = data.find(code, at + len(code))
