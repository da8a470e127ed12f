"""How a command ends when it is told to: Ctrl-C, SIGTERM of a job system, SIGHUP of a terminal that is gone.

All three are a KeyboardInterrupt, which whoever holds something open unwinds and tells; the exit code says which it was. While
modules load there is nothing to unwind, and libraries written in C do not take an exception well: the process ends at once.
Nothing but the standard library here, so that it is in place before anything else is imported.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any

STOPPED = 130
# A second signal within this time is the same wish once more: job systems and shells signal a process and its group.
_SAME_SECONDS = 1.0
# An exception raised in a callback of the interpreter (round a fork, or where an object is freed) is swallowed: it comes again.
_AGAIN_SECONDS = 0.5
_IMPORTING = "<frozen importlib._bootstrap>"
# Who, once at work, says how the same command goes on, even where it loads a module late.
_TELLING = ("gsfnas.study._run", "gsfnas.study._protocols", "gsfnas.api._train")


class Stop:
    """Whether a signal has come, and which exit code it asks for: 128 and its number."""

    def __init__(self) -> None:
        self.code = 0
        self._since = 0.0
        self._process = os.getpid()
        self._alarm: Any = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """The handler: raises KeyboardInterrupt; a later signal, or one while modules load, ends the process."""
        # A process forked by a library has the handler too; to end it is the affair of this one.
        if os.getpid() != self._process:
            return
        if number == signal.SIGALRM:
            if not _is_unwinding():
                raise KeyboardInterrupt
            return
        is_first, self.code = not self.code, self.code or 128 + number
        if is_first:
            self._since = time.monotonic()
        elif time.monotonic() - self._since < _SAME_SECONDS:
            return
        if not is_first or _is_importing(frame):
            with contextlib.suppress(OSError):
                os.write(2, b"stopped\n")
            os._exit(self.code)
        self._alarm = signal.signal(signal.SIGALRM, self)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECONDS, _AGAIN_SECONDS)
        raise KeyboardInterrupt

    def end(self) -> None:
        """Nothing comes again from here on."""
        if self.code:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._alarm or signal.SIG_DFL)


@contextlib.contextmanager
def stopping(*, to_the_end: bool) -> Iterator[Stop]:
    """Takes the three signals for the block, or until the process ends; one that is ignored, as nohup has it, stays so."""
    stop = Stop()
    before = {}
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Only the main thread may ask for this.
        with contextlib.suppress(ValueError):
            if signal.getsignal(one) not in (signal.SIG_IGN, None):
                before[one] = signal.signal(one, stop)
    unraisable = sys.unraisablehook

    def swallowed(what: Any) -> None:
        if not issubclass(what.exc_type, KeyboardInterrupt):
            unraisable(what)

    sys.unraisablehook = swallowed
    try:
        yield stop
    finally:
        stop.end()
        sys.unraisablehook = unraisable
        for one, handler in before.items():
            # Nothing of a command is left to unwind: what comes while the interpreter ends must not be a traceback.
            signal.signal(one, _leave if to_the_end else handler)


def say_stopped() -> None:
    """The line of a command that had nothing to say of how it goes on; the terminal may be gone."""
    with contextlib.suppress(OSError):
        print("stopped", file=sys.stderr, flush=True)


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _is_unwinding() -> bool:
    """Whether what is being handled now, in whatever depth, is a KeyboardInterrupt or its consequence."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return True
        error = error.__context__
    return False


def _is_importing(frame: FrameType | None) -> bool:
    """Whether this command loads a module and has nothing to tell; who loads a module that calls it is another matter."""
    found = False
    while frame is not None and (name := frame.f_globals.get("__name__")) != "gsfnas.cli":
        if name in _TELLING and frame.f_code.co_name != "<module>":
            return False
        found = found or frame.f_code.co_filename == _IMPORTING
        frame = frame.f_back
    return found
