"""Decides from the packets of a video whether its decoded frames can be identified by their time stamps.

If not, frames are counted in decoding order: a decoder outputs them in the order in which they are shown.
"""

from collections.abc import Container, Iterator, Sequence
from typing import Any, Literal

import numpy as np

# Special kinds of packets: with a frame that is probably shown before one stored earlier; with more than one frame.
Kind = Literal["b_frame", "packed"]

# Reasons for counting frames. All versions of this package detected the first three, so older caches of such files are right.
MISSING = "its frames lack time stamps"
REPEATED = "its time stamps repeat"
AVI = "AVI stores no time stamps for its codec"
PACKED = "its B-frames are packed, as DivX and XviD store them"
AS_STORED = "its time stamps are in the order in which its frames are stored, not in that in which they are shown"
BACK = "its time stamps go back"
UNSTAMPED = "its decoded frames lack time stamps"
BACK_DECODED = "the time stamps of its decoded frames repeat or go back"

# Codec -> (start code of a picture; byte offset, shift and mask of the picture type; the type of B-frames).
_MPEG = {
    "mpeg1video": (b"\x00\x00\x01\x00", 5, 3, 7, 3),
    "mpeg2video": (b"\x00\x00\x01\x00", 5, 3, 7, 3),
    "mpeg4": (b"\x00\x00\x01\xb6", 4, 6, 3, 2),
}
# Codec -> the offset in its MP4 or Matroska header of the byte with the size of the units' length fields.
_LENGTH_AT = {"h264": 4, "hevc": 21}
# Codecs that may show frames in another order than stored, even if FFmpeg found no such frames at the start of the file.
_REORDERING = ("h264", "hevc", "vvc", "vc1", "wmv3")
# The maximum number of frames, in any codec, that are stored before a frame but shown after it.
_MOST_AHEAD = 16


def kinds_of(packet: Any, codec: Any, known: Container[Kind]) -> Iterator[Kind]:
    """Yields the special kinds of a packet; kinds that are ``known`` of the stream already may be left out."""
    if codec.name in _MPEG:
        yield from _mpeg_kinds(bytes(packet), codec.name)
    elif codec.name in _LENGTH_AT and "b_frame" not in known and _is_b_frame(memoryview(packet), codec):
        yield "b_frame"


def why_in_order(stamps: Sequence[int | None], codec: Any, kinds: Container[Kind]) -> str | None:
    """Why frames must be counted: because decoded frames would get the time stamps of other packets.

    ``stamps`` are the time stamps of the packets in the order stored. Empty if wrong stamps are likely but not certain; None
    if nothing suggests them.
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
    # In MPEG-2, two pictures in a packet may be the two fields of one frame.
    if len(types) > 1 and codec == "mpeg4":
        yield "packed"


def _is_b_frame(data: memoryview, codec: Any) -> bool:
    """H.264: whether the first slice of the frame is a B-slice. HEVC: whether no other frame refers to this one."""
    for unit in _units(data, codec):
        if codec.name == "hevc":
            # Sub-layer non-reference pictures have the even numbers below 16, all pictures those below 32.
            kind = unit[0] >> 1 & 0x3F
            if kind < 32:
                return kind < 16 and kind % 2 == 0
        elif unit[0] & 0x1F in (1, 5) and len(unit) > 1:
            # Exp-Golomb codes: first_mb_in_slice 0 is the bit 1; then slice_type, where B is 1 (010) or 6 (00111).
            return unit[1] & 0xF0 == 0xA0 or unit[1] & 0xFC == 0x9C
    return False


def _units(data: memoryview, codec: Any) -> Iterator[memoryview]:
    """Yields the (NAL) units of a packet, which are separated by length fields or by start codes."""
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
