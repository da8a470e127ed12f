"""What the capture of CUDA graphs needs of Python. The captures themselves: ``tests/gpu/test_cuda_training.py``."""

import gc
import weakref

import pytest

from gsfnas.train._graphs import _no_garbage_collection


class Cycle:
    def __init__(self):
        self.itself = self


def test_garbage_is_collected_before_a_capture_and_not_during_it():
    gc.disable()
    try:
        earlier = weakref.ref(Cycle())
        assert earlier() is not None
        with _no_garbage_collection():
            assert earlier() is None
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_after_a_capture_that_fails_garbage_is_collected_again():
    with pytest.raises(RuntimeError, match="fails"):
        failing()
    assert gc.isenabled()


def failing():
    with _no_garbage_collection():
        assert not gc.isenabled()
        raise RuntimeError("the capture fails")
