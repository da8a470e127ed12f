"""A user's own data set: named, trusted, given options; and each way in which it can be no data set."""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gsfnas import component
from gsfnas.data import DataSettings, Entry, FileSet, LabelledClip, Manifest, check, open_data, preview, tasks_of
from gsfnas.errors import UserError

from ..media import numbered, write_images, write_video

SIZES: Mapping[str, Any] = {"frames": 4, "resolution": 16}
SOURCE = '''
from gsfnas.data import FileSet, LabelledClip

class Ramps(FileSet):
    """Folders of clips, whose names are the classes."""

    def __init__(self, suffix: str = "mp4") -> None:
        self.suffix = suffix

    def clips(self, root):
        for path in sorted(root.glob(f"*/*.{self.suffix}")):
            yield LabelledClip(path.relative_to(root).as_posix(), path.parent.name)

class Lacking:
    def tasks(self, settings):
        return {"class": ("a", "b")}

class Failing(Lacking):
    def open(self, settings, on_progress):
        raise KeyError("no such clip")

class Wrong(Lacking):
    def open(self, settings, on_progress):
        return 3

number = 3

def count():
    return 3
'''


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("library")
    for name in ("fall", "rise"):
        frames = numbered(12)[:: -1 if name == "fall" else 1]
        for number in range(4):
            write_video(root / name / f"{number}.mp4", frames + np.uint8(number))
    return root


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file of the user's, in the working directory, that the command line named."""
    (tmp_path / "my_ramps.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    with component.trusting(["my_ramps"]):
        yield "my_ramps"
    sys.modules.pop("my_ramps", None)


def settings(root: Path, name: Any, **values: Any) -> DataSettings:
    return DataSettings(name=name, root=str(root), cache=str(root.parent / "cache"), **SIZES, **values)


def refused(asked: DataSettings) -> str:
    with pytest.raises(UserError) as caught:
        open_data(asked)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_set_is_named_by_its_module(library: Path, module: str, tmp_path: Path) -> None:
    asked = settings(library, f"{module}:Ramps")
    data = open_data(asked)
    assert data.name == f"{module}:Ramps"
    assert tasks_of(asked) == data.tasks == {"class": ("fall", "rise")}
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 4, "val": 2, "test": 2}
    assert check(asked).rows == ()
    assert preview(asked, tmp_path / "sheet.png").exists()


def test_edited_code_has_another_fingerprint(library: Path, module: str, tmp_path: Path) -> None:
    before = open_data(settings(library, f"{module}:Ramps")).fingerprint
    assert open_data(settings(library, f"{module}:Ramps")).fingerprint == before
    (tmp_path / "my_ramps.py").write_text(SOURCE + "# edited\n")
    assert open_data(settings(library, f"{module}:Ramps")).fingerprint != before


def test_its_options_are_its_arguments(library: Path, module: str) -> None:
    assert "data set 'Ramps' lists no clip under" in refused(settings(library, f"{module}:Ramps", options={"suffix": "mkv"}))
    assert len(open_data(settings(library, f"{module}:Ramps", options={"suffix": "mp4"})).splits["train"]) == 4
    message = refused(settings(library, f"{module}:Ramps", options={"sufix": "mp4"}))
    assert "unknown setting 'data.options.sufix'; did you mean 'data.options.suffix'" in message


def test_ours_have_no_options() -> None:
    with pytest.raises(UserError, match=r"data set 'twins' has no options of its own, but got `data\.options\.fps`"):
        DataSettings(options={"fps": 25})


def test_what_only_a_file_names_is_not_imported(library: Path, module: str) -> None:
    (Path("not_trusted.py")).write_text("raise SystemExit('imported')")
    assert "which a file names and you did not; if you trust it, add --trust not_trusted" in refused(
        settings(library, "not_trusted:Ramps")
    )


def test_a_module_that_fails_is_named_with_its_line(library: Path, module: str) -> None:
    Path("broken_ramps.py").write_text("import os\nraise RuntimeError('no licence')\n")
    with component.trusting(["broken_ramps"]):
        message = refused(settings(library, "broken_ramps:Ramps"))
    assert "cannot import 'broken_ramps' (RuntimeError: no licence" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Rmaps", "data set 'my_ramps:Rmaps'"),
        ("number", "data set 'my_ramps:number'"),
        ("count", "data set 'int' has no method 'tasks'; every data set has tasks, open"),
        ("Lacking", "data set 'Lacking' has no method 'open'; every data set has tasks, open"),
        ("Failing", "data set 'my_ramps:Failing' failed (KeyError: 'no such clip', "),
        ("Wrong", "`open` of data set 'my_ramps:Wrong' must return a VideoData, but returned 3"),
    ],
)
def test_what_is_no_data_set(library: Path, module: str, name: str, message: str) -> None:
    assert message in refused(settings(library, f"{module}:{name}"))


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(UserError, match=r"unknown data set 'kinetics'; did you mean 'kinetics400'.*choices: diving48, "):
        DataSettings(name="kinetics")


