"""The entry point of the command line. Only here are errors turned into a line and an exit code.

Exit codes: 0 success; 1 a fault of this program; 2 an error that the user can fix; 130, 143 and 129 stopped by Ctrl-C, SIGTERM
and SIGHUP (see ``_signals``).
"""

import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.exceptions import TyperException

import gsfnas
from gsfnas.cli import _cost, _data, _report, _space, _study, _table, _train, _weights
from gsfnas.component import is_loaded, trusting
from gsfnas.deprecations import ignore_torch_jit_everywhere
from gsfnas.errors import UserError, is_out_of_memory, one_line
from gsfnas.escape import printable

DEBUG = "--debug"
TRUST = "--trust"
# Longer messages, which may repeat the user's input, are cut off.
_MAX_LINE = 2000

_SETTINGS = {"help_option_names": ["-h", "--help"]}

_HELP = """Search where to put temporal modules in a 2D CNN, of which kind and on how many channels, and what they cost.

Start here: `gsfnas study run placement` searches a small network on the embedded data set and writes a report.
`gsfnas study list` lists the studies, `gsfnas space list` the spaces.
"""

app = typer.Typer(name="gsfnas", help=_HELP, context_settings=_SETTINGS, rich_markup_mode="markdown", add_completion=False)
app.add_typer(_study.app, name="study")
app.add_typer(_space.app, name="space")
app.command("train", epilog=_train.TRAIN_EXAMPLES)(_train.train)
app.command("test", epilog=_train.TEST_EXAMPLES)(_train.evaluate)
app.command("cost", epilog=_cost.EXAMPLES)(_cost.cost)
app.command("table", epilog=_table.EXAMPLES)(_table.table)
app.add_typer(_data.app, name="data")
app.add_typer(_weights.app, name="weights")
app.add_typer(_report.app, name="report")


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        typer.echo(f"gsfnas {gsfnas.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help="Show the traceback of an error; may be anywhere in the command.")] = False,
    trust: Annotated[
        list[str] | None,
        typer.Option(
            TRUST,
            metavar="PACKAGE",
            help="Let data (weights, reports, studies, candidates from files) name code of this package; may be repeated, "
            "anywhere in the command.",
            show_default=False,
        ),
    ] = None,
) -> None:
    pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code; errors go to stderr as one line, or as a traceback with ``--debug``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    is_debugging = DEBUG in given
    ignore_torch_jit_everywhere()
    # Lightning logs the precision of every run.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    given = [argument for argument in given if argument != DEBUG]
    try:
        given, packages = _trusted(given)
        with trusting(packages):
            code = app(given or ["--help"], prog_name="gsfnas", standalone_mode=False)
            unused = [package for package in packages if not is_loaded(package)]
    except TyperException as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            # A group without a command: Typer has printed its help.
            return 2
        return _fail(error, _usage(error), 2, is_debugging)
    except UserError as error:
        return _fail(error, str(error), 2, is_debugging)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        return _fail(error, f"{error.strerror or error}{where}", 2, is_debugging)
    except Exception as error:
        if is_out_of_memory(error):
            return _fail(
                error, f"memory runs out ({one_line(error)}); free some, or raise the limit of this process", 2, is_debugging
            )
        message = f"{type(error).__name__}: {error} (a fault of gsfnas; {DEBUG} shows where)"
        return _fail(error, message, 1, is_debugging)
    if code == 130:
        print("stopped", file=sys.stderr)
    elif not code and unused:
        # Worker processes load nothing that the command has not loaded before it starts them.
        print(f"{TRUST} {', '.join(unused)} was not needed: nothing that was read names code of it", file=sys.stderr)
    return code if isinstance(code, int) else 0


def _trusted(given: Sequence[str]) -> tuple[list[str], list[str]]:
    """Splits the arguments into those without ``--trust PACKAGE``, and the packages."""
    rest, packages = [], []
    arguments = iter(given)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name != TRUST:
            rest.append(argument)
        elif (package := value if equals else next(arguments, "")) and not package.startswith("-"):
            packages.append(package)
        else:
            raise UserError(f"{TRUST} takes the name of a package, but got {package or 'nothing'}")
    return rest, packages


def _fail(error: Exception, message: str, code: int, is_debugging: bool) -> int:
    if is_debugging:
        traceback.print_exception(error)
    line = printable(" ".join(message.split()))
    print(f"error: {line if len(line) <= _MAX_LINE else f'{line[:_MAX_LINE]} ...'}", file=sys.stderr)
    # Buffered output must not raise the error again at exit.
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _usage(error: TyperException) -> str:
    """The message for a wrong command or option, with the command whose help to read."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "gsfnas"
    return f"{error.format_message().strip().rstrip('.').replace('Value error, ', '')} (see {path} --help)"
