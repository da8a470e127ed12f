"""Executors start the workers of a study."""

from collections.abc import Mapping

from gsfnas.executors.base import Executor, Task

# The names that `executor=` accepts.
EXECUTORS: Mapping[str, str] = {"local": "gsfnas.executors.local:LocalExecutor"}

__all__ = ["EXECUTORS", "Executor", "Task"]
