"""Ctrl-C, SIGTERM and SIGHUP at any instant, and memory that runs out: one line and a code, never a traceback."""

import resource
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from gsfnas.errors import is_out_of_memory

DRY_RUN = [sys.executable, "-m", "gsfnas", "study", "run", "placement", "--dry-run"]
SIGNS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc to see what a process has loaded")
@pytest.mark.parametrize("sign", SIGNS)
def test_while_modules_load_it_is_one_line(tmp_path, sign):
    process = subprocess.Popen(DRY_RUN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    maps = Path(f"/proc/{process.pid}/maps")
    while process.poll() is None and "libtorch" not in maps.read_text():
        time.sleep(0.01)
    process.send_signal(sign)
    assert process.communicate(timeout=60) == ("", "stopped\n")
    assert process.returncode == 128 + sign


COMMAND = """
import os, signal, sys, time
import gsfnas.config
from gsfnas.cli import main
def work(*_):
{work}
gsfnas.config.compose_study = work
sys.exit(main())
"""
SLEEP = "print('begun', flush=True); time.sleep(60)"


@contextmanager
def command(*work, **options):
    """A command that does ``work``, lines of Python, in a process of its own."""
    code = COMMAND.format(work=textwrap.indent("\n".join(work), "    "))
    arguments = [sys.executable, "-c", code, "study", "show", "placement"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options) as process:
        try:
            yield process
        finally:
            process.kill()


def await_line(process, line):
    assert any(found.strip() == line for found in process.stdout)


@pytest.mark.parametrize("sign", SIGNS)
def test_at_work_it_is_unwound_and_told(sign):
    with command("try:", f"    {SLEEP}", "finally:", "    time.sleep(0.1); print('unwound')") as process:
        await_line(process, "begun")
        process.send_signal(sign)
        assert process.communicate(timeout=60) == ("unwound\n", "stopped\n")
        assert process.returncode == 128 + sign


def test_a_signal_to_the_process_and_to_its_group_is_one():
    with command("try:", f"    {SLEEP}", "finally:", "    time.sleep(0.5); print('unwound')") as process:
        await_line(process, "begun")
        for sign in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            process.send_signal(sign)
            time.sleep(0.05)
        assert process.communicate(timeout=60) == ("unwound\n", "stopped\n")
        assert process.returncode == 143


def test_a_second_one_later_ends_at_once():
    with command("try:", f"    {SLEEP}", "finally:", "    time.sleep(60)") as process:
        await_line(process, "begun")
        process.send_signal(signal.SIGINT)
        time.sleep(1.2)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=20) == ("", "stopped\n")
        assert process.returncode == 130


def test_one_that_is_swallowed_comes_again():
    """An exception in a callback of the interpreter is lost, as where an object is freed."""
    freed = ("class Freed:", "    def __del__(self): signal.raise_signal(signal.SIGTERM)", "Freed()")
    with command(*freed, SLEEP) as process:
        await_line(process, "begun")
        assert process.communicate(timeout=20) == ("", "stopped\n")
        assert process.returncode == 143


def test_a_process_that_a_library_forks_leaves_it_to_this_one():
    forked = ("child = os.fork()", "if not child:", "    signal.raise_signal(signal.SIGTERM); os._exit(7)")
    with command(*forked, "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)", SLEEP) as process:
        await_line(process, "7")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


def test_what_is_ignored_stays_so():
    work = "print('begun', flush=True); time.sleep(1); print('ended'); sys.exit(0)"
    with command(work, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        await_line(process, "begun")
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=20) == ("ended\n", "")
        assert process.returncode == 0


def test_a_terminal_that_is_gone_does_not_matter():
    with command(SLEEP) as process:
        await_line(process, "begun")
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == 129


def test_a_caller_of_a_command_keeps_its_own_handlers(gsfnas):
    before = [signal.getsignal(sign) for sign in SIGNS]
    hook = sys.unraisablehook
    assert gsfnas("--version")[0] == 0
    assert [signal.getsignal(sign) for sign in SIGNS] == before
    assert sys.unraisablehook is hook


NO_MEMORY = [
    MemoryError(),
    MemoryError("Unable to allocate 8.00 EiB for an array"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:118] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate"
    ),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("can't start new thread"),
    RuntimeError("std::bad_alloc"),
    OSError(12, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
]


@pytest.mark.parametrize("error", NO_MEMORY, ids=str)
def test_memory_that_runs_out_is_one_line_and_2(gsfnas, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr("gsfnas.config.compose_study", fail)
    code, out, err = gsfnas("study", "show", "placement")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "memory" in err
    assert "a fault of gsfnas" not in err


@pytest.mark.parametrize("error", [RuntimeError("no such kernel"), ImportError("no module named x"), KeyError("out of memory")])
def test_other_errors_say_nothing_of_memory(error):
    assert not is_out_of_memory(error)


def test_a_library_that_fails_without_a_word_does_so_for_memory_under_a_limit(monkeypatch):
    error = SystemError("error return without exception set")
    assert not is_out_of_memory(error)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (2**30, 2**30))
    assert is_out_of_memory(error)


def test_a_limit_below_what_torch_needs_is_one_line_and_2(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (600 * 2**20, 600 * 2**20))

    done = subprocess.run(DRY_RUN, capture_output=True, text=True, cwd=tmp_path, preexec_fn=limit, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("error: memory runs out (")
