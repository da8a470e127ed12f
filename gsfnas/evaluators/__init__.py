"""Evaluators measure candidates."""

from collections.abc import Mapping

from gsfnas.evaluators.base import Context, Evaluator, Identity, Measurement

# The names that `evaluator=` accepts.
EVALUATORS: Mapping[str, str] = {
    "train": "gsfnas.evaluators.train:TrainEvaluator",
    "table": "gsfnas.evaluators.table:TableEvaluator",
}

__all__ = ["EVALUATORS", "Context", "Evaluator", "Identity", "Measurement"]
