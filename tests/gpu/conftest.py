"""Every test here runs on a GPU, marked ``gpu``, and as far as it goes on the CPU as well, small, so that it never is stale."""

import functools

import pytest
import torch
from cards import CUDA, need_gpus, no_synchronisation


@pytest.fixture(params=["cpu", CUDA])
def device(request) -> torch.device:
    """The CPU, and the GPU where there is one."""
    if request.param == "cuda":
        need_gpus(1)
    return torch.device(request.param)


@pytest.fixture
def gpu() -> torch.device:
    need_gpus(1)
    return torch.device("cuda", 0)


@pytest.fixture
def without_waiting(device):
    return functools.partial(no_synchronisation, device)


@pytest.fixture(autouse=True)
def _exactly():
    """Convolutions in full single precision, the same seed for each test, and no memory left to the next one."""
    threads, tf32 = torch.get_num_threads(), torch.backends.cudnn.allow_tf32
    torch.set_num_threads(1)
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    yield
    torch.backends.cudnn.allow_tf32 = tf32
    torch.set_num_threads(threads)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
