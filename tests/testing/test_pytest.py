"""Only the suites need pytest: a user of the package has none."""

import ast
from pathlib import Path

import gsfnas

PACKAGE = Path(gsfnas.__file__).parent


def test_nothing_but_the_suites_needs_pytest():
    for path in PACKAGE.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
        names = {one.name for node in nodes if isinstance(node, ast.Import) for one in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        is_suite = path.parent.name == "testing" and path.stem not in ("__init__", "_small", "fake", "records")
        assert ("pytest" in names) == is_suite, path
