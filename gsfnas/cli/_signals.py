"""How a command ends when it is told to: Ctrl-C, SIGTERM of a job system, SIGHUP of a terminal that is gone.

All three are a KeyboardInterrupt, which whoever holds something open unwinds and tells; the exit code says which it was. While
modules load there is nothing to unwind, and libraries written in C do not take an exception well: the process ends at once.
Nothing but the standard library here, so that it is in place before anything else is imported.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

STOPPED = 130
# A second signal within this time is the same wish once more: job systems and shells signal a process and its group.
_SAME_SECONDS = 1.0
_IMPORTING = "<frozen importlib._bootstrap>"


class Stop:
    """Whether a signal has come, and which exit code it asks for: 128 and its number."""

    def __init__(self) -> None:
        self.code = 0
        self._since = 0.0

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The handler: raises KeyboardInterrupt, once; a later signal, or one while modules load, ends the process."""
        is_first, self.code = not self.code, self.code or 128 + number
        if is_first:
            self._since = time.monotonic()
        elif time.monotonic() - self._since < _SAME_SECONDS:
            return
        if not is_first or _is_importing(frame):
            with contextlib.suppress(OSError):
                os.write(2, b"stopped\n")
            os._exit(self.code)
        raise KeyboardInterrupt


@contextlib.contextmanager
def stopping(*, to_the_end: bool) -> Iterator[Stop]:
    """Takes the three signals for the block, or until the process ends; one that is ignored, as nohup has it, stays so."""
    stop = Stop()
    before = {}
    if threading.current_thread() is threading.main_thread():
        for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(one) not in (signal.SIG_IGN, None):
                before[one] = signal.signal(one, stop)
    try:
        yield stop
    finally:
        for one, handler in before.items():
            # Nothing of a command is left to unwind: what comes while the interpreter ends must not be a traceback.
            signal.signal(one, _leave if to_the_end else handler)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being loaded by this command; who loads a module that calls it is another matter."""
    while frame is not None and frame.f_globals.get("__name__") != "gsfnas.cli":
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False


def say_stopped() -> None:
    """The line of a command that had nothing to say of how it goes on; the terminal may be gone."""
    with contextlib.suppress(OSError):
        print("stopped", file=sys.stderr, flush=True)
