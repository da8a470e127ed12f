"""Ours passes the suite that strangers inherit, with processes and within this one; an executor that breaks a rule does not."""

import multiprocessing
from dataclasses import dataclass

import pytest

from gsfnas.executors.base import Executor
from gsfnas.executors.local import LocalExecutor
from gsfnas.testing.executor import ExecutorConformance


class TestLocal(ExecutorConformance):
    @pytest.fixture
    def executor(self):
        return LocalExecutor(2)


class TestLocalWithinThisProcess(ExecutorConformance):
    @pytest.fixture
    def executor(self):
        return LocalExecutor(1)


@dataclass(frozen=True)
class Broken(Executor):
    """Too few workers, or workers that cannot be told apart."""

    fault: str
    workers: int = 2

    def run(self, task, device, tell, say):
        if self.fault == "one too few":
            task(device, 1, lambda told: tell(0, told))
            return
        context = multiprocessing.get_context("fork")
        queue = context.Queue()
        processes = [context.Process(target=work, args=(task, device, queue)) for _ in range(self.workers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        for _ in range(4 * self.workers):
            tell(0, queue.get(timeout=10))


def work(task, device, queue):
    task(device, 1, queue.put)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("fault", ["one too few", "names"])
def test_a_broken_executor_fails(tmp_path, fault):
    with pytest.raises(AssertionError):
        ExecutorConformance().test_every_worker_runs_the_task_and_its_messages_arrive(Broken(fault), tmp_path)


@dataclass(frozen=True)
class Deaf(LocalExecutor):
    """Ours, which hears nothing of what its workers tell it in the end."""

    def run(self, task, device, tell, say):
        try:
            super().run(task, device, tell, say)
        except Exception:
            return


@pytest.mark.parametrize(
    "test",
    [
        "test_a_user_error_is_raised",
        "test_no_worker_outlives_the_call",
        "test_workers_that_always_die_end_the_call",
    ],
)
def test_an_executor_that_swallows_errors_fails(tmp_path, test):
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        getattr(ExecutorConformance(), test)(Deaf(2), tmp_path)


def test_an_executor_that_replaces_nobody_fails(tmp_path, monkeypatch):
    monkeypatch.setattr("gsfnas.executors.local._MAX_RESTARTS", 0)
    with pytest.raises(AssertionError, match="every worker, or its replacement"):
        ExecutorConformance().test_a_worker_that_dies_is_replaced(LocalExecutor(2), tmp_path)
