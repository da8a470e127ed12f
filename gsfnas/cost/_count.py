"""The two operation counters in common use, fvcore and ptflops, run on one clip through a counting form.

fvcore counts multiply-adds of convolutions, matrix products and normalisations, but not ReLU, pooling, ``mul``, ``tanh`` or
``mean``. ptflops 0.7.5 (PyTorch backend, default settings) also counts biases, BatchNorm, ReLU and pooling; the last two count
twice, as the module and as the functional that the module calls. The paper prints ptflops' number as FLOPs.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass

import torch
from torch import nn

from gsfnas.deprecations import torch_jit_ignored

with torch_jit_ignored():
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis
    from ptflops import get_model_complexity_info


@dataclass(frozen=True)
class Count:
    """A counter's result for one clip: operations, activations, and the kinds of operations that it did not count."""

    operations: int
    activations: int
    uncounted: tuple[str, ...] = ()


def count_fvcore(module: nn.Module, clip: torch.Tensor) -> Count:
    """fvcore's multiply-adds and activations (outputs of convolutions and matrix products) of ``module(clip)``."""
    with _quiet():
        flops = FlopCountAnalysis(module, clip).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        activations = ActivationCountAnalysis(module, clip).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return Count(int(flops.total()), int(activations.total()), tuple(sorted(flops.unsupported_ops())))


def count_ptflops(module: nn.Module, clip: torch.Tensor) -> int:
    """ptflops' operations of ``module(clip)``, where clip is (1, T, 3, H, W).

    The batch must be 1: ptflops divides the count of modules by the batch size, but not the count of functionals.
    """
    assert clip.shape[0] == 1
    with _quiet():
        operations, _ = get_model_complexity_info(
            module, tuple(clip.shape[1:]), as_strings=False, print_per_layer_stat=False, backend="pytorch"
        )
    assert isinstance(operations, int), "ptflops failed on the counting form"
    return operations


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences the counters, which print to stdout, log, and warn about tracing."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), torch.no_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
