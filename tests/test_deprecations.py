"""The warning of torch.jit does not reach a user of the package, and no other warning is hidden."""

import ast
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import gsfnas
from gsfnas.deprecations import ignore_torch_jit_everywhere, torch_jit_ignored

JIT = "`torch.jit.script` is deprecated. Please switch to `torch.compile` or `torch.export`."
SCRIPT = """
from gsfnas import Candidate, build_model, price
from gsfnas.api import bind_space, load_space
from gsfnas.backbone import backbone_ref

price(bind_space(load_space("placement"), "micro", {"width": 0.25}, 8, 32).full)
build_model(Candidate(backbone_ref("resnet18"), 1, 32), {"class": 2})
"""


def test_a_script_sees_no_future_warning(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    command = [sys.executable, "-W", "error::FutureWarning", "-W", "error:`torch.jit:DeprecationWarning", "-c", SCRIPT]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("category", [FutureWarning, DeprecationWarning])
def test_only_this_warning_is_hidden_and_only_within(category):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with torch_jit_ignored():
            warnings.warn(JIT, category, stacklevel=1)
            with pytest.raises(category, match="something else"):
                warnings.warn("something else of torch.jit", category, stacklevel=1)
        with pytest.raises(category, match=r"torch\.jit\.script"):
            warnings.warn(JIT, category, stacklevel=1)


def test_a_program_hides_it_in_its_processes_too(monkeypatch):
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ignore_torch_jit_everywhere()
        ignore_torch_jit_everywhere()
        warnings.warn(JIT, FutureWarning, stacklevel=1)
    assert os.environ["PYTHONWARNINGS"] == "default,ignore:`torch.jit:FutureWarning,ignore:`torch.jit:DeprecationWarning"


def test_every_import_of_timm_and_of_the_counters_hides_it():
    """Which of them warn depends on their versions."""
    found, hidden = set(), set()
    for path in Path(gsfnas.__file__).parent.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found |= {(path, line) for line in _imports(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.With) and any("torch_jit_ignored" in ast.dump(item) for item in node.items):
                hidden |= {(path, line) for line in _imports(node)}
    assert len(found) >= 7
    assert found == hidden


def _imports(tree):
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module] if isinstance(node, ast.ImportFrom) else []
        if {name.partition(".")[0] for name in names} & {"timm", "fvcore", "ptflops"}:
            yield node.lineno
