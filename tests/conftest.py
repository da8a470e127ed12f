import os

import pytest

# Before torch is loaded: each test process has one core, and the same numbers on every machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser):
    parser.addoption("--extra", action="store_true", help="also the tests that CI has no time for")
    parser.addoption("--fuzz", action="store_true", help="the whole fuzz instead of its short form; goes with -m fuzz")
    parser.addoption("--fuzz-seed", default=0, type=int, help="other cases than those of every run")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--extra"):
        for item in items:
            if item.get_closest_marker("extra"):
                item.add_marker(pytest.mark.skip(reason="CI has no time for it; --extra runs it"))
