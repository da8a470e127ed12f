"""A network's scores for each video, and its accuracy. Uses NumPy only, neither torch nor a network.

Shapes: n videos, k classes.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gsfnas.errors import UserError, one_line

Scores = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
PRODUCT = "verb x noun"


@dataclass(frozen=True)
class TaskScores:
    """(n, k) scores, where higher is likelier, (n,) labels, and the class names."""

    scores: Scores
    labels: Labels
    classes: tuple[str, ...]

    @property
    def predictions(self) -> Labels:
        """(n,) the class with the highest score; of equal scores, the first class."""
        best: Labels = self.scores.argmax(axis=1)
        return best

    def accuracy(self, k: int = 1) -> float:
        """The fraction of videos whose label is among the ``k`` highest scores; of equal scores, the first come first."""
        ranked = np.argsort(-self.scores, axis=1, kind="stable")[:, :k]
        return float((ranked == self.labels[:, None]).any(axis=1).mean())

    def confusion(self) -> Labels:
        """(k, k) the number of videos of the row's class that are predicted as the column's."""
        counts = np.zeros((len(self.classes), len(self.classes)), dtype=np.int64)
        np.add.at(counts, (self.labels, self.predictions), 1)
        return counts

    def class_accuracy(self) -> npt.NDArray[np.float64]:
        """(k,) the fraction of each class's videos that are predicted correctly; nan for a class without videos."""
        confusion = self.confusion()
        totals = confusion.sum(axis=1)
        shares = np.full(len(totals), np.nan)
        np.divide(confusion.diagonal(), totals, out=shares, where=totals > 0)
        return shares

    def mean_class_accuracy(self) -> float:
        """The mean over the classes that have videos."""
        return float(np.nanmean(self.class_accuracy()))


@dataclass(frozen=True)
class VideoScores:
    """A network's scores on a split under a protocol, by task, and the names of the videos."""

    tasks: Mapping[str, TaskScores]
    names: tuple[str, ...]

    def metrics(self, prefix: str = "test") -> dict[str, float]:
        """``<prefix>_top1``, ``_top5`` and ``_mean_class`` of the first task; of several, also ``_top1.<task>``...

        If there are the tasks action, verb and noun, also ``_top1.verb x noun`` and ``_top5.verb x noun``, from ``product``.
        """
        found: dict[str, float] = {}
        for place, (task, scores) in enumerate(self.tasks.items()):
            three = {"top1": scores.accuracy(), "top5": scores.accuracy(5), "mean_class": scores.mean_class_accuracy()}
            if place == 0:
                found |= {f"{prefix}_{name}": value for name, value in three.items()}
            if len(self.tasks) > 1:
                found |= {f"{prefix}_{name}.{task}": value for name, value in three.items()}
        if (product := self.product()) is not None:
            found |= {f"{prefix}_top1.{PRODUCT}": product.accuracy(), f"{prefix}_top5.{PRODUCT}": product.accuracy(5)}
        return found

    def product(self) -> TaskScores | None:
        """Actions scored by the product of the probabilities of their verb and their noun, as a sum of logs.

        None without the tasks action, verb and noun, or if an action is not a verb and a noun.
        """
        if set(self.tasks) != {"action", "verb", "noun"}:
            return None
        action, verb, noun = (self.tasks[task] for task in ("action", "verb", "noun"))
        pairs = {f"{v} {n}": (i, j) for i, v in enumerate(verb.classes) for j, n in enumerate(noun.classes)}
        if not all(name in pairs for name in action.classes):
            return None
        verbs, nouns = np.array([pairs[name] for name in action.classes]).T
        scores = _log_softmax(verb.scores)[:, verbs] + _log_softmax(noun.scores)[:, nouns]
        return TaskScores(scores, action.labels, action.classes)

    def to_npz(self) -> bytes:
        """The bytes of an npz file.

        It has ``names`` and, for each task, ``scores.<task>``, ``labels.<task>``, ``classes.<task>`` and ``confusion.<task>``;
        with ``product`` also ``product.scores`` and ``product.confusion``.
        """
        arrays: dict[str, Any] = {"names": np.array(self.names)}
        for task, scores in self.tasks.items():
            arrays |= {f"scores.{task}": scores.scores, f"labels.{task}": scores.labels}
            arrays |= {f"classes.{task}": np.array(scores.classes), f"confusion.{task}": scores.confusion()}
        if (product := self.product()) is not None:
            arrays |= {"product.scores": product.scores, "product.confusion": product.confusion()}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()


def read_scores(path: Path) -> VideoScores:
    """Reads what ``to_npz`` wrote. Raises UserError for any other file."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            tasks = [name.removeprefix("scores.") for name in file if name.startswith("scores.")]
            found = {
                task: TaskScores(file[f"scores.{task}"], file[f"labels.{task}"], tuple(file[f"classes.{task}"].tolist()))
                for task in tasks
            }
            return VideoScores(found, tuple(file["names"].tolist()))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} holds no scores ({one_line(error)})") from None


def joined(parts: Sequence[VideoScores]) -> VideoScores:
    """Concatenates the scores of the sections of a split."""
    first = parts[0]
    tasks = {
        task: TaskScores(
            np.concatenate([part.tasks[task].scores for part in parts]),
            np.concatenate([part.tasks[task].labels for part in parts]),
            scores.classes,
        )
        for task, scores in first.tasks.items()
    }
    return VideoScores(tasks, tuple(name for part in parts for name in part.names))


def _log_softmax(scores: Scores) -> Scores:
    shifted = scores - scores.max(axis=1, keepdims=True)
    result: Scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result
