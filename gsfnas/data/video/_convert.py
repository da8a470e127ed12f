"""Converts decoded video frames to upright RGB images, as a player shows them."""

from typing import Any

from gsfnas.data.video._index import DecodeError, reason_of, why_too_large
from gsfnas.data.video._pictures import Images, Prepare, orientation_of, upright


class Converter:
    """Converts frames to upright RGB, (H, W, 3), all resized to the size of the first one, and applies ``prepare``."""

    def __init__(self, prepare: Prepare) -> None:
        import av.video.reformatter

        self._prepare = prepare
        self._reformatter = av.video.reformatter.VideoReformatter()
        # (H, W) of the first frame when upright.
        self._size: tuple[int, int] | None = None
        # Starting FFmpeg's threads takes longer than converting a frame. Older versions of PyAV have no threads and no option.
        self._threads = {"threads": 1}

    def __call__(self, frame: Any) -> Images:
        """The frame after ``prepare``. Raises DecodeError if it is too large or cannot be converted."""
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
    """The Exif orientation (1 to 8) of a frame, from the display matrix of the container or the frame."""
    from av.sidedata.sidedata import Type

    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    return 1 if matrix is None else orientation_of(bytes(matrix))
