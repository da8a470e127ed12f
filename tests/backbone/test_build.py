"""References: what is canonical, and what is refused."""

from typing import Any

import pytest

from gsfnas.backbone import backbone_ref, backbone_sites, build_backbone
from gsfnas.candidate import BackboneRef
from gsfnas.errors import UserError


@pytest.mark.parametrize(
    ("value", "canonical"),
    [(0.25, "0.25"), ("0.250", "0.25"), (2, "2"), ("1.5", "1.5"), (0.0625, "0.0625"), (3.9375, "3.9375")],
)
def test_width_has_one_spelling(value: Any, canonical: str) -> None:
    ref = backbone_ref("micro", {"width": value})
    assert ref == BackboneRef("micro", (("width", canonical),))
    assert backbone_ref(ref.name, dict(ref.options)) == ref


@pytest.mark.parametrize("value", [1, 1.0, "1", "1.00"])
def test_the_default_width_is_omitted(value: Any) -> None:
    assert backbone_ref("micro", {"width": value}) == BackboneRef("micro")


@pytest.mark.parametrize("value", [0, -1, 0.3, 5, "wide", None, True, float("nan"), float("inf")])
def test_other_widths_are_refused(value: Any) -> None:
    with pytest.raises(UserError, match=r"`width` must be a multiple of 1/16 from 0\.0625 to 4, but got"):
        backbone_ref("micro", {"width": value})


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(UserError, match=r"unknown option of backbone micro 'witdh'; did you mean 'width'\?"):
        backbone_ref("micro", {"witdh": 1})


@pytest.mark.parametrize("options", [{"width": "0.250"}, {"width": "1"}])
def test_a_reference_that_is_not_canonical_is_not_built(options: dict[str, str]) -> None:
    with pytest.raises(UserError, match="is not canonical: write 'micro"):
        build_backbone(BackboneRef.of("micro", options))


def test_sites_are_measured_once() -> None:
    assert backbone_sites(backbone_ref("micro"), 32) is backbone_sites(backbone_ref("micro"), 32)


def test_a_resolution_too_small_is_refused_in_one_line() -> None:
    with pytest.raises(UserError, match=r"'bninception' cannot run on frames of 2 px") as error:
        backbone_sites(backbone_ref("bninception"), 2)
    assert "\n" not in str(error.value)
