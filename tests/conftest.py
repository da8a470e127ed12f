import os

# Before torch is loaded: each test process has one core, and the same numbers on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption("--fuzz", action="store_true", help="the whole fuzz instead of its short form; goes with -m fuzz")
    parser.addoption("--fuzz-seed", default=0, type=int, help="other cases than those of every run")
