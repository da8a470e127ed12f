"""Decoded frames of a video to RGB, upright, as a player shows them."""

from typing import Any

from gsfnas.data.video._index import DecodeError, reason_of, why_too_large
from gsfnas.data.video._pictures import Images, Prepare, orientation_of, upright


class Converter:
    """Turns frames into RGB, (H, W, 3), upright and of the first one's size, and applies ``prepare``."""

    def __init__(self, prepare: Prepare) -> None:
        import av.video.reformatter

        self._prepare = prepare
        self._reformatter = av.video.reformatter.VideoReformatter()
        # (H, W) of the first one when upright.
        self._size: tuple[int, int] | None = None
        # Starting FFmpeg's threads for each frame takes longer than converting it; older versions of PyAV start none.
        self._threads = {"threads": 1}

    def __call__(self, frame: Any) -> Images:
        """The picture after ``prepare``. Raises DecodeError."""
        import av

        orientation = _orientation(frame)
        is_turned = orientation > 4
        self._size = self._size or ((frame.width, frame.height) if is_turned else (frame.height, frame.width))
        height, width = reversed(self._size) if is_turned else self._size
        if (reason := why_too_large(frame.width, frame.height)) is not None:
            raise DecodeError(f"a frame of it {reason}")
        try:
            rgb = self._reformat(frame, height, width).to_ndarray()
        except (av.FFmpegError, ValueError, MemoryError) as error:
            raise DecodeError(f"its frames cannot be turned into RGB ({reason_of(error)})") from None
        return self._prepare(upright(rgb, orientation))

    def _reformat(self, frame: Any, height: int, width: int) -> Any:
        try:
            return self._reformatter.reformat(frame, width, height, "rgb24", **self._threads)
        except TypeError:
            self._threads = {}
            return self._reformatter.reformat(frame, width, height, "rgb24")


def _orientation(frame: Any) -> int:
    """How a player shows a frame, as the container or the frame itself says."""
    from av.sidedata.sidedata import Type

    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    return 1 if matrix is None else orientation_of(bytes(matrix))
