"""What a GPU can tell about gsfnas, in parts that each end within eight minutes and leave CSV files and one page.

python benchmarks/gpu.py --out gpu                     all parts
python benchmarks/gpu.py --part networks --out gpu     one of them; what the folder holds of others is kept
python benchmarks/gpu.py --small --out gpu-small       without a GPU: every part, tiny, on the CPU

It runs from a source tree; gsfnas need not be installed, the packages that it needs must be (benchmarks/README.md). On a GPU
each part is a process of its own, so that none that fails takes another along.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NoReturn

if sys.version_info < (3, 11):  # noqa: UP036 (what follows would fail with a traceback)
    print(f"error: Python 3.11 or newer is needed, but this is {sys.version.split()[0]}", file=sys.stderr)
    sys.exit(2)

from _gpu import PARTS, ROOT
from _gpu.needs import find_missing

# A part stops by itself after the first; one that does not is ended after the second.
SECONDS, AT_MOST_SECONDS = 420, 480
SMALL_SECONDS = 150


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        refuse(message)


def refuse(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(2)


def parse() -> argparse.Namespace:
    names = ", ".join(PARTS)
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", metavar="NAME", help=f"one of {names}; may be repeated; default: all")
    parser.add_argument(
        "--small", action="store_true", help="tiny, on the CPU: shows that everything runs, and measures nothing"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the page and the CSV files go")
    parser.add_argument("--apart", action="store_true", help="each part in a process of its own, as always on a GPU")
    parser.add_argument("--within", action="store_true", help=argparse.SUPPRESS)  # this process is that of one part
    arguments = parser.parse_args()
    if arguments.out is None:
        refuse("--out DIR is missing: the folder for the page and the CSV files")
    for name in arguments.part or ():
        if name not in PARTS:
            refuse(f"unknown part {name!r}; the parts are {names}")
    arguments.part = list(dict.fromkeys(arguments.part or PARTS))
    out: Path = arguments.out.absolute()
    nearest = next(place for place in (out, *out.parents) if place.exists())
    if not nearest.is_dir():
        refuse(f"--out must be a folder, but {nearest} is a file")
    return arguments


def check(arguments: argparse.Namespace) -> None:
    """Refuses in one line what cannot work, before anything of gsfnas is imported."""
    if missing := find_missing(arguments.part):
        refuse(f"not installed: {', '.join(missing)}; benchmarks/README.md says how to bring them along")
    if arguments.small:
        # Before torch is loaded, for all that is started too: what is tiny gains nothing from more threads.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    # Asks the driver's library, which leaves the card to the processes of the parts.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    import torch

    if not arguments.small and not torch.cuda.is_available():
        refuse("torch finds no CUDA device; --small runs every part on the CPU, tiny")


def make_folder(folder: Path) -> None:
    """Creates it where it is missing. Refuses a place where nothing can be written, before anything is measured."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(f"--out must be a folder, but {folder} cannot be made: {error.strerror}")
    if not os.access(folder, os.W_OK):
        refuse(f"--out must be a folder that can be written to, but {folder} is read-only")


def main() -> int:
    arguments = parse()
    check(arguments)
    sys.path.insert(0, str(ROOT))
    from _gpu import page, results

    make_folder(arguments.out)
    if arguments.within:
        (name,) = arguments.part
        return run_part(name, arguments)
    if found := results.clash(arguments.out, is_small=arguments.small):
        refuse(f"{arguments.out} holds results of {found}; name another folder for these")
    for name in arguments.part:
        print(f"== {name}: {PARTS[name].title}", flush=True)
        started = time.monotonic()
        code = run_apart(name, arguments) if arguments.apart or not arguments.small else run_part(name, arguments)
        result = results.read(arguments.out, name)
        if result is not None and code and result.ended == results.RUNNING:
            result.ended = (
                f"failed: its process ended with {code}" if code > 0 else f"failed: its process died (signal {-code})"
            )
            results.save(result, arguments.out)
        page.write(arguments.out)
        for line in page.summary(name, result):
            print(line)
        print(f"{name}: {'no result' if result is None else result.ended}, {time.monotonic() - started:.0f} s", flush=True)
    print(arguments.out / page.NAME)
    ended = [results.read(arguments.out, name) for name in arguments.part]
    return int(any(result is None or result.has_failed for result in ended))


def run_part(name: str, arguments: argparse.Namespace) -> int:
    """One part, here."""
    from _gpu.call import run

    return run(name, arguments.out, is_small=arguments.small, seconds=SMALL_SECONDS if arguments.small else SECONDS)


def run_apart(name: str, arguments: argparse.Namespace) -> int:
    """One part in a process of its own, which is ended with all that it started where it takes too long."""
    command = [sys.executable, str(Path(__file__)), "--within", "--part", name, "--out", str(arguments.out)]
    command += ["--small"] if arguments.small else []
    process = subprocess.Popen(command, start_new_session=True)
    try:
        return process.wait(AT_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        print(f"{name} is ended after {AT_MOST_SECONDS} s", file=sys.stderr)
        return -9
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
