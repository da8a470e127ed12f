"""Conformance suites that a part from outside inherits, a fake evaluator, synthetic records. Needs pytest."""
