"""The assembler: insertions run where they should, seeds, copies, counting form, and equal keys for equal networks."""

import copy
import hashlib
import io
import pickle
import random
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from space._bind import bound
from torch import Tensor, nn

from gsfnas.backbone import backbone_ref, backbone_sites, build_backbone
from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.errors import UserError
from gsfnas.insertion import insert
from gsfnas.model import VideoModel, build_model, counting_form
from gsfnas.spec import resolve

NARROW = {"width": 0.25}


class Scale(nn.Module):
    """A module of a user's own, that an eye can follow."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Chain(nn.Module):
    """(N, 4, 1, 1) -> (N, 4): doubles, then adds one."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = Scale(2.0)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.twice(x) + 1
        return out.flatten(1)


def place(kind: str, layer: str = "twice") -> Site:
    return Site(f"{layer}.{kind}", layer, "b", "r", kind, 4, 1, 1)  # type: ignore[arg-type]


def perturbed(model: VideoModel) -> VideoModel:
    """Every parameter and statistic moved by noise from its own name, so that no initial zero hides a difference."""
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if tensor.is_floating_point():
                generator = torch.Generator().manual_seed(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
                noise = torch.randn(tensor.shape, generator=generator)
                tensor += 0.1 * noise.abs() if name.endswith("running_var") else 0.3 * noise / tensor[:1].numel() ** 0.5
    return model.eval()


def clips(candidate: Candidate, batch: int = 2) -> Tensor:
    shape = (batch, candidate.frames, 3, candidate.resolution, candidate.resolution)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# Insertion


def test_after_changes_what_a_layer_returns_and_before_what_it_receives() -> None:
    x = torch.ones(1, 4, 1, 1)
    chain = Chain()
    assert chain(x).eq(3).all()
    (after,) = insert(chain, {place("after"): Scale(10.0)})
    assert chain(x).eq(2 * 10 + 1).all()
    (before,) = insert(chain, {place("before"): nn.ReLU()})
    assert chain(-x).eq(1).all()
    before.remove()
    assert chain(-x).eq(-2 * 10 + 1).all()
    after.module = Scale(100.0)
    assert chain(x).eq(2 * 100 + 1).all()
    after.remove()
    assert chain(x).eq(3).all()


def test_insertion_leaves_the_parameter_names_alone() -> None:
    backbone = build_backbone(backbone_ref("micro"))
    names = list(backbone.state_dict())
    sites = backbone_sites(backbone_ref("micro"), 32)
    inserted = insert(backbone, {site: Scale(1.0) for site in sites})
    added = {f"{one.site.layer}.{one.slot}.factor" for one in inserted}
    assert [name for name in backbone.state_dict() if name not in added] == names
    assert len(backbone.state_dict()) == len(names) + len(added)


def test_a_container_with_a_module_runs_its_own_children_first() -> None:
    network = nn.Sequential(nn.Sequential(Scale(2.0), Scale(3.0)), nn.ReLU())
    x = torch.ones(1, 4, 1, 1)
    added = insert(network, {place("after", "0"): Scale(10.0), place("before", "0"): Scale(-1.0)})
    assert network(-x).eq(60).all()
    second = insert(network, {place("after", "0"): Scale(0.5)})
    assert network(-x).eq(30).all()
    assert [name for name, _ in network.named_modules()][1:] == ["0", "0.0", "0.1", "0.after", "0.before", "0.after_2", "1"]
    for one in (*added, *second):
        one.remove()
    assert type(network[0]) is nn.Sequential
    assert network(-x).eq(0).all()


def test_insertions_are_printed_in_their_place() -> None:
    candidate = bound("placement").full
    model = build_model(candidate, {"class": 3})
    printed = str(model)
    assert printed.count("(after): GateShiftFuse(") == len(candidate.insertions)
    assert "Occupied" not in printed


def test_parameters_stay_in_the_order_that_optimisers_know() -> None:
    model = build_model(bound("placement").full, {"class": 3})
    backbone = build_backbone(bound("placement").full.backbone)
    wanted = [*(parameter.shape for parameter in backbone.parameters())]
    wanted += [parameter.shape for parameter in model.insertions.parameters()]
    wanted += [parameter.shape for parameter in model.heads.parameters()]
    assert [parameter.shape for parameter in model.parameters()] == wanted
    assert [parameter.shape for parameter in nn.Sequential(model).parameters()] == wanted
    state = model.state_dict()
    owners = [name.split(".")[0] for name in state]
    assert owners == sorted(owners, key=["backbone", "insertions", "heads"].index)


@pytest.mark.parametrize("kind", ["after", "before"])
def test_fusing_a_backbone_leaves_what_a_module_stands_between(kind: str) -> None:
    """Convolution and BatchNorm are fused where nothing is between them, and the outputs stay."""
    from torch.fx.experimental.optimization import fuse

    backbone = BackboneRef.of("resnet18")
    sites = [site for site in backbone_sites(backbone, 32) if site.kind == kind][:3]
    insertion = resolve(sites[0], {"module": "gsf", "channels": 16})
    assert insertion is not None
    model = perturbed(build_model(Candidate(backbone, 4, 32, tuple((site.name, insertion) for site in sites)), {"class": 3}))
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    expected = model.backbone(x)
    fused = fuse(model.backbone)
    torch.testing.assert_close(fused(x), expected, rtol=1e-4, atol=1e-4)
    called = [str(node.target) for node in fused.graph.nodes if node.op == "call_module"]
    assert [name for name in called if name.endswith(kind)] == [f"{site.layer}.{kind}" for site in sites]
    norms = sum(isinstance(module, nn.BatchNorm2d) for module in model.backbone.modules())
    left = sum(isinstance(fused.get_submodule(name), nn.BatchNorm2d) for name in called)
    assert left < norms / 2


def test_candidates_that_are_compiled_in_one_process_keep_their_own_modules() -> None:
    torch.compiler.reset()
    try:
        for candidate in (bound("placement").empty, bound("placement").full):
            model = perturbed(build_model(candidate, {"class": 3}))
            x = clips(candidate)
            with torch.no_grad():
                torch.testing.assert_close(torch.compile(model, backend="eager")(x)["class"], model(x)["class"])
    finally:
        torch.compiler.reset()


def test_insert_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UserError, match=r"unknown layer 'twise'; did you mean 'twice'\?"):
        insert(Chain(), {place("after", "twise"): nn.Identity()})
    with pytest.raises(UserError, match=r"inserted after or before a layer, but .*twice\.between is of kind between"):
        insert(Chain(), {place("between"): nn.Identity()})