def test_files_need_a_root(module: str) -> None:
    assert refused(DataSettings(name=f"{module}:Ramps", **SIZES)) == (
        "data set 'my_ramps:Ramps' needs `data.root`, the folder with its clips"
    )


class Listed(FileSet):
    """Whatever a test says."""

    rows: tuple[Any, ...] = ()

    def clips(self, root: Path) -> Iterator[LabelledClip]:
        yield from self.rows


class Read(FileSet):
    manifest: Any = None

    def read(self, root: Path, settings: DataSettings) -> Manifest:
        found: Manifest = self.manifest
        return found


class Empty(FileSet):
    pass


RISE, FALL = LabelledClip("rise/0.mp4", "rise"), LabelledClip("fall/0.mp4", "fall")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("rise/0.mp4", "rise")], "`clips` must give values of LabelledClip, but one is ('rise/0.mp4', 'rise')"),
        ([LabelledClip("rise/0.mp4", 1)], "`label` of a clip must be a string, but got 1"),  # type: ignore[arg-type]
        ([LabelledClip("a.mp4", "a", start_s="1", stop_s=2.0)], "`start_s` of the clip 'a.mp4' must be a number"),  # type: ignore[arg-type]
        ([], "data set 'Listed' lists no clip under"),
        ([RISE], "has the single class 'rise'; there must be at least two"),
        ([RISE, LabelledClip("fall/9.mp4", "fall")], "2 clips cannot be used, the first of them since there is no fall/9.mp4"),
        ([RISE, FALL, LabelledClip("../x.mp4", "rise")], "'../x.mp4' leads out of the root with '..'"),
        ([RISE, FALL, LabelledClip("rise/1.mp4", "rise", start_s=1.0)], "of start_s and stop_s there must be both or none"),
        ([RISE, FALL, LabelledClip("rise/1.mp4", "rise", "tset")], "the split 'tset' is none of train, val, test"),
        ([RISE, FALL, RISE], "'rise/0.mp4' is in train already; the first one stays"),
    ],
)
def test_a_list_that_cannot_be_used(library: Path, monkeypatch: pytest.MonkeyPatch, rows: list[Any], message: str) -> None:
    monkeypatch.setattr(Listed, "rows", rows)
    assert message in refused(settings(library, Listed))


def test_a_part_of_a_folder_of_images_needs_its_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"
    for number in range(4):
        write_images(root / str(number), list(numbered(20)))
    parts = [(str(number), name, start) for number in range(4) for name, start in (("early", 0.0), ("late", 1.0))]
    monkeypatch.setattr(
        Listed, "rows", [LabelledClip(path, name, "train", start, start + 1, 10) for path, name, start in parts]
    )
    data = open_data(settings(root, Listed))
    assert sum(map(len, data.splits.values())) == 8
    monkeypatch.setattr(Listed, "rows", [LabelledClip(path, name, "train", start, start + 1) for path, name, start in parts])
    assert "which have no seconds: a clip needs `fps`, its frames a second" in refused(settings(root, Listed))


CLASSES = {"class": ("fall", "rise")}


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (None, "must be a Manifest, but is None"),
        (Manifest({}, {"train": ()}), "has no task; it needs at least one"),
        (Manifest(CLASSES, {"test": ()}), "has the splits test; it needs train, and may have val and test"),
        (Manifest(CLASSES, {"train": (), "dev": ()}), "has the splits train, dev; it needs train"),
        (Manifest({"class": ("fall",)}, {"train": ()}), "has the single class 'fall'; there must be at least two"),
        (
            Manifest(CLASSES, {"train": (Entry("a", "a.mp4", (2,)),)}),
            "the class 2, which must be from 0 to 1",
        ),
        (Manifest(CLASSES, {"train": (Entry("a", "a.mp4", ()),)}), "gives the clip 'a' 0 labels for 1 tasks"),
        (Manifest(CLASSES, {"train": (Entry("a", "/a.mp4", (1,)),)}), "whose path cannot be used: '/a.mp4' is absolute"),
        (Manifest(CLASSES, {"train": ()}), "has no clip for train"),
    ],
)
def test_a_manifest_that_cannot_be_used(
    library: Path, monkeypatch: pytest.MonkeyPatch, manifest: Manifest | None, message: str
) -> None:
    monkeypatch.setattr(Read, "manifest", manifest)
    assert message in refused(settings(library, Read))


def test_a_set_that_lists_nothing(library: Path) -> None:
    message = refused(settings(library, Empty))
    assert re.search(r"cannot list its clips \(NotImplementedError: Empty must have a method `clips\(root\)` or `read", message)
