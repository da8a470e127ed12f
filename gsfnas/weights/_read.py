"""State dicts from files, without running anything that is in them."""

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

from gsfnas.errors import UserError
from gsfnas.escape import printable
from gsfnas.files import open_regular
from gsfnas.weights._state import LeftUnread, State, state_in

# Values that training code keeps beside weights. Each is read as a ``LeftUnread``, so that nothing of these packages is called.
_LEFT_UNREAD = (
    *(f"{core}.multiarray.{name}" for core in ("numpy.core", "numpy._core") for name in ("scalar", "_reconstruct")),
    "numpy.dtype",
    "numpy.ndarray",
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
)
_ZIP, _TAR = b"PK\x03\x04", b"ustar"
# Weights hardly compress, and torch does not compress them.
_MOST_COMPRESSED = 8


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a ``.safetensors`` file or in what ``torch.save`` wrote, on the CPU, its names without ``module.``.

    Where several state dicts are in a file, ``gsfnas.weights._state`` has the order of preference. Raises UserError, one line,
    for a file that is missing, truncated, damaged, no regular file, no state dict, and for a pickle with more in it than
    tensors, plain values and what is left unread: such a file is refused, since loading it would run code.
    """
    return read_file(path).tensors


def read_file(path: Path) -> State:
    """As ``read_state``, with what a user should know of how the file was read."""
    with _open(path) as file:
        if path.suffix == ".safetensors":
            return state_in(_safetensors(path), path)
        checksums = _checksums(file, path) if file.read(len(_ZIP)) == _ZIP else None
        state = state_in(_pickled(file, path), path)
    if checksums is not None:
        _check(state.tensors.values(), checksums, path)
    return state


def read_metadata(path: Path) -> Mapping[str, str]:
    """What a safetensors file says beside its tensors. Raises UserError where it is none."""
    _open(path).close()
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except Exception as error:
        raise _no_safetensors(path, error) from None


def _open(path: Path) -> IO[bytes]:
    if not path.exists():
        raise UserError(f"there is no file of weights {str(path)!r}")
    return open_regular(path, max_bytes=None)


def _safetensors(path: Path) -> Any:
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:
        # Most are a SafetensorError; a type of numbers that torch lacks is another.
        raise _no_safetensors(path, error) from None


def _no_safetensors(path: Path, error: Exception) -> UserError:
    return UserError(f"{path} is no whole safetensors file ({_one_line(error)})")


def _pickled(file: IO[bytes], path: Path) -> Any:
    unread: Any = [(LeftUnread, name) for name in _LEFT_UNREAD]
    file.seek(0)
    try:
        # torch warns of the version of a pickle that it then refuses, and of kinds of tensors that are refused here.
        with warnings.catch_warnings(), torch.serialization.safe_globals(unread):
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        # Where a file is cut or damaged decides what fails: struct.error, AssertionError, RuntimeError and more.
        raise UserError(f"{path} {_refusal(file, error)}") from None


def _refusal(file: IO[bytes], error: Exception) -> str:
    """Why a file is refused that torch would not load."""
    file.seek(0)
    start = file.read(2**16)
    if start[257:262] == _TAR:
        return "is a tar archive; unpack it, and import the file of weights that is in it"
    if start.lstrip().startswith(b"{") and b'"weight_map"' in start:
        return "is the index of weights in several files; save them as one state dict, and import that"
    if isinstance(error, pickle.UnpicklingError):
        found = re.search(r"(?:GLOBAL|Unsupported class) ([\w.]+)|``([\w.]+)`` must be imported", str(error))
        if found:
            what = found[1] or found[2]
            return f"holds more than tensors and plain values ({what}); it is refused, since loading it would run code"
        return "is no file that torch.save wrote, or it is truncated"
    if "TorchScript" in str(error):
        return "is a TorchScript archive, which holds code; save its state_dict() with torch.save, and import that"
    return f"is no file that torch.save wrote, or it is truncated ({_one_line(error)})"


def _checksums(file: IO[bytes], path: Path) -> Collection[int]:
    """The checksums of an archive's parts, once its names and values are found to be as they were written."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            size = file.seek(0, 2)
            if sum(part.file_size for part in parts) > _MOST_COMPRESSED * size:
                raise UserError(f"{path} claims to hold many times its own size; it is no file that torch.save wrote")
            for part in parts:
                if part.filename.endswith("/data.pkl"):
                    archive.read(part)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{path} is no file that torch.save wrote, or it is truncated ({_one_line(error)})") from None
    return {part.CRC for part in parts}


def _check(tensors: Iterable[Tensor], checksums: Collection[int], path: Path) -> None:
    """Raises UserError where numbers differ from those that were written, which torch does not look at."""
    storages = {storage.data_ptr(): storage for storage in (tensor.untyped_storage() for tensor in tensors)}
    for storage in storages.values():
        content = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
        if content.size and zlib.crc32(content.data) not in checksums:
            raise UserError(
                f"{path} is damaged: numbers in it are not those that were saved, by its own checksums; fetch it again (or "
                "save it again, if it was saved without checksums)"
            )


def _one_line(error: BaseException) -> str:
    return printable(next(iter(str(error).splitlines()), type(error).__name__)[:120])
