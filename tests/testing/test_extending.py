"""docs/extending.md, followed to the letter in an empty folder: its files are written, its commands and its tests run.

Only the sizes are smaller than the page says, and nobody waits for latencies.
"""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from gsfnas.cli import main
from gsfnas.record import Latency
from gsfnas.study import load_study

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
CLIPS = ["data.train_clips=48", "data.val_clips=24", "data.test_clips=24"]
TINY = ["train.epochs=1", "train.warm_start=0", "study.trials=4", "study.replicates=1", "study.initial_fraction=0"]


def blocks(pattern):
    return re.findall(pattern, PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


FILES = dict(blocks(r"^```python\n# (\w+\.py)\n(.*?)^```"))
COMMANDS = [line for block in blocks(r"^```bash\n(.*?)^```") for line in block.splitlines()]


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """An empty folder with the files of the page, where a reader works."""
    for name, code in FILES.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("gsfnas.executors.local.num_cores", lambda: 1)
    monkeypatch.setattr("gsfnas.api._study.latency", lambda heads, device, one: Latency(one.key, 1, 1, 1, device, 1, "float32"))
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)


def tiny(words):
    """The command on as little as will do."""
    given = [word.partition("=")[0] for word in words]
    if words[:2] == ["data", "export"]:
        return [*words, *CLIPS]
    if words[:2] != ["study", "run"]:
        return words
    width = [] if "backbone" in given else ["backbone.width=0.25"]
    clips = [] if "data" in given else CLIPS
    # With several workers, only what an earlier study has run: each process that trains takes seconds to begin.
    workers = ["study.trials=2"] if "executor.workers" in given else ["workers=1"]
    batch = ["train.batch_size=8"] if "data" in given else []
    return [*words, *TINY, *width, *clips, *workers, *batch]


def test_the_commands_of_the_page(stranger, capsys):
    assert len(COMMANDS) >= 9
    for command in dict.fromkeys(COMMANDS):
        words = tiny(shlex.split(command)[1:])
        code, said = main(words), capsys.readouterr()
        assert code == 0, f"{command}: {said.err}"
        if words[:2] != ["study", "run"]:
            continue
        name = next(word for word in words if word.startswith("study.name=")).partition("=")[2]
        records = load_study("runs", name).records
        assert len(records) == (2 if name == "polite" else 4)
        assert {record.outcome for record in records} == {"complete"}, command
        assert ("workers run with niceness 15" in said.err) == (name == "polite")
    assert "How many modules?" in (stranger / "reports" / "numbers" / "report.md").read_text()
    noted = (stranger / "runs" / "noted" / "runs.txt").read_text().splitlines()
    assert sorted(noted) == sorted(f"{record.candidate.key} complete" for record in load_study("runs", "noted").records)
    # The same parts by other options are another question.
    code = main(tiny(shlex.split("study run placement sampler=my_sampler:Climber sampler.width=2 study.name=climber")))
    assert (code, capsys.readouterr().err.count("\n")) == (2, 1)


def test_what_an_edit_does_to_results(stranger, capsys):
    """An edited sampler is another study, which takes over what was run; an edited evaluator makes results of its own."""
    words = tiny(shlex.split("study run placement evaluator=my_evaluator:NearestMean sampler=my_sampler:Climber"))
    assert main([*words, "study.name=first"]) == 0
    edit = FILES["my_sampler.py"] + "\n# edited\n"
    (stranger / "my_sampler.py").write_text(edit)
    assert main([*words, "study.name=first"]) == 2
    assert "study 'first' was begun with another configuration" in capsys.readouterr().err
    assert main([*words, "study.name=second"]) == 0
    assert {record.source for record in load_study("runs", "second").records} == {"first"}
    (stranger / "my_evaluator.py").write_text(FILES["my_evaluator.py"] + "\n# edited\n")
    assert main([*words, "study.name=third"]) == 0
    assert {record.source for record in load_study("runs", "third").records} == {None}


@pytest.mark.slow
def test_the_tests_and_the_script_of_the_page(stranger):
    """As a reader runs them, each in a process of its own."""
    assert main(["data", "export", "twins", "--out", "clips", *CLIPS]) == 0
    (stranger / "pytest.ini").write_text("[pytest]\n")
    run = {"cwd": stranger, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"], **run)
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 60
    done = subprocess.run([sys.executable, "search.py"], env={**os.environ, "OMP_NUM_THREADS": "1"}, **run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "reports/from-python/report.html"
