"""A user's own backbone by ``package.module:factory``."""

import textwrap
from pathlib import Path

import pytest
import torch

from gsfnas.backbone import backbone_ref, build_backbone
from gsfnas.candidate import Candidate, Insertion
from gsfnas.errors import UserError
from gsfnas.model import build_model

from ._listed import listed_sites

SOURCE = """
from torch import nn
from gsfnas.backbone import SiteSpec


class Net(nn.Module):
    def __init__(self, channels, times=1, says_features=True):
        super().__init__()
        self.times = times
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        if says_features:
            self.num_features = channels

    def forward(self, x):
        x = self.first(x)
        for _ in range(self.times):
            x = self.second(x)
        return x.mean((2, 3))


class Listing(Net):
    def sites(self):
        return [SiteSpec("second", "all", "mix", is_default=True)]


class Wrong(Net):
    def sites(self):
        return [SiteSpec("third", "all", "mix")]


class Unpooled(Net):
    def forward(self, x):
        return self.second(self.first(x))


def broken():
    raise KeyError("weights")


def number():
    return 7


answer = 42
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module beside the user, in the working directory; its name differs from test to test."""
    name = "own_" + tmp_path.name.replace("-", "_")
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(SOURCE))
    monkeypatch.chdir(tmp_path)
    return name


def test_a_network_without_sites_has_them_after_its_convolutions(own: str) -> None:
    ref = backbone_ref(f"{own}:Net", {"channels": 8})
    assert [(site.name, site.channels, site.is_default) for site in listed_sites(ref, 16)] == [
        ("first", 8, False),
        ("second", 8, False),
    ]
    assert build_backbone(ref)(torch.zeros(2, 3, 16, 16)).shape == (2, 8)


def test_a_layer_called_twice_is_no_site_of_its_own_accord(own: str) -> None:
    ref = backbone_ref(f"{own}:Net", {"channels": 8, "times": 2})
    assert [site.name for site in listed_sites(ref, 16)] == ["first"]


def test_a_network_that_lists_its_sites_is_searched_and_trained(own: str) -> None:
    ref = backbone_ref(f"{own}:Listing", {"channels": 8})
    (site,) = listed_sites(ref, 16)
    assert (site.name, site.role, site.is_default) == ("second", "mix", True)
    candidate = Candidate(ref, 4, 16, (("second", Insertion.of("gate_shift_fuse", {"channels": 4})),))
    model = build_model(Candidate.from_json(candidate.to_json()), {"class": 3})
    model(torch.randn(2, 4, 3, 16, 16))["class"].sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)


def test_mistakes_are_said_in_one_line(own: str) -> None:
    def refused(text: str, name: str, **options: int) -> None:
        with pytest.raises(UserError, match=text) as error:
            listed_sites(backbone_ref(f"{own}:{name}", options), 16)
        assert "\n" not in str(error.value)

    refused(
        "site 'second' stands at layer 'second', which must be called once in a forward, but is called 2 times",
        "Listing",
        channels=8,
        times=2,
    )
    refused("site 'second' needs at least 4 channels, but layer 'second' has 3", "Listing", channels=3)
    refused("a site stands at 'third', but there is no such layer", "Wrong", channels=8)
    refused("the network must have an integer `num_features`", "Net", channels=8, says_features=0)
    refused(r"must map a frame to \(1, 8\), one row of `num_features`, but gave \(1, 8, 16, 16\)", "Unpooled", channels=8)
    refused("its factory failed .KeyError: 'weights'", "broken")
    refused("its factory must return a torch.nn.Module, but gave int", "number")
    refused(":answer' is an int, not a class or function", "answer")
    refused("has no 'nothing'", "nothing")
    refused("its factory failed .TypeError", "Net")


def test_a_module_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match=r"cannot import 'no_such_package.nets' \(ModuleNotFoundError"):
        backbone_ref("no_such_package.nets:small")


def test_the_example_of_the_guide_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text()
    code = next(block for block in guide.split("```") if block.startswith("python\n# nets.py")).removeprefix("python\n")
    (tmp_path / "nets_of_the_guide.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    (site,) = listed_sites(backbone_ref("nets_of_the_guide:small", {"channels": 32}), 16)
    assert (site.name, site.channels, site.height) == ("mix", 32, 8)
