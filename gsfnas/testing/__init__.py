"""Conformance suites that a part from outside inherits, which need pytest; a fake evaluator, synthetic records."""

import sys

_SUITES = ("backbone", "data_set", "evaluator", "executor", "module", "sampler", "section", "stopper", "storage")

# So that a failed assertion of a suite says what it compared.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(*(f"gsfnas.testing.{suite}" for suite in _SUITES))
