"""Where configuration is found: config roots in order, the first match winning file by file.

A config root is any folder that holds ``spaces/`` or ``studies/``; it may hold files of the groups ``data/``, ``train/`` and
``backbone/`` too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gsfnas
from gsfnas import plain_yaml
from gsfnas.errors import UserError, unknown

PACKAGE = Path(gsfnas.__file__).parent
# The files of the groups data, train and backbone that come with the package.
GROUPS = PACKAGE / "config"


@dataclass(frozen=True)
class ConfigRoots:
    """The folders that are searched, in order; the last are what is shipped."""

    folders: tuple[Path, ...]

    def files(self, group: str) -> Mapping[str, Path]:
        """Every file of a group by name, the first root winning.

        Groups: ``studies``, ``spaces``, ``data``, ``train``, ``backbone``.
        """
        found: dict[str, Path] = {}
        for folder in (root / group for root in self.folders):
            # Studies and spaces may stand in subfolders. A folder ``data`` beside them may be large, so only its top is read.
            pattern = "**/*.yaml" if group in {"studies", "spaces"} else "*.yaml"
            for path in sorted(folder.glob(pattern)):
                found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), path)
        return found

    def file(self, group: str, name: str, kind: str) -> Path:
        """The file of that name. Raises UserError with the nearest names where there is none."""
        files = self.files(group)
        if name not in files:
            raise unknown(kind, name, files)
        return files[name]

    def headlines(self, group: str) -> Mapping[str, str]:
        """What each file of a group opens with, by name; of one that cannot be read, why not."""
        found = {}
        for name, path in self.files(group).items():
            try:
                found[name] = _headline(self.read(path))
            except UserError as error:
                found[name] = str(error)
        return found

    def read(self, path: Path) -> str:
        """The text of one of these files. Raises UserError for a link out of the roots, and as ``plain_yaml.read`` does."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError) as error:
            raise UserError(f"cannot read {path}: {error}") from None
        # An installer may have made what is shipped of links.
        if not is_shipped(path) and not any(real.is_relative_to(folder) for folder in self.folders):
            raise UserError(f"cannot read {path}: it is a link to {real}, which is in no config root")
        return plain_yaml.read(path)


def find_roots(config_root: Path | None = None, *, with_working_directory: bool = True) -> ConfigRoots:
    """The roots: ``config_root``, the working directory where it is one, and what is shipped.

    Raises UserError where ``config_root`` is no config root.
    """
    if config_root is not None and not _is_root(config_root):
        raise UserError(f"a config root holds spaces/ or studies/, but {str(config_root)!r} holds neither")
    wanted = [config_root, Path.cwd() if with_working_directory else None, _shipped(), GROUPS]
    folders = [folder.resolve() for folder in wanted if folder is not None and (folder == GROUPS or _is_root(folder))]
    return ConfigRoots(tuple(dict.fromkeys(folders)))


def is_shipped(path: Path) -> bool:
    """Whether a file came with the package."""
    folders = (_shipped() / "spaces", _shipped() / "studies", GROUPS)
    return any(path.is_relative_to(folder.resolve()) for folder in folders)


def headline(path: Path) -> str:
    """The first sentence of a file's header comment: for a study and a space, its question.

    Raises UserError for a file that cannot be read, or that no study and no space can be.
    """
    return _headline(plain_yaml.read(path))


def _headline(text: str) -> str:
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        said = line.lstrip("# ").strip()
        if said and not said.startswith("@package"):
            return said
    return ""


def _is_root(folder: Path) -> bool:
    return (folder / "spaces").is_dir() or (folder / "studies").is_dir()


def _shipped() -> Path:
    """In a wheel ``spaces/`` and ``studies/`` are inside the package; in an editable install they stand beside it."""
    return PACKAGE if _is_root(PACKAGE) else PACKAGE.parent
