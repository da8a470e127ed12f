"""A built model: its parameters, its logits, its heads, its export."""

import io

import pytest
import torch
from space._bind import bound

from gsfnas.backbone import build_backbone
from gsfnas.errors import UserError
from gsfnas.model import build_model

from .nets import clips, perturbed


def test_parameters_are_named_by_backbone_site_and_task() -> None:
    candidate = bound("placement").full
    model = build_model(candidate, {"verb": 3, "noun": 5})
    names = {name for name, _ in model.named_parameters()}
    assert {"backbone.layer1.0.conv1.weight", "heads.verb.weight", "heads.noun.bias"} <= names
    assert set(model.insertions) == {name.replace(".", "-") for name, _ in candidate.insertions}
    assert {name.removeprefix("backbone.") for name in model.state_dict() if name.startswith("backbone.")} == set(
        build_backbone(candidate.backbone).state_dict()
    )
    logits = model(clips(candidate))
    assert {task: tuple(value.shape) for task, value in logits.items()} == {"verb": (2, 3), "noun": (2, 5)}


def test_logits_are_the_mean_of_the_frames() -> None:
    candidate = bound("placement", frames=3).empty
    model = perturbed(build_model(candidate, {"class": 4}))
    x = clips(candidate)
    frames = model.heads["class"](model.backbone(x.flatten(0, 1)))
    assert torch.allclose(model(x)["class"], frames.reshape(2, 3, 4).mean(1), atol=1e-6)


def test_without_insertions_the_order_of_frames_does_not_matter_and_with_them_it_does() -> None:
    space = bound("placement", frames=4)
    for candidate, blind in ((space.empty, True), (space.full, False)):
        model = perturbed(build_model(candidate, {"class": 4}))
        forward, backward = model(clips(candidate))["class"], model(clips(candidate).flip(1))["class"]
        assert torch.allclose(forward, backward, atol=1e-5) is blind


def test_clips_do_not_leak_into_each_other_and_both_shapes_are_one() -> None:
    candidate = bound("full", frames=3).full
    model = perturbed(build_model(candidate, {"class": 4}))
    x = clips(candidate)
    logits = model(x)["class"]
    assert torch.allclose(model(x[1:])["class"], logits[1:], atol=1e-6)
    assert torch.equal(model(x.flatten(0, 1))["class"], logits)


@pytest.mark.parametrize("shape", [(1, 3, 3, 32, 32), (3, 3, 32, 32), (3, 32, 32)])
def test_a_wrong_number_of_frames_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"clips must .* but got .*3"):
        build_model(bound("placement").full, {"class": 2})(torch.zeros(shape))


def test_the_head_starts_small_and_behind_dropout() -> None:
    model = build_model(bound("placement").empty, {"class": 174}, dropout=0.8)
    head = model.heads["class"]
    assert 0.0008 < head.weight.std() < 0.0012
    assert not head.bias.any()
    assert model.dropout.p == 0.8
    x = clips(bound("placement").empty)
    assert not torch.equal(model.train()(x)["class"], model(x)["class"])


def test_the_number_of_frames_belongs_to_the_modules() -> None:
    model = build_model(bound("placement", frames=4).full, {"class": 3})
    (module, *_) = model.insertions.values()
    for one in (model, module):
        with pytest.raises(AttributeError, match="frames"):
            one.frames = 2
        assert one.frames == 4


def test_a_state_is_saved_under_the_tasks_names_and_loads_from_there() -> None:
    candidate = bound("placement").empty
    model = perturbed(build_model(candidate, {"class": 3, "verb": 2}))
    state = model.state_dict()
    heads = [f"heads.{task}.{kind}" for task in ("class", "verb") for kind in ("weight", "bias")]
    assert [name for name in state if name.startswith("heads")] == heads
    assert torch.equal(state["heads.class.weight"], model.heads["class"].weight)
    other = build_model(candidate, {"class": 3, "verb": 2}, seed=1)
    names = list(state)
    assert other.load_state_dict(state) == ([], [])
    assert list(state) == names
    assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())
    assert list(model.heads) == ["class", "verb"]
    with pytest.raises(KeyError, match="noun"):
        model.heads["noun"]
    with pytest.raises(RuntimeError, match="size mismatch"):
        build_model(candidate, {"class": 4, "verb": 2}).load_state_dict(state)
    with pytest.raises(UserError, match="tasks 'class' and 'class_' cannot stand beside each other"):
        build_model(candidate, {"class": 3, "class_": 2})


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("tasks", [("class",), ("verb", "noun"), ("import", "class")])
def test_an_exported_program_is_a_module_with_equal_outputs(tasks: tuple[str, ...], strict: bool) -> None:
    candidate = bound("placement", frames=4).full
    model = perturbed(build_model(candidate, dict.fromkeys(tasks, 3), dropout=0.0))
    x = clips(candidate)
    exported = torch.export.export(model, (x,), strict=strict)
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    wanted = model(x)
    for program in (exported, torch.export.load(file)):
        found = program.module()(x)
        assert list(found) == list(tasks)
        assert all(torch.allclose(found[task], wanted[task], atol=1e-6) for task in tasks)