def test_copies_call_their_own_modules() -> None:
    """Deep copies and pickles of a model, and a deep copy of its backbone alone."""
    model = perturbed(build_model(bound("full").full, {"class": 3}))
    x = clips(bound("full").full)
    expected = model(x)["class"]
    twins = [copy.deepcopy(model), pickle.loads(pickle.dumps(model))]
    alone = copy.deepcopy(model.backbone)
    features = alone(x.flatten(0, 1))
    with torch.no_grad():
        for parameter in model.insertions.parameters():
            parameter.zero_()
    assert not torch.equal(model(x)["class"], expected)
    assert torch.equal(alone(x.flatten(0, 1)), features)
    for twin in twins:
        assert torch.equal(twin(x)["class"], expected)
        with torch.no_grad():
            for parameter in twin.insertions.parameters():
                parameter.zero_()
        assert torch.equal(twin(x)["class"], model(x)["class"])


def test_state_dict_round_trip() -> None:
    candidate = bound("full").full
    model = perturbed(build_model(candidate, {"class": 3}))
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = build_model(candidate, {"class": 3}, seed=5).eval()
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other(clips(candidate))["class"], model(clips(candidate))["class"])


# The model


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


# Seeds


def test_an_insertion_changes_no_other_initial_weight() -> None:
    space = bound("placement")
    fullest = build_model(space.full, {"class": 3, "verb": 2}, seed=7).state_dict()
    for candidate in (space.empty, *space.neighbours(space.full)):
        for name, value in build_model(candidate, {"verb": 2, "class": 3}, seed=7).state_dict().items():
            assert torch.equal(value, fullest[name]), name


