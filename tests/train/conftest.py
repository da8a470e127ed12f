"""A candidate, a recipe and a few clips small enough to train in a second."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gsfnas.candidate import BackboneRef, Candidate, Insertion
from gsfnas.data import DataSettings
from gsfnas.evaluators.base import Context
from gsfnas.evaluators.train import TrainEvaluator
from gsfnas.train import TrainSettings

MakeEvaluator = Callable[..., TrainEvaluator]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> DataSettings:
    return DataSettings(
        frames=4,
        resolution=16,
        train_clips=72,
        val_clips=48,
        test_clips=48,
        difficulty=0.0,
        cache=str(tmp_path_factory.mktemp("cache")),
    )


@pytest.fixture(scope="session")
def settings() -> TrainSettings:
    """Four steps an epoch, the last of half a batch; dropout, so that generators matter."""
    return TrainSettings(epochs=3, batch_size=20, lr=0.05, warmup_epochs=0.5, dropout=0.2, device="cpu")


@pytest.fixture(scope="session")
def candidate() -> Candidate:
    gsf = Insertion.of("gate_shift_fuse", {"channels": 4})
    return Candidate(BackboneRef.of("micro"), 4, 16, (("layer1.0.conv1", gsf), ("layer2.0.conv1", gsf)))


@pytest.fixture
def make_evaluator(settings: TrainSettings, data: DataSettings) -> MakeEvaluator:
    """A prepared evaluator that works in a folder."""

    def make(folder: Path, train: TrainSettings = settings, **context) -> TrainEvaluator:
        evaluator = TrainEvaluator(train, data)
        evaluator.prepare(None, Context(folder, device="cpu", threads=1, **context))
        return evaluator

    return make
