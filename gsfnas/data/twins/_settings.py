"""Checks the settings of Twins. Imports nothing heavy."""

from collections.abc import Mapping

from gsfnas.errors import UserError

# The maximum size of a split on disk.
_MAX_SPLIT_BYTES = 2**40
# Half of the pairs.
MAX_TEXTURES = 6
# The least distance of events: a shake takes two frames.
MIN_FAR = 2
FLIPS = ("auto", "none", "twins")


def check_files(root: str | None, frame_names: str | None) -> None:
    """Raises UserError if a setting is given that only data sets on disk have."""
    for name, value in (("root", root), ("frame_names", frame_names)):
        if value:
            raise UserError(f"`data.{name}` belongs to a data set on disk, but this one is 'twins' (got {value!r})")


def event_frames(far: int) -> dict[str, tuple[int, int]]:
    """What the events of Twins, far, are -> how many frames apart they begin, and how many each lasts."""
    return {
        "near order": (far - 1, min(far - 1, 2)),
        "middle order": (far + 1, 2),
        "far order": (2 * far - 1, 2),
        "turns": (far - 1, far - 1),
        "turns with pauses": (far, 2),
        "shakes": (far + 2, max(far - 1, 2)),
        "shakes in turn": (far, far),
    }


def check_pairs(textures: int, far: int, frames: int) -> None:
    """Raises UserError if the frames cannot hold two events that far apart, and for textures beside them."""
    if textures and far:
        raise UserError(
            f"`data.textures` takes the place of actions, and with `data.far` there are none; one of them must be 0, but got "
            f"{textures} and {far}"
        )
    most = max((distance for distance in range(MIN_FAR, frames) if _needed(distance) <= frames), default=0)
    if far and not MIN_FAR <= far <= most:
        holds = f"from {MIN_FAR} to {most}, or 0," if most else "0"
        needed = _needed(max(far, MIN_FAR))
        takes = f", since two events take up to {needed} frames" if needed > frames else ""
        raise UserError(f"`data.far` must be {holds} at {frames} frames{takes}, but got {far}")


def _needed(far: int) -> int:
    """The frames of two events, each pair's own distance apart."""
    return max(sum(event) for event in event_frames(far).values())


def check_clips(counts: Mapping[str, int], frames: int, resolution: int, difficulty: float, flip: str) -> None:
    """``counts`` maps setting -> number of clips. Raises UserError for invalid values, and for splits of more than 1 TB."""
    if flip not in FLIPS:
        raise UserError(f"`data.flip` of twins is {', '.join(FLIPS[:-1])} or {FLIPS[-1]}, but got {flip!r}")
    most = _MAX_SPLIT_BYTES // (frames * 3 * resolution**2)
    for name, clips in counts.items():
        if clips % 2 and name != "train_clips":
            raise UserError(f"`data.{name}` must be even, since each clip stands beside its reversal, but got {clips}")
        if clips > most:
            raise UserError(
                f"`data.{name}` must be up to {most} at {frames} frames of {resolution} px, which take a disk "
                f"of {_MAX_SPLIT_BYTES / 2**40:.0f} TB, but got {clips}"
            )
    if not 0 <= difficulty <= 1:
        raise UserError(f"`data.difficulty` must be a number from 0 to 1, but got {difficulty}")
