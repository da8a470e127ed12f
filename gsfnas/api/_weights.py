"""Imports weights from other sources."""

from pathlib import Path

from gsfnas.api._candidate import find_candidate
from gsfnas.api._space import width_option
from gsfnas.backbone import backbone_ref
from gsfnas.errors import UserError
from gsfnas.weights import Imported
from gsfnas.weights import import_weights as import_file

_SUFFIXES = (".tar", ".pth", ".pt", ".pyth", ".ckpt", ".bin")


def import_weights(
    file: Path,
    out: Path | None = None,
    *,
    backbone: str | None = None,
    width: float | None = None,
    candidate: str | None = None,
    frames: int = 8,
    resolution: int | None = None,
    task: str = "class",
    runs: Path = Path("runs"),
) -> Imported:
    """Imports a weights file; the result says which weights matched. ``candidate`` is given as for ``find_candidate``.

    Raises UserError if ``out`` exists already, or the file is not of a known kind.
    """
    stem = file.name
    for suffix in _SUFFIXES:
        stem = stem.removesuffix(suffix)
    out = out or file.with_name(f"{stem}.safetensors")
    if out.exists():
        raise UserError(f"{out} is there already; remove it, or name another file with --out")
    return import_file(
        file,
        out,
        backbone=None if backbone is None else backbone_ref(backbone, width_option(width)),
        candidate=None if candidate is None else find_candidate(candidate, runs),
        frames=frames,
        resolution=resolution,
        task=task,
    )
