"""The evaluator that looks a candidate's runs up in a table instead of training it."""

import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from gsfnas.candidate import Candidate
from gsfnas.data import DataSettings
from gsfnas.errors import UserError, unknown
from gsfnas.evaluators.base import Context, Evaluator, Identity, Measurement
from gsfnas.evaluators.benchmark import EPOCHS, differences, read_table
from gsfnas.record import Latency
from gsfnas.seeds import derive
from gsfnas.train._settings import TrainSettings

DEFAULT = "placement"
# A larger space holds candidates that no table has; listing it could take forever.
_LISTED = 2**16


class TableEvaluator(Evaluator):
    """Yields the epochs of the runs of ``table``: a shipped one, by its name, or the folder of one.

    A permutation for each candidate, drawn from the study's seed, maps the study's replicates to those of the table, so that
    studies with other seeds see other runs. ``train`` and ``data`` are those of the study, which must be those of the table;
    None is not compared.
    """

    def __init__(self, table: str = DEFAULT, train: TrainSettings | None = None, data: DataSettings | None = None) -> None:
        if not isinstance(table, str):
            raise UserError(f"`evaluator.table` must be the name of a table or its folder, but got {table!r}")
        self.table = read_table(table)
        self._settings = {"data": data, "train": train}
        self._study_seed = 0

    @classmethod
    def from_settings(cls, train: TrainSettings, data: DataSettings, options: Mapping[str, Any]) -> Self:
        for option in options:
            if option != "table":
                raise unknown("setting", f"evaluator.{option}", ["evaluator.table"])
        return cls(**options, train=train, data=data)

    @property
    def budget(self) -> int:  # type: ignore[override]
        return self.table.epochs

    @property
    def num_seeds(self) -> int:  # type: ignore[override]
        return self.table.num_seeds

    @property
    def identity(self) -> Identity:
        return Identity(f"table-{self.table.name}-{self.table.card['files'][EPOCHS][:12]}", self.table.name)

    @property
    def heads(self) -> dict[str, int]:
        return self.table.heads

    def check(self, space: Any, device: str) -> Sequence[str]:
        """Raises UserError if data, recipe, backbone, clips or space are not those of the table."""
        settings = {name: dataclasses.asdict(one) for name, one in self._settings.items() if one is not None}
        found = [text for name, values in settings.items() for text in differences(self.table.card, name, values)]
        one = next(iter(self.table.candidates.values()))
        for name in ("backbone", "frames", "resolution"):
            if getattr(space, name) != getattr(one, name):
                found.append(f"{name}: {getattr(one, name)} -> {getattr(space, name)}")
        if found:
            raise UserError(
                f"table {self.table.name!r} holds runs of other settings ({', '.join(found[:4])}); leave these as the table "
                "has them, or train: evaluator=train"
            )
        self._check_space(space)
        return [f"runs are looked up in table {self.table.name}, nothing is trained"]

    def _check_space(self, space: Any) -> None:
        options = self.table.options
        for site, here in zip(space.sites, space.options, strict=True):
            missing = [option for option in here if option is not None and option not in options.get(site.name, ())]
            if missing:
                raise UserError(
                    f"table {self.table.name!r} has no candidate with {missing[0].module} at {site.name}, which space "
                    f"{space.name!r} asks for; the table is of space {self.table.card.get('space')!r}"
                )
        if space.size <= _LISTED:
            unknown_to_it = (one.key for one in space if one.key not in self.table.candidates)
            if (key := next(unknown_to_it, None)) is not None:
                raise UserError(f"table {self.table.name!r} has no candidate {key} of space {space.name!r}")

    def prepare(self, space: Any, context: Context) -> None:
        self._study_seed = context.study_seed

    def evaluate(
        self, candidate: Candidate, *, seed: int, replicate: int, budget: int, resume_from: Path | None = None
    ) -> Iterator[Measurement]:
        """Yields the epochs of the table's run, with the seconds that it took.

        Raises UserError for a candidate or a replicate that the table does not have, and more epochs than its runs have.
        """
        if replicate >= self.table.num_seeds:
            raise UserError(
                f"table {self.table.name!r} has {self.table.num_seeds} runs of each candidate, but the study asks for "
                f"replicate {replicate + 1}; study.replicates must be at most {self.table.num_seeds}"
            )
        chosen = permutation(self._study_seed, candidate.key, self.table.num_seeds)[replicate]
        for epoch in range(1, budget + 1):
            yield Measurement(epoch, self._metrics(candidate, chosen, epoch), is_last=epoch == budget)

    def _metrics(self, candidate: Candidate, replicate: int, epoch: int) -> dict[str, float]:
        metrics = self.table.query(candidate, replicate, epoch)
        # As in training, the test split is scored at the end.
        is_last = epoch == self.table.epochs
        return {name: value for name, value in metrics.items() if is_last or not name.startswith("test_")}

    def known_latency(self, candidate: Candidate) -> Latency | None:
        """The latency of the table, measured on the machine of its card; None if it has none."""
        return self.table.latencies.get(candidate.key)


def permutation(study_seed: int, key: str, number: int) -> list[int]:
    """Replicate of a study -> replicate of the table, for one candidate."""
    order = list(range(number))
    random.Random(derive("table", study_seed, key)).shuffle(order)
    return order
