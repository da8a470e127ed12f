"""Conformance suites for the parts of users, a fake evaluator and synthetic records. The suites need pytest."""

import sys

_SUITES = ("backbone", "data_set", "evaluator", "executor", "module", "sampler", "section", "stopper", "storage")

# Makes failed assertions of the suites show the compared values.
if "pytest" in sys.modules:
    sys.modules["pytest"].register_assert_rewrite(*(f"gsfnas.testing.{suite}" for suite in _SUITES))
