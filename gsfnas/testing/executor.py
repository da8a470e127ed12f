"""Tests that every executor must pass. Inherit ``ExecutorConformance`` and provide the executor:

    class TestMine(ExecutorConformance):
        @pytest.fixture
        def executor(self):
            return Mine(workers=2)

Let it start at least two workers. If they are processes, some tests kill them.
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
    """The suite. ``executor`` returns the executor."""

    @pytest.fixture
    def executor(self) -> Executor:
        raise NotImplementedError("a conformance test needs a fixture `executor` that returns an executor")

    def test_every_worker_runs_the_task_and_its_messages_arrive(self, executor: Executor, tmp_path: Path) -> None:
        assert isinstance(executor.workers, int)
        assert executor.workers >= 1
        messages = _run(executor, WorkerTask(tmp_path))
        assert set(messages) == set(range(executor.workers)), (
            f"workers must be numbered from 0 to {executor.workers - 1}, but got {sorted(messages)}"
        )
        for received in messages.values():
            assert [what for what, _ in received] == ["begin", "number 0", "number 1", "end"], "messages must stay in order"
            (device, threads), *_ = [value for what, value in received if what == "begin"]
            assert device == "cpu", f"workers must use the requested device, but got {device!r}"
            assert threads >= 1
        assert (tmp_path / "began").read_text().count("\n") == executor.workers

    def test_a_worker_that_dies_is_replaced(self, executor: Executor, tmp_path: Path) -> None:
        _skip_unless_processes(executor, tmp_path)
        lines: list[str] = []
        messages = _run(executor, WorkerTask(tmp_path, "die"), lines.append)
        ends = [what for received in messages.values() for what, _ in received if what == "end"]
        assert len(ends) == executor.workers, "every worker, or its replacement, must finish the task"
        assert lines, "the user must be told that a worker died"
        assert all("\n" not in line for line in lines)

    def test_workers_that_always_die_end_the_call(self, executor: Executor, tmp_path: Path) -> None:
        """With a one-line error, after a bounded number of replacements."""
        _skip_unless_processes(executor, tmp_path)
        begun = time.monotonic()
        with pytest.raises(UserError) as caught:
            _run(executor, WorkerTask(tmp_path, "always die"))
        assert "\n" not in str(caught.value)
        assert time.monotonic() - begun < _WHOLE_CALL_S, "dead workers must be replaced a bounded number of times"

    def test_a_user_error_is_raised(self, executor: Executor, tmp_path: Path) -> None:
        """Unchanged, and without waiting for the other workers."""
        begun = time.monotonic()
        with pytest.raises(UserError, match=r"^the data is missing$"):
            _run(executor, WorkerTask(tmp_path, "refuse"))
        assert time.monotonic() - begun < _WHOLE_CALL_S, "the call waits for the other workers"
        _assert_ended(tmp_path)

    def test_no_worker_outlives_the_call(self, executor: Executor, tmp_path: Path) -> None:
        """However the call ends; here ``tell`` raises an error."""

        class StopError(Exception):
            pass

        def tell(worker: int, message: Any) -> None:
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
    """The task of the workers: it records the process id and sends a few messages, unless ``kind`` says otherwise.

    With ``die`` the first worker kills itself, with ``always die`` every worker; with ``refuse`` the first one raises a
    UserError while the others wait; with ``wait`` all wait.
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
            raise UserError("the data is missing")
        tell(("begin", (device, threads)))
        if self.kind in ("refuse", "wait"):
            time.sleep(2 * _WHOLE_CALL_S)
        for number in range(2):
            tell((f"number {number}", number))
        tell(("end", None))


def _run(executor: Executor, task: WorkerTask, say: Callable[[str], Any] = lambda line: None) -> dict[int, list[Any]]:
    messages: dict[int, list[Any]] = {}
    executor.run(task, "cpu", lambda worker, what: messages.setdefault(worker, []).append(what), say)
    return messages


def _skip_unless_processes(executor: Executor, folder: Path) -> None:
    """Skips the test if workers run in this process, which cannot be killed."""
    place = folder / "processes"
    place.mkdir()
    _run(executor, WorkerTask(place))
    if os.getpid() in map(int, (place / "began").read_text().split()):
        pytest.skip("the workers are not processes of their own")


def _assert_ended(folder: Path) -> None:
    """Asserts that no worker process is alive; a zombie is not."""
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
