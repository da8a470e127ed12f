"""Training passes as CUDA graphs: the same kernels in the same order, launched at once.

A small network is bound by launches on a GPU; a step of it takes a few times longer than its kernels.
"""

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from gsfnas.compiling import COMPILE_OPTIONS
from gsfnas.data import ClipSplit
from gsfnas.train._batch import can_be_channels_last, to_frames
from gsfnas.train._settings import TrainSettings

_log = logging.getLogger(__name__)


def faster(network: nn.Module, settings: TrainSettings, fabric: Fabric) -> nn.Module:
    """The network as it is trained: compiled, replayed as CUDA graphs once they are captured, or as it is."""
    if settings.compile:
        # The last batch of an epoch is smaller: a second program, rather than one whose sizes are left open.
        compiled: nn.Module = torch.compile(network, dynamic=False, options=COMPILE_OPTIONS)  # type: ignore[assignment]
        return compiled
    return Graphed(network) if can_replay(settings, fabric.device) else network


def can_replay(settings: TrainSettings, device: torch.device) -> bool:
    """Whether training on ``device`` replays CUDA graphs. With a batch in parts, a replay would overwrite gradients."""
    is_whole = settings.accumulate * settings.devices == 1
    return settings.cuda_graphs and is_whole and not settings.compile and device.type == "cuda"


def capture(model: nn.Module, split: ClipSplit, settings: TrainSettings, fabric: Fabric) -> None:
    """Captures the passes of ``model``, which ``fabric.setup`` gave for what ``faster`` gave, over a batch of the split."""
    network = model.module
    if not isinstance(network, Graphed):
        return
    clip = torch.from_numpy(split.read(np.array([0]), None))
    clips = clip.new_zeros(settings.batch_size, *clip.shape[1:])
    is_channels_last = settings.channels_last and can_be_channels_last(network)
    with fabric.autocast():
        network.capture(to_frames(clips, fabric.device, is_channels_last=is_channels_last))


class Graphed(nn.Module):
    """``network``, whose passes over a training batch of the captured shape are replayed; whatever else is asked runs as it is.

    ``capture`` is to be called before training, under its precision, while nothing else in this process uses the GPU.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._replay: Callable[[Tensor], tuple[Tensor, ...]] | None = None
        self._tasks: tuple[str, ...] = ()
        self._shape: torch.Size | None = None

    @property
    def is_captured(self) -> bool:
        return self._replay is not None

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        if self._replay is not None and self.training and torch.is_grad_enabled() and frames.shape == self._shape:
            return dict(zip(self._tasks, self._replay(frames), strict=True))
        logits: dict[str, Tensor] = self.network(frames)
        return logits

    def capture(self, frames: Tensor) -> None:
        """Captures the passes for batches like ``frames``, which must be on a GPU. Weights, statistics and generators stay.

        If the capture fails, a warning is logged and the network is trained without a graph. Raises OutOfMemoryError.
        """
        tuples = _Tuples(self.network)
        # The warm-up creates the accumulators of gradients on a stream of its own, which autograd would warn of.
        quiet = getattr(torch.autograd.graph, "set_warn_on_accumulate_grad_stream_mismatch", None)
        if quiet is not None:
            quiet(False)
        self.train()
        dtype, device_type = torch.get_autocast_dtype("cuda"), frames.device.type
        try:
            # Casts that were kept would be those of the weights as they are now.
            with (
                _no_garbage_collection(),
                _unchanged(self.network, frames.device),
                torch.autocast(device_type, dtype, enabled=torch.is_autocast_enabled(device_type), cache_enabled=False),
            ):
                self._replay = torch.cuda.make_graphed_callables(tuples, (frames,), allow_unused_input=True)  # type: ignore[assignment]
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            _log.warning("the network is trained without a CUDA graph: %s", reason)
            return
        self._tasks, self._shape = tuples.tasks, frames.shape


class _Tuples(nn.Module):
    """Another module around the network, since what is captured replaces the forward method of what is given."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.tasks: tuple[str, ...] = ()

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        logits = self.network(frames)
        self.tasks = tuple(logits)
        return tuple(logits.values())


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collects garbage before, and none within.

    The graphs of an earlier run are garbage in a cycle, and destroying one during a capture makes the capture fail.
    """
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _unchanged(network: nn.Module, device: torch.device) -> Iterator[None]:
    """Undoes what passes over a batch do to running statistics and the device's generator, and what a failed capture leaves."""
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    generator = torch.cuda.get_rng_state(device)
    try:
        # A capture that fails leaves its own stream as the current one.
        with torch.cuda.stream(torch.cuda.current_stream(device)):
            yield
    except BaseException:
        # It also leaves the generator as if the capture went on, so that dropout would raise. A clone's state is not so.
        default = torch.cuda.default_generators[device.index]
        default.graphsafe_set_state(default.clone_state())
        raise
    finally:
        torch.cuda.set_rng_state(generator, device)
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
