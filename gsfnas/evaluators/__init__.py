"""Evaluators: what measures a candidate."""

from collections.abc import Mapping

from gsfnas.evaluators.base import Context, Evaluator, Identity, Measurement

# What `evaluator=` may name.
EVALUATORS: Mapping[str, str] = {"train": "gsfnas.evaluators.train:TrainEvaluator"}

__all__ = ["EVALUATORS", "Context", "Evaluator", "Identity", "Measurement"]
