"""Several processes at one job, through Fabric's DDP: started here, watched, and ended together.

The first process (rank) tells what it finds. Where one dies, the others, which would wait for it, are ended too.
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
from typing import Any

import torch
from lightning_fabric import Fabric

from gsfnas.component import trust, trusted
from gsfnas.errors import UserError
from gsfnas.train._device import make_fabric
from gsfnas.train._processes import begin_child, deaf_children

_GRACE_SECONDS = 0.5
# What comes back as what it was, by its name; anything else is a RuntimeError.
_ERRORS: dict[str, type[Exception]] = {
    "UserError": UserError,
    "FloatingPointError": FloatingPointError,
    "OutOfMemoryError": torch.OutOfMemoryError,
    "MemoryError": MemoryError,
}


class ProcessDiedError(RuntimeError):
    """One of several processes ended without a word, killed by the system say."""


Tell = Callable[[Any], None]
# What each rank does; it must be picklable.
Work = Callable[[Fabric, Tell], None]


def launch(work: Work, device: torch.device, precision: str, devices: Sequence[int], threads: int) -> Iterator[Any]:
    """What rank 0 tells while ``len(devices)`` processes do ``work``, each with ``threads`` threads.

    Raises ProcessDiedError where a process dies, and what one of them raised: UserError, FloatingPointError and out of memory
    as such, anything else as a RuntimeError with its one line. None is left behind, however this ends.
    """
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    processes, connections = [], []
    try:
        for rank in range(len(devices)):
            receiving, sending = context.Pipe(duplex=False)
            arguments = (work, str(device), precision, list(devices), rank, port, threads, trusted(), sending)
            process = context.Process(target=_rank, args=arguments, name=f"gsfnas rank {rank}")
            with deaf_children():
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
                    processes[rank].join()
                    code = processes[rank].exitcode or 0
                    how = f"signal {-code}" if code < 0 else f"exit code {code}"
                    kind, content = "death", (time.monotonic(), f"process {rank + 1} of {len(devices)} died ({how})")
                if kind == "told":
                    yield content
                elif kind == "done":
                    del waiting[ready]
                else:
                    others = {connection: rank for connection, rank in waiting.items() if connection is not ready}
                    raise _first_cause([(kind, content), *_pending(others, len(devices))])
    finally:
        # They are deaf to anything gentler, and a checkpoint survives it.
        for process in processes:
            process.kill()
        for process in processes:
            process.join()
        for connection in connections:
            connection.close()


def _pending(waiting: dict[Connection, int], count: int) -> Iterator[tuple[str, tuple[float, str]]]:
    """What the other processes say of their end: whoever loses the first one says so too, and may be heard before it."""
    for connection, rank in waiting.items():
        with contextlib.suppress(EOFError, OSError):
            while connection.poll(_GRACE_SECONDS):
                kind, content = connection.recv()
                if kind not in ("told", "done"):
                    yield kind, content
                    break
            continue
        yield "death", (time.monotonic(), f"process {rank + 1} of {count} died")


def _first_cause(ends: list[tuple[str, tuple[float, str]]]) -> Exception:
    """An error that has a name, else a death, else an error without; of several what happened first.

    Who waits for another fails after it, for want of a connection.
    """
    kind, (_, said) = min(ends, key=lambda end: (end[0] not in _ERRORS, end[0] != "death", end[1][0]))
    return ProcessDiedError(said) if kind == "death" else _ERRORS.get(kind, RuntimeError)(said)


def _rank(
    work: Work,
    device: str,
    precision: str,
    devices: list[int],
    rank: int,
    port: int,
    threads: int,
    outside: tuple[str, ...],
    connection: Connection,
) -> None:
    """The life of one process. It never outlives its parent, whose affair signals are."""
    begin_child()
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(threads)
    # That the processes have found each other is no news; the layouts of 1 x 1 convolutions differ in name alone.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message="Grad strides do not match")
    try:
        trust(*outside)
        fabric = make_fabric(torch.device(device), precision, devices)
        fabric.launch()
        work(fabric, lambda content: connection.send(("told", content)) if rank == 0 else None)
        connection.send(("done", None))
        # Whoever ends first must not take the others' connection away.
        fabric.barrier()
    except Exception as error:
        kind = next((name for name, known in _ERRORS.items() if isinstance(error, known)), "")
        said = str(error) if kind else traceback.format_exception_only(error)[-1].strip()
        with contextlib.suppress(OSError):
            connection.send((kind, (time.monotonic(), said)))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
