"""Whatever is given: nothing runs that data name, nothing hangs, no traceback, no exit code 1, and one line says what is wrong.

A short form in every run of the tests, the whole with ``pytest -m fuzz --fuzz``. Seeds are fixed: a failure names its case.
``--fuzz-seed`` draws others.
"""

import io
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gsfnas.candidate import Candidate
from gsfnas.cli import main
from gsfnas.errors import UserError

from . import inputs

pytestmark = pytest.mark.fuzz

# Cases of the short and of the whole form; each part draws from a seed of its own.
PARTS = 20
LINES, VALUES, FILES = (60, 1000), (40, 300), (40, 300)
# Nothing here takes a second on an idle core.
HUNG_SECONDS = 60

_seen: list[str] = []


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """What would run a command or code that data named; an audit hook stays for the whole process, so it only takes notes."""
    if event in ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "import", "compile") and inputs.CANARY in repr(
        arguments
    ):
        _seen.append(f"{event} {arguments!r}"[:200])


sys.addaudithook(_watch)


class Hung(BaseException):
    """Not an Exception: nobody on the way may take it for one of his own."""


@pytest.fixture
def folder(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what was prepared, as the working directory, and a victim outside it."""
    place = tmp_path / "work"

    def copy(source: str, target: str) -> None:
        os.mkfifo(target) if Path(source).is_fifo() else shutil.copy2(source, target)

    shutil.copytree(prepared, place, symlinks=True, copy_function=copy)
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious").touch()
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(inputs.CANARY, "secret")
    monkeypatch.setenv("PYTHONWARNINGS", os.environ.get("PYTHONWARNINGS", ""))
    return place


@pytest.fixture
def tried(folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., int]:
    """Runs one command line and holds what must hold of every one."""

    def on_alarm(*_: Any) -> None:
        raise Hung

    def run(line: list[str], case: str, stdin: str = "") -> int:
        _seen.clear()
        capfd.readouterr()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        before = signal.signal(signal.SIGALRM, on_alarm)
        signal.alarm(HUNG_SECONDS)
        what = f"{case}: gsfnas {' '.join(argument[:200] for argument in line)!r}"
        try:
            code = main(line)
        except SystemExit as error:
            code = error.code
        except Hung:
            raise AssertionError(f"{what} hung") from None
        except BaseException as error:
            raise AssertionError(f"{what} let {error!r} through") from error
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)
        out, err = capfd.readouterr()
        assert not _seen, f"{what} ran {_seen[0]}"
        assert code in (0, 2), f"{what} ended with {code}: {err[-500:]}"
        assert "Traceback" not in out + err, f"{what}: {err[-500:]}"
        assert "\x1b" not in out + err, f"{what} printed an escape"
        assert "secret" not in out, f"{what} told the environment"
        if code == 2 and "Usage: " not in out:
            errors = [text for text in err.splitlines() if text.startswith("error: ")]
            assert len(errors) == 1, f"{what}: {err[-500:]}"
            assert err.endswith(errors[0] + "\n"), f"{what}: {err[-500:]}"
        assert (folder.parent / "victim" / "precious").exists(), f"{what} removed what is not its own"
        return int(code)

    return run


@pytest.fixture
def draw(request: pytest.FixtureRequest, part: int) -> random.Random:
    return random.Random(f"{request.node.originalname} {request.config.getoption('--fuzz-seed')} {part}")


@pytest.fixture
def share(request: pytest.FixtureRequest) -> Callable[[tuple[int, int], int], int]:
    """How many cases one part of a form has."""
    is_whole = request.config.getoption("--fuzz")
    return lambda forms, part: len(range(part, forms[1] if is_whole else forms[0], PARTS))


@pytest.mark.parametrize("part", range(PARTS))
def test_command_lines(tried: Callable[..., int], draw: random.Random, share: Callable[..., int], part: int) -> None:
    for number in range(share(LINES, part)):
        tried(inputs.command_line(draw), f"line {part}.{number}")


@pytest.mark.parametrize("part", range(PARTS))
def test_candidates_and_spaces(
    tried: Callable[..., int], folder: Path, draw: random.Random, share: Callable[..., int], part: int
) -> None:
    for number in range(share(VALUES, part)):
        case = f"value {part}.{number}"
        value = inputs.candidate(draw) if number % 2 else inputs.space(draw)
        text = json.dumps(value)
        if number % 2:
            (folder / "v.json").write_text(text)
            tried(["cost", draw.choice(["v.json", "-", text])], case, stdin=text)
            # What is accepted is canonical: it says itself.
            try:
                found = Candidate.from_json(text)
            except UserError:
                continue
            assert Candidate.from_json(found.to_json()) == found, case
        else:
            (folder / "spaces" / "v.yaml").write_text(text)
            tried(
                draw.choice(
                    [["space", "size", "v", "--width", "0.25"], ["cost", "--space", "v"], ["study", "show", "mine", "space=v"]]
                ),
                case,
            )


# A file, and the commands that read it.
READ: tuple[tuple[str, tuple[tuple[str, ...], ...]], ...] = (
    ("c.json", (("cost", "c.json"),)),
    ("report/trials.csv", (("cost", "report:1"),)),
    (
        "weights.safetensors",
        (
            ("test", "weights.safetensors", "data=folder", "data.root=clips"),
            ("weights", "import", "weights.safetensors", "--out", "o.safetensors"),
        ),
    ),
    ("weights.pth", (("weights", "import", "weights.pth", "--candidate", "c.json", "--out", "o.safetensors"),)),
    ("run/run.yaml", (("test", "run", "data.test_clips=24", "data.train_clips=24", "data.val_clips=24"),)),
    (
        "runs/tiny/journal.log",
        (
            ("study", "status", "tiny"),
            ("study", "best", "tiny"),
            ("study", "list"),
            ("report", "build", "tiny"),
            ("study", "best", "tiny", "--train", "train.init=missing"),
            ("cost", "c1-"),
        ),
    ),
    ("runs/tiny/journal.log", (("study", "best", "tiny"), ("report", "build", "tiny"))),
    ("spaces/mine.yaml", (("space", "size", "mine"), ("study", "show", "mine"))),
    ("studies/mine.yaml", (("study", "show", "mine"), ("study", "list"), ("cost", "--study", "mine"))),
    ("clips/train/a/clip.mp4", (("data", "check", "folder", "data.root=clips"),)),
    (
        "clips/train/b/frames/img_2.jpg",
        (("data", "check", "folder", "data.root=clips"), ("data", "preview", "folder", "data.root=clips", "--split", "train")),
    ),
    ("clips/clips.csv", (("data", "check", "folder", "data.root=clips", "data.csv=clips.csv"),)),
)


@pytest.mark.parametrize("part", range(PARTS))
def test_damaged_files(
    tried: Callable[..., int], folder: Path, draw: random.Random, share: Callable[..., int], part: int
) -> None:
    for number in range(share(FILES, part)):
        name, commands = READ[(part * 7 + number) % len(READ)]
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(inputs.damaged(whole, draw))
        tried(list(draw.choice(commands)), f"file {part}.{number} {name}")
        (folder / name).write_bytes(whole)
        (folder / "o.safetensors").unlink(missing_ok=True)
