"""What every executor must do. An executor's test inherits ``ExecutorConformance`` and gives the executor:

    class TestMine(ExecutorConformance):
        @pytest.fixture
        def executor(self):
            return Mine(workers=2)

Workers that are processes are killed, too, so let it start two of them or more.
"""

import fcntl
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from gsfnas.errors import UserError
from gsfnas.executors import Executor
from gsfnas.executors.base import Tell

_WHOLE_CALL_S = 120
_WORKER_ENDS_S = 10


class ExecutorConformance:
    """Tests of one executor, which the fixture ``executor`` returns."""

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError("a conformance test needs a fixture `executor` that returns an executor")

    def test_every_worker_does_the_task_and_what_it_tells_arrives(self, executor: Executor, tmp_path: Path) -> None:
        assert isinstance(executor.workers, int)
        assert executor.workers >= 1
        told = _run(executor, WorkerTask(tmp_path))
        assert set(told) == set(range(executor.workers)), (
            f"{executor.workers} workers tell as 0, 1, ..., but got {sorted(told)}"
        )
        for heard in told.values():
            assert [what for what, _ in heard] == ["begin", "number 0", "number 1", "end"], "a worker is heard in order"
            (device, threads), *_ = [value for what, value in heard if what == "begin"]
            assert device == "cpu", f"a worker has the device that was asked for, but got {device!r}"
            assert threads >= 1
        assert (tmp_path / "began").read_text().count("\n") == executor.workers

    def test_a_worker_that_dies_is_replaced(self, executor: Executor, tmp_path: Path) -> None:
        _skip_unless_processes(executor, tmp_path)
        said: list[str] = []
        told = _run(executor, WorkerTask(tmp_path, "die"), said.append)
        ends = [what for heard in told.values() for what, _ in heard if what == "end"]
        assert len(ends) == executor.workers, "as many workers must end well as there are"
        assert said, "people are told that a worker died"
        assert all("\n" not in line for line in said)

    def test_workers_that_always_die_end_the_call(self, executor: Executor, tmp_path: Path) -> None:
        """With an error or without one: what is left is seen by the study."""
        _skip_unless_processes(executor, tmp_path)
        begun = time.monotonic()
        with pytest.raises(UserError) as caught:
            _run(executor, WorkerTask(tmp_path, "always die"))
        assert "\n" not in str(caught.value)
        assert time.monotonic() - begun < _WHOLE_CALL_S, "workers that die are replaced a bounded number of times"

    def test_what_the_user_must_mend_is_raised(self, executor: Executor, tmp_path: Path) -> None:
        """In one line, as the worker has said it, without waiting for the others."""
        begun = time.monotonic()
        with pytest.raises(UserError, match=r"^mend this, please$"):
            _run(executor, WorkerTask(tmp_path, "refuse"))
        assert time.monotonic() - begun < _WHOLE_CALL_S, "the other workers were waited for"
        _assert_ended(tmp_path)

    def test_no_worker_outlives_the_call(self, executor: Executor, tmp_path: Path) -> None:
        """Whatever ends it: here what hears the workers fails."""

        class StopError(Exception):
            pass

        def tell(worker: int, told: Any) -> None:
            raise StopError

        with pytest.raises(StopError):
            executor.run(WorkerTask(tmp_path, "wait"), "cpu", tell, lambda line: None)
        _assert_ended(tmp_path)

    def test_it_runs_again(self, executor: Executor, tmp_path: Path) -> None:
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            assert len(_run(executor, WorkerTask(tmp_path / name))) == executor.workers


@dataclass(frozen=True)
class WorkerTask:
    """What a worker does in these tests: notes its process, says some words, or does not get so far.

    Under ``die`` the first worker kills itself, under ``always die`` all of them; under ``refuse`` the first one raises a
    UserError while the others wait, under ``wait`` all wait.
    """

    folder: Path
    kind: Literal["work", "die", "always die", "refuse", "wait"] = "work"
    devices: int = 1

    def __call__(self, device: str, threads: int, tell: Tell) -> None:
        with (self.folder / "began").open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            is_first = not file.read()
            file.write(f"{os.getpid()}\n")
        if self.kind == "always die" or (self.kind == "die" and is_first):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "refuse" and is_first:
            raise UserError("mend this, please")
        tell(("begin", (device, threads)))
        if self.kind in ("refuse", "wait"):
            time.sleep(2 * _WHOLE_CALL_S)
        for number in range(2):
            tell((f"number {number}", number))
        tell(("end", None))


def _run(executor: Executor, task: WorkerTask, say: Callable[[str], Any] = lambda line: None) -> dict[int, list[Any]]:
    told: dict[int, list[Any]] = {}
    executor.run(task, "cpu", lambda worker, what: told.setdefault(worker, []).append(what), say)
    return told


def _skip_unless_processes(executor: Executor, folder: Path) -> None:
    """A worker that is this process cannot be killed by its tests."""
    place = folder / "processes"
    place.mkdir()
    _run(executor, WorkerTask(place))
    if os.getpid() in map(int, (place / "began").read_text().split()):
        pytest.skip("its workers are no processes of their own")


def _assert_ended(folder: Path) -> None:
    """No process that began is alive; one that waits to be collected is not."""
    until = time.monotonic() + _WORKER_ENDS_S
    for process in map(int, (folder / "began").read_text().split()):
        while process != os.getpid() and _is_alive(process):
            assert time.monotonic() < until, f"worker process {process} outlives the call"
            time.sleep(0.05)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
