"""Child processes that leave signals to their parent and end with it. Does not import torch."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Sent by Ctrl-C, a job system or a closed terminal, often to the whole process group; only the parent acts on them.
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def blocked_signals() -> Iterator[None]:
    """Starts processes with the stop signals blocked; those for this process are delivered at the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_child() -> None:
    """Called first in a process started within ``blocked_signals``: it ignores stop signals, and ends when its parent ends."""
    for one in _STOP_SIGNALS:
        signal.signal(one, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_exit_with, args=(parent,), daemon=True).start()


def _exit_with(parent: Any) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def without_main() -> Iterator[None]:
    """Starts processes that do not run the main script again, so the script needs no ``if __name__ == "__main__"``."""
    main = sys.modules["__main__"]
    before = {name: getattr(main, name) for name in ("__spec__", "__file__") if hasattr(main, name)}
    main.__spec__ = None
    if "__file__" in before:
        del main.__file__
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(main, name, value)
