"""Runs workers on this machine: one in this process, or several processes that share the CPU cores and the GPUs."""

import multiprocessing
import os
import pickle
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from gsfnas.component import loaded, reload, trust, trusted
from gsfnas.errors import UserError, is_out_of_memory, one_line, shown
from gsfnas.executors.base import Executor, Task
from gsfnas.train._processes import begin_child, blocked_signals, without_main

_MAX_RESTARTS = 8
_MAX_WORKERS = 1024


def num_cores() -> int:
    """The number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_devices(workers: int, device: str, each: int = 1) -> list[str]:
    """The name of each worker's device, such as ``cuda:1``. GPUs are assigned round-robin to several workers.

    If a run uses ``each`` > 1 devices, the name is that of the first one.
    """
    from gsfnas.train import resolve_device

    if workers == 1 or device not in ("auto", "cuda"):
        return [str(resolve_device(device))] * workers
    import torch

    # Counting the devices uses the driver's management library and creates no CUDA context.
    count = torch.cuda.device_count()
    return [f"cuda:{index * each % count}" if count else str(resolve_device(device)) for index in range(workers)]


@dataclass(frozen=True)
class LocalExecutor(Executor):
    """Workers on this machine: a single worker runs in this process, several run in a process each.

    A worker whose process dies is replaced, a limited number of times. Its run is resumed by the next worker that asks for one;
    the crash is counted then.
    """

    workers: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.workers, int) or isinstance(self.workers, bool) or not 1 <= self.workers <= _MAX_WORKERS:
            rule = f"an integer from 1 to {_MAX_WORKERS:,}"
            raise UserError(f"`executor.workers` must be {rule}, but got {shown(self.workers)}")

    def check(self, task: Task) -> None:
        if self.workers > 1:
            _sendable(task)

    def run(self, task: Task, device: str, tell: Callable[[int, Any], None], say: Callable[[str], None]) -> None:
        threads = max(1, num_cores() // self.workers)
        devices = share_devices(self.workers, device, task.devices)
        if self.workers == 1:
            task(devices[0], threads, lambda told: tell(0, told))
            return
        pool = _WorkerPool(_sendable(task), threads, devices, tell, say)
        try:
            pool.run()
        finally:
            pool.stop()


def _sendable(task: Task) -> bytes:
    """Pickles the task for another process. Raises UserError if it cannot be pickled, or not be unpickled there."""
    own = "put it into a module of its own, or set executor.workers=1 (in Python: executor=LocalExecutor(1))"
    try:
        sent = pickle.dumps(task)
    except Exception as error:
        raise UserError(f"the study cannot be sent to worker processes ({one_line(error)}); {own}") from None
    if b"__main__" in sent:
        raise UserError(
            "a part of the study is defined in a notebook or in the script that runs it, which worker processes cannot import; "
            + own
        )
    return sent


@dataclass
class _Worker:
    index: int
    process: BaseProcess
    connection: Connection
    is_done: bool = False


class _WorkerPool:
    """Worker processes and their messages. Each has its own pipe, so that a worker that dies does not affect the others."""

    def __init__(
        self, task: bytes, threads: int, devices: list[str], tell: Callable[[int, Any], None], say: Callable[[str], None]
    ) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._task, self._threads, self._devices, self._tell, self._say = task, threads, devices, tell, say
        self._workers: list[_Worker] = []
        self._restarts = 0

    def run(self) -> None:
        for index in range(len(self._devices)):
            self._start(index)
        while self._workers:
            ready = wait([worker.connection for worker in self._workers])
            for worker in [worker for worker in self._workers if worker.connection in ready]:
                try:
                    self._receive(worker, worker.connection.recv())
                except (EOFError, OSError):
                    self._on_exit(worker)

    def stop(self) -> None:
        """Kills all workers, since they ignore all other signals. Their runs can be resumed by the same command."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()

    def _start(self, index: int) -> None:
        receiving, sending = self._context.Pipe(duplex=False)
        arguments = (self._task, trusted(), loaded(), self._devices[index], self._threads, sending)
        process = self._context.Process(target=_worker_process, args=arguments, name=f"gsfnas worker {index}")
        with blocked_signals(), without_main():
            process.start()
            self._workers.append(_Worker(index, process, receiving))
        sending.close()

    def _receive(self, worker: _Worker, message: Any) -> None:
        kind, content = message
        if kind == "event":
            self._tell(worker.index, content)
        elif kind == "done":
            worker.is_done = True
        elif kind == "stop":
            raise UserError(content)
        else:
            raise RuntimeError(f"worker {worker.index} failed:\n{content}")

    def _on_exit(self, worker: _Worker) -> None:
        """Handles a worker that has closed its end of the pipe, since it is done or has died; a dead one is replaced."""
        self._workers.remove(worker)
        worker.process.join()
        worker.connection.close()
        if worker.is_done:
            return
        code = worker.process.exitcode or 0
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        if self._restarts < _MAX_RESTARTS:
            self._restarts += 1
            self._say(f"worker {worker.index} died ({how}); another takes its place and its run is taken up")
            self._start(worker.index)
        elif not self._workers:
            raise UserError(f"the workers keep dying (last: {how}); where memory is short, ask for fewer `executor.workers`")


def _received(sent: bytes) -> Task:
    try:
        task: Task = pickle.loads(sent)
    except ImportError as error:
        own = "install it, or run from the folder that holds it"
        raise UserError(f"a worker process cannot import a part of the study ({one_line(error)}); {own}") from None
    return task


def _worker_process(
    sent: bytes,
    packages: tuple[str, ...],
    modules: tuple[tuple[str, str], ...],
    device: str,
    threads: int,
    connection: Connection,
) -> None:
    """The main function of a worker process, which ignores signals (the parent handles them) and never outlives its parent.

    The user's own modules are imported first, from the folders in which the parent found them.
    """
    try:
        begin_child()
        trust(*packages)
        reload(modules)
        task = _received(sent)
        task(device, threads, lambda told: connection.send(("event", told)))
        connection.send(("done", None))
    except UserError as error:
        connection.send(("stop", str(error)))
    except Exception as error:
        if is_out_of_memory(error):
            connection.send(("stop", f"memory runs out ({one_line(error)}); free some, or ask for fewer `executor.workers`"))
        else:
            connection.send(("crash", traceback.format_exc()))
