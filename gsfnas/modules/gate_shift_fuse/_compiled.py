"""The plain implementation through torch.compile, which needs Triton on a GPU and a C++ compiler on a CPU."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gsfnas.compiling import COMPILE_OPTIONS

Forward = Callable[[Any, Tensor], Tensor]

_MOST_SHAPES = 256


def compiled(forward: Forward, fallback: Forward) -> Forward:
    """Compiles ``forward(module, x)`` at its first call. If that fails, warns once and uses ``fallback`` from then on."""

    @functools.cache
    def compile_once() -> Forward:
        return torch.compile(forward, options=COMPILE_OPTIONS)

    failed = False

    def run(module: Any, x: Tensor) -> Tensor:
        nonlocal failed
        if not failed:
            from torch._dynamo import config
            from torch._dynamo.exc import BackendCompilerFailed
            from torch._inductor.exc import GPUTooOldForTriton, TritonMissing

            try:
                # A network has many shapes; by default torch gives up after compiling a function for eight.
                with warnings.catch_warnings(), config.patch(recompile_limit=_MOST_SHAPES):
                    # torch reads .grad of the features, which are the output of another layer.
                    warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not a leaf", UserWarning)
                    return compile_once()(module, x)
            except (BackendCompilerFailed, TritonMissing, GPUTooOldForTriton) as error:
                failed = True
                reason = str(getattr(error, "inner_exception", error)).strip().splitlines()[0]
                warnings.warn(f"the operator could not be compiled, and uses its fast implementation: {reason}", stacklevel=2)
        return fallback(module, x)

    return run
