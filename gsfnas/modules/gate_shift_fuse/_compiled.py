"""The plain path through torch.compile, where there is a compiler: Triton on a GPU, one of C++ on a CPU."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Forward = Callable[[Any, Tensor], Tensor]

_MOST_SHAPES = 256


def compiled(forward: Forward, fallback: Forward) -> Forward:
    """``forward(module, x)``, compiled at its first call; ``fallback`` from the day that this fails, with one warning."""

    @functools.cache
    def compile_once() -> Forward:
        return torch.compile(forward)

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
                    # Features come from a layer before, and torch looks at their .grad.
                    warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not a leaf", UserWarning)
                    return compile_once()(module, x)
            except (BackendCompilerFailed, TritonMissing, GPUTooOldForTriton) as error:
                failed = True
                reason = str(getattr(error, "inner_exception", error)).strip().splitlines()[0]
                warnings.warn(f"the operator could not be compiled, and runs on its fast path: {reason}", stacklevel=2)
        return fallback(module, x)

    return run
