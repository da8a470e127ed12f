"""Stops a command on Ctrl-C, SIGTERM (sent by job systems) and SIGHUP (sent when the terminal is closed).

Each of them raises KeyboardInterrupt, so that open files and processes are closed and a message is shown; the exit code tells
which signal it was. While modules are imported the process ends at once, since there is nothing to close, and C extensions may
not survive an exception then. This module imports only the standard library, so that the handlers are installed first.
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
# Signals within this time count as one, since job systems and shells signal both a process and its group.
_SAME_SECONDS = 1.0
# The interpreter swallows an exception raised in a callback (at a fork, or when an object is freed), so it is raised again.
_AGAIN_SECONDS = 0.5
_IMPORTING = "<frozen importlib._bootstrap>"
# Once these modules run, they tell the user how to resume, so they are interrupted even while they import a module.
_RESUMABLE = ("gsfnas.study._run", "gsfnas.study._protocols", "gsfnas.api._train")


class Stop:
    """The signal handler. ``code`` is the exit code, 128 plus the number of the first signal; 0 before any."""

    def __init__(self) -> None:
        self.code = 0
        self._since = 0.0
        self._process = os.getpid()
        self._alarm: Any = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raises KeyboardInterrupt; ends the process on a later signal, or while modules are imported."""
        # A process forked by a library inherits the handler, but is ended by this process.
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
        """Stops raising KeyboardInterrupt again."""
        if self.code:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._alarm or signal.SIG_DFL)


@contextlib.contextmanager
def stopping(*, until_exit: bool) -> Iterator[Stop]:
    """Handles the signals within the block, or until the process ends; one that is ignored, as by nohup, stays ignored."""
    stop = Stop()
    before = {}
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Only the main thread may install a handler.
        with contextlib.suppress(ValueError):
            if signal.getsignal(one) not in (signal.SIG_IGN, None):
                before[one] = signal.signal(one, stop)
    unraisable = sys.unraisablehook

    def report_unraisable(error: Any) -> None:
        if not issubclass(error.exc_type, KeyboardInterrupt):
            unraisable(error)

    sys.unraisablehook = report_unraisable
    try:
        yield stop
    finally:
        stop.end()
        sys.unraisablehook = unraisable
        for one, handler in before.items():
            # The command is over, so a signal while the interpreter exits must not print a traceback.
            signal.signal(one, _exit if until_exit else handler)


def print_stopped() -> None:
    """Prints the message of a command that cannot be resumed; the terminal may be closed."""
    with contextlib.suppress(OSError):
        print("stopped", file=sys.stderr, flush=True)


def _exit(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


def _is_unwinding() -> bool:
    """Whether the exception being handled is, or was raised while handling, a KeyboardInterrupt or SystemExit."""
    error = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return True
        error = error.__context__
    return False


def _is_importing(frame: FrameType | None) -> bool:
    """Whether the command is importing a module, unless it can be resumed. Imports that called this command do not count."""
    found = False
    while frame is not None and (name := frame.f_globals.get("__name__")) != "gsfnas.cli":
        if name in _RESUMABLE and frame.f_code.co_name != "<module>":
            return False
        found = found or frame.f_code.co_filename == _IMPORTING
        frame = frame.f_back
    return found
