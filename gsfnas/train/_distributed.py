"""Starts, watches and ends the processes of a distributed job, which communicate through Fabric's DDP.

Rank 0 reports the results. If one process dies, the others would wait for it forever, so they are killed too.
"""

import contextlib
import logging
import multiprocessing
import os
import socket
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch
from lightning_fabric import Fabric

from gsfnas.component import trust, trusted
from gsfnas.errors import UserError
from gsfnas.train._device import make_fabric
from gsfnas.train._processes import begin_child, blocked_signals

# The time in which the other processes report their errors, or end, after one has failed.
_REPORT_SECONDS = 2.0
# Errors that are raised again as the same type; any other becomes a RuntimeError.
_ERRORS: dict[str, type[Exception]] = {
    "UserError": UserError,
    "FloatingPointError": FloatingPointError,
    "OutOfMemoryError": torch.OutOfMemoryError,
    "MemoryError": MemoryError,
}


class ProcessDiedError(RuntimeError):
    """A process ended without reporting an error, for example because the system killed it."""


Tell = Callable[[Any], None]
# The function that each rank runs; it must be picklable.
Work = Callable[[Fabric, Tell], None]
# How a process ended: the kind of its error or "death", when, and the message.
End = tuple[str, tuple[float, str]]


def launch(work: Work, device: torch.device, precision: str, devices: Sequence[int], threads: int) -> Iterator[Any]:
    """Runs ``work`` in ``len(devices)`` processes with ``threads`` threads each, and yields what rank 0 reports.

    Raises ProcessDiedError if a process dies. An error in a process is raised here: UserError, FloatingPointError and out of
    memory as the same type, any other as a RuntimeError with one line. No process outlives this call, however it ends.
    """
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    processes, connections = [], []
    try:
        for rank in range(len(devices)):
            receiving, sending = context.Pipe(duplex=False)
            arguments = (work, str(device), precision, list(devices), rank, port, threads, trusted(), sending)
            process = context.Process(target=_run_rank, args=arguments, name=f"gsfnas rank {rank}")
            with blocked_signals():
                process.start()
                processes.append(process)
                connections.append(receiving)
            sending.close()
        waiting = dict(zip(connections, range(len(devices)), strict=True))
        while waiting:
            for ready in wait(list(waiting)):
                assert isinstance(ready, Connection)
                rank = waiting[ready]
                try:
                    kind, content = ready.recv()
                except (EOFError, OSError):
                    kind, content = _death(processes, rank)
                if kind == "report":
                    yield content
                elif kind == "done":
                    del waiting[ready]
                else:
                    others = {connection: rank for connection, rank in waiting.items() if connection is not ready}
                    raise _first_cause([(kind, content), *_pending_errors(others, processes)])
    finally:
        # They ignore all other signals, and a kill cannot damage a checkpoint.
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        for connection in connections:
            connection.close()


def _pending_errors(waiting: dict[Connection, int], processes: Sequence[BaseProcess]) -> Iterator[End]:
    """The errors of the other processes: peers of a dead process report connection errors, perhaps before its death is seen."""
    for connection, rank in waiting.items():
        with contextlib.suppress(EOFError, OSError):
            while connection.poll(_REPORT_SECONDS):
                kind, content = connection.recv()
                if kind not in ("report", "done"):
                    yield kind, content
                    break
            continue
        yield _death(processes, rank)


def _death(processes: Sequence[BaseProcess], rank: int) -> End:
    """The end of a process that has closed its connection without a report; waits until its exit code is known."""
    processes[rank].join()
    code = processes[rank].exitcode or 0
    how = f"signal {-code}" if code < 0 else f"exit code {code}"
    return "death", (time.monotonic(), f"process {rank + 1} of {len(processes)} died ({how})")


def _first_cause(ends: Sequence[End]) -> Exception:
    """The most likely cause of a failure: one of ``_ERRORS``, else a death, else any other error; the earliest of each kind.

    The others fail later, when their connection to the failed process breaks.
    """
    kind, (_, message) = min(ends, key=lambda end: (end[0] not in _ERRORS, end[0] != "death", end[1][0]))
    return ProcessDiedError(message) if kind == "death" else _ERRORS.get(kind, RuntimeError)(message)


def _run_rank(
    work: Work,
    device: str,
    precision: str,
    devices: list[int],
    rank: int,
    port: int,
    threads: int,
    trusted_parts: tuple[str, ...],
    connection: Connection,
) -> None:
    """Runs one process. It ends with its parent, and leaves signals to it."""
    begin_child()
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(threads)
    # Hides the log of the processes connecting, and a warning about strides of 1 x 1 convolutions, which are equivalent.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    try:
        trust(*trusted_parts)
        fabric = make_fabric(torch.device(device), precision, devices)
        fabric.launch()
        work(fabric, lambda content: connection.send(("report", content)) if rank == 0 else None)
        connection.send(("done", None))
        # A process that ended earlier would break the connection of the others.
        fabric.barrier()
    except Exception as error:
        kind = next((name for name, known in _ERRORS.items() if isinstance(error, known)), "")
        message = str(error) if kind else traceback.format_exception_only(error)[-1].strip()
        with contextlib.suppress(OSError):
            connection.send((kind, (time.monotonic(), message)))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