def test_weights_are_a_function_of_the_seed_and_the_generators_are_left_alone() -> None:
    candidate = bound("placement").full
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = build_model(candidate, seed=3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = build_model(candidate, seed=3).state_dict(), build_model(candidate, seed=4).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    for name in ("backbone.conv1.weight", "insertions.layer1-0-conv1.fuse.weight", "heads.class.weight"):
        assert not torch.equal(one[name], other[name]), name


def test_two_sites_of_one_shape_start_differently() -> None:
    insertions = build_model(bound("placement").full).insertions
    first, second = insertions["layer2-1-conv1"], insertions["layer2-2-conv1"]
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


# Equal keys exactly for equal networks

PERTURBED = {"sites": {"role": ["conv1", "conv2"]}}
EVERYTHING = [
    {"module": "gate_shift_fuse", "gate": ["learnable", 1, -1, 0], "fuse": ["learnable", "sum"], "ratio": [0.25, 0.5, 1.0]},
    {"module": "gsf", "gate_norm": [0, 1], "bias": [0, 1], "interleave": [0, 1]},
    {"module": ["tsm", "gsm"], "interleave": [0, 1]},
]


def logits_of(candidate: Candidate) -> Tensor:
    model = perturbed(build_model(candidate, {"class": 5}, seed=1)).double()
    with torch.no_grad():
        logits: Tensor = model(clips(candidate).double())["class"]
    return logits


@given(st.integers(0, 2**32), st.booleans())
@settings(max_examples=25, deadline=None)
def test_equal_keys_exactly_for_equal_networks(seed: int, near: bool) -> None:
    """Two points, or a point and a neighbour, of a space with every module at every site of a network of 8 to 32 channels."""
    space = bound(PERTURBED | {"insertions": EVERYTHING}, frames=3, width=0.5)
    generator = random.Random(seed)
    one = space.sample(generator)
    site = generator.choice(space.sites).name
    index = generator.randrange(len(dict(zip([s.name for s in space.sites], space.options, strict=True))[site]))
    other = space.decode({**space.encode(one), site: index}) if near else space.sample(generator)
    assert torch.equal(logits_of(one), logits_of(other)) is (one.key == other.key)
    assert torch.equal(logits_of(one), logits_of(Candidate.from_json(one.to_json())))


def test_every_choice_at_one_site_is_another_network() -> None:
    space = bound({"sites": {"pattern": "layer2.1.conv1"}, "insertions": EVERYTHING}, frames=3)
    outputs = [logits_of(candidate) for candidate in space]
    assert space.size > 20
    assert len({tuple(output.flatten().tolist()) for output in outputs}) == space.size


# Every point of a space builds and runs

BACKBONES = [
    ("micro", 32, {}),
    ("micro", 16, NARROW),
    ("micro_bottleneck", 32, {"width": 0.5}),
    ("bninception", 64, NARROW),
    ("inception_v3", 69, NARROW),
    ("resnet18", 64, {}),
    ("mobilenetv3_small_100", 64, {}),
]


@pytest.mark.parametrize(("backbone", "resolution", "options"), BACKBONES)
@pytest.mark.parametrize("name", ["placement", "full"])
@given(seed=st.integers(0, 2**32))
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_sampled_point_builds_and_trains(
    name: str, backbone: str, resolution: int, options: dict[str, float], seed: int
) -> None:
    space = bound(name, backbone, frames=2, resolution=resolution, **options)
    runs(space.sample(random.Random(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet26", "resnet50", "resnet101", "convnext_nano", "efficientnet_b0", "bninception"])
def test_points_of_the_larger_networks_build_and_train(backbone: str) -> None:
    space = bound("full", backbone, frames=2, resolution=64)
    for seed in range(2):
        runs(space.sample(random.Random(seed)))


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["resnet50", "bninception"])
def test_a_full_size_candidate_of_full_yaml_runs_forward_and_backward(backbone: str) -> None:
    candidate = bound("full", backbone, frames=8, resolution=224).sample(random.Random(0))
    assert len(candidate.insertions) > 5
    runs(candidate, batch=1)


def runs(candidate: Candidate, batch: int = 2) -> None:
    """Forward and backward, every gradient there and finite."""
    model = build_model(candidate, {"class": 3})
    nn.init.normal_(model.heads["class"].weight)
    model.train()(clips(candidate, batch))["class"].square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


# Refusals

GOOD = Candidate(BackboneRef("micro"), 2, 32, (("layer1.0.conv1", Insertion.of("gate_shift_fuse", {"channels": 4})),))


def holding(**parameters: int | str) -> Candidate:
    return replace(GOOD, insertions=(("layer1.0.conv1", Insertion.of("gate_shift_fuse", parameters)),))


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (replace(GOOD, backbone=BackboneRef("mikro")), "unknown backbone 'mikro'"),
        (
            replace(GOOD, backbone=BackboneRef("micro", (("width", "1"),))),
            "is not canonical: write 'micro'",
        ),
        (
            replace(GOOD, insertions=(("layer1.0.conv7", GOOD.insertions[0][1]),)),
            "unknown site of backbone micro 'layer1.0.conv7'",
        ),
        (replace(GOOD, insertions=(("layer1.0.conv1", Insertion("gsff")),)), "unknown module 'gsff'"),
        (holding(channels=4, fuse="learnable"), "is not canonical"),
        (holding(channels=4, gate="0", fuse="sum"), "is not canonical"),
        (holding(channels=20), "`channels` must be a multiple of 4 from 4 to 16, but got 20"),
        (holding(ratio=1), "is not canonical"),
    ],
)
def test_candidates_that_do_not_fit_are_refused_in_one_line(candidate: Candidate, message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        build_model(candidate)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        ({}, "at least one head"),
        ({"class": 0}, "head 'class' must have a positive number of classes, but got 0"),
        ({"a.b": 3}, "a task's name must have no dot"),
    ],
)
def test_heads_that_cannot_be_are_refused(heads: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_model(GOOD, heads)


# The counting form


@pytest.mark.parametrize(
    ("backbone", "resolution"),
    [
        ("micro", 32),
        ("micro_bottleneck", 32),
        ("bninception", 64),
        ("inception_v3", 69),
        ("resnet18", 64),
        ("mobilenetv3_small_100", 64),
    ],
)
def test_the_counting_form_says_the_same_in_plain_modules(backbone: str, resolution: int) -> None:
    candidate = bound("full", backbone, frames=3, resolution=resolution).full
    model = perturbed(build_model(candidate, {"class": 4}))
    before = model(clips(candidate))["class"]
    form = counting_form(model.train())
    assert torch.allclose(
        form(clips(candidate).flatten(0, 1))["class"], before, rtol=1e-4, atol=1e-4 * before.abs().max().item()
    )
    kinds = {type(module).__name__ for module in form.modules() if not list(module.children())}
    assert not kinds & {"BatchNormAct2d", "GateShiftFuse"}
    assert model.training
    assert any(type(module).__name__ == "GateShiftFuse" for module in model.insertions.values())
    own = {name: value.shape for name, value in model.named_parameters() if name.startswith("heads")}
    assert own == {name: value.shape for name, value in form.named_parameters() if name.startswith("heads")}
    assert sum(p.numel() for p in form.parameters()) == sum(p.numel() for p in model.parameters())


# How it runs


@pytest.mark.parametrize("backbone", ["micro", "resnet18"])
def test_channels_last_gives_the_same(backbone: str) -> None:
    candidate = bound("full", backbone, frames=2, resolution=32).full
    model = perturbed(build_model(candidate, {"class": 4}))
    expected = model(clips(candidate))["class"]
    model.to(memory_format=torch.channels_last)
    found = model(clips(candidate).flatten(0, 1).to(memory_format=torch.channels_last))["class"]
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item())


def test_autocast_trains() -> None:
    candidate = bound("full", frames=2).full
    model = build_model(candidate, {"class": 4}).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(clips(candidate))["class"].float().square().sum()
    loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.slow
def test_a_compiled_model_says_the_same() -> None:
    """In one graph: neither the hooks nor the modules break it."""
    space = bound({"sites": {"pattern": ["layer1.0.conv1", "layer2.0.conv1.before"]}, "insertions": [{"module": "gsf"}]})
    model = perturbed(build_model(space.full, {"class": 4}))
    expected = model(clips(space.full))["class"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = torch.compile(model, fullgraph=True)(clips(space.full))["class"]
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
