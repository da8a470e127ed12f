"""The command line: it parses arguments, calls ``gsfnas.api``, and prints the results."""

from collections.abc import Sequence

from gsfnas.cli._signals import STOPPED, print_stopped, stopping

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, by default with the arguments of this process, and returns its exit code.

    Ctrl-C, SIGTERM and SIGHUP stop it at any time, with one line and the exit codes 130, 143 and 129. The commands are imported
    only after the signal handlers are installed.
    """
    with stopping(until_exit=arguments is None) as stop:
        try:
            from gsfnas.cli._main import main as run

            code = run(arguments)
        except KeyboardInterrupt:
            print_stopped()
            code = STOPPED
        except SystemExit as end:
            if not stop.code:
                raise
            code = end.code if isinstance(end.code, int) else STOPPED
        except Exception:
            # Errors while stopping, such as printing to a closed terminal, do not matter.
            if not stop.code:
                raise
            code = STOPPED
    return stop.code if code and stop.code else code
