"""The command line: a file a noun. What it does is done elsewhere; here it is named, asked for and shown."""

from collections.abc import Sequence

from gsfnas.cli._signals import STOPPED, say_stopped, stopping

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; without ``arguments`` it is the command line of this process.

    Ctrl-C, SIGTERM and SIGHUP stop it at any instant, with one line and the codes 130, 143 and 129. The commands are imported
    only when this holds.
    """
    with stopping(to_the_end=arguments is None) as stop:
        try:
            from gsfnas.cli._main import main as run

            code = run(arguments)
        except KeyboardInterrupt:
            say_stopped()
            code = STOPPED
        except SystemExit as end:
            if not stop.code:
                raise
            code = end.code if isinstance(end.code, int) else STOPPED
        except Exception:
            # What fails while it stops, such as a line to a terminal that is gone, is no news.
            if not stop.code:
                raise
            code = STOPPED
    return stop.code if code and stop.code else code
