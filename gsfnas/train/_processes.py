"""What processes started here have in common: they leave Ctrl-C to their parent, and do not outlive it. No torch here."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """A process started within is deaf to Ctrl-C from its first instant; only the main thread may ask for this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def die_with(parent: Any) -> None:
    """For a thread of its own: ends this process when ``parent`` ends."""
    parent.join()
    os._exit(1)
