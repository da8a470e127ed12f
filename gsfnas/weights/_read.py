"""Reads state dicts from files without running any code they contain."""

import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from gsfnas.errors import UserError, one_line
from gsfnas.files import open_regular
from gsfnas.weights._state import IgnoredObject, State, find_state

# Types that training code saves beside the weights. Each is read as an ``IgnoredObject``, so that no code of theirs is called.
_IGNORED_TYPES = (
    *(f"{core}.multiarray.{name}" for core in ("numpy.core", "numpy._core") for name in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "numpy.ndarray",
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
)
_ZIP, _TAR = b"PK\x03\x04", b"ustar"
# torch does not compress weights, and they hardly could be.
_MAX_COMPRESSION = 8


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a ``.safetensors`` file or a ``torch.save`` file, on the CPU, without ``module.`` in its names.

    If the file holds several state dicts, the order of preference is in ``gsfnas.weights._state``. Raises UserError, one line,
    for a file that is missing, truncated, damaged or not a regular file, or that holds no state dict. A pickle that holds
    anything but tensors, plain values and ignored types is refused too, since loading it would run code.
    """
    return read_file(path).tensors


def read_file(path: Path) -> State:
    """As ``read_state``, with notes on how the file was read."""
    with _open(path) as file:
        if path.suffix == ".safetensors":
            return find_state(_load_safetensors(path), path)
        checksums = _read_checksums(file, path) if file.read(len(_ZIP)) == _ZIP else None
        state = find_state(_load_pickle(file, path), path)
    if checksums is not None:
        _verify(state.tensors.values(), checksums, path)
    return state


def read_metadata(path: Path) -> Mapping[str, str]:
    """The metadata of a safetensors file. Raises UserError for any other file."""
    _open(path).close()
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:
        raise _safetensors_error(path, error) from None


def _open(path: Path) -> IO[bytes]:
    if not path.exists():
        raise UserError(f"there is no weights file {str(path)!r}")
    return open_regular(path, max_bytes=None)


def _load_safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        # Mostly a SafetensorError, but not for a number type that torch lacks.
        raise _safetensors_error(path, error) from None


def _safetensors_error(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is not a valid safetensors file, or it is truncated ({one_line(error)})")


def _load_pickle(file: IO[bytes], path: Path) -> Any:
    ignored: Any = [(IgnoredObject, name) for name in _IGNORED_TYPES]
    file.seek(0)
    try:
        # torch would warn about pickle versions and kinds of tensors that are refused anyway.
        with warnings.catch_warnings(), torch.serialization.safe_globals(ignored):
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # The exception depends on where the file is cut or damaged: struct.error, AssertionError, RuntimeError and more.
        raise UserError(f"{path} {_reason(file, error)}") from None


def _reason(file: IO[bytes], error: Exception) -> str:
    """Why torch could not load a file, as the rest of a sentence."""
    file.seek(0)
    start = file.read(2**16)
    if start[257:262] == _TAR:
        return "is a tar archive; unpack it, and import the weights file in it"
    if start.lstrip().startswith(b"{") and b'"weight_map"' in start:
        return "is an index of weights that are split over several files; save them as one state dict, and import that"
    if isinstance(error, pickle.UnpicklingError):
        found = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)|``([\w.]+)`` must be imported", str(error))
        if found:
            what = found[1] or found[2]
            return f"holds more than tensors and plain values ({what}); it is refused, since loading it would run code"
        return "was not written by torch.save, or it is truncated"
    if "TorchScript" in str(error):
        return "is a TorchScript archive, which holds code; save its state_dict() with torch.save, and import that"
    return f"was not written by torch.save, or it is truncated ({one_line(error)})"


def _read_checksums(file: IO[bytes], path: Path) -> Collection[int]:
    """The checksums of an archive's parts, after the part with names and plain values was checked against its own."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            size = file.seek(0, 2)
            if sum(part.file_size for part in parts) > _MAX_COMPRESSION * size:
                raise UserError(f"{path} claims to hold many times its own size, so it was not written by torch.save")
            for part in parts:
                if part.filename.endswith("/data.pkl"):
                    archive.read(part)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} was not written by torch.save, or it is truncated ({one_line(error)})") from None
    return {part.CRC for part in parts}


def _verify(tensors: Iterable[Tensor], checksums: Collection[int], path: Path) -> None:
    """Raises UserError where the tensors do not match the checksums, which torch does not verify."""
    storages = {storage.data_ptr(): storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    for storage in storages.values():
        content = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
        if content.size and zlib.crc32(content.data) not in checksums:
            raise UserError(
                f"{path} is damaged: its numbers do not match its own checksums; download it again (or save it again, if it "
                "was saved without checksums)"
            )
