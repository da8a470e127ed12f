"""The one assembler: a backbone, modules at its sites, and heads on the mean of the frames' logits (TSN, Wang et al. 2016).

N clips*frames, B clips, T frames, F features.
"""

import copy
import hashlib
import keyword
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from gsfnas.backbone import backbone_sites, build_backbone
from gsfnas.candidate import Candidate, Site
from gsfnas.component import blaming
from gsfnas.deprecations import torch_jit_ignored
from gsfnas.errors import UserError, unknown
from gsfnas.insertion import insert, take_apart
from gsfnas.modules import Output, spec_of

HEAD_STD = 0.001  # the usual initialisation of a TSN head


class Heads(nn.Module):
    """The classification heads by task, as a mapping; states are saved under ``<task>.weight``.

    A task that is a word of Python (``class``, the usual one) is held by an attribute of another name: torch.export writes code
    that reads ``heads.<attribute>``, which must be Python.
    """

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.tasks = tuple(heads)
        for task, head in heads.items():
            self.add_module(_attribute(task), head)
        self.register_state_dict_post_hook(_name_by_task)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_name_by_attribute)  # type: ignore[no-untyped-call]

    def __getitem__(self, task: str) -> nn.Module:
        if task not in self.tasks:
            raise KeyError(task)
        return self.get_submodule(_attribute(task))

    def __iter__(self) -> Iterator[str]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def items(self) -> Iterator[tuple[str, nn.Module]]:
        return ((task, self[task]) for task in self.tasks)


def _attribute(task: str) -> str:
    return f"{task}_" if keyword.iskeyword(task) else task


def _name_by_task(heads: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    _rename(heads, state, prefix, is_saving=True)


def _name_by_attribute(heads: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    _rename(heads, state, prefix, is_saving=False)


def _rename(heads: nn.Module, state: dict[str, Any], prefix: str, *, is_saving: bool) -> None:
    """Renames the heads' tensors in place, in their order: from attributes to tasks where a state is saved, else back."""
    assert isinstance(heads, Heads)
    names = {_attribute(task): task for task in heads} if is_saving else {task: _attribute(task) for task in heads}
    for name in [name for name in state if name.startswith(prefix)]:
        owner, dot, rest = name.removeprefix(prefix).partition(".")
        value = state.pop(name)
        state[f"{prefix}{names.get(owner, owner)}{dot}{rest}"] = value


class VideoModel(nn.Module):
    """A candidate as a network: (B, T, 3, H, W) or (B*T, 3, H, W) -> logits (B, classes) of each task.

    ``modules`` are the insertions at sites of the backbone. ``consensus`` maps the features of all frames, (B*T, F), to
    (B*``rows``, F'), on which the heads work; a clip's logits are the mean over its rows. Without it, each frame is a row. The
    number of frames belongs to the modules and cannot be changed: build another model. Raises UserError in ``forward`` for a
    wrong number of frames.
    """

    def __init__(
        self,
        backbone: nn.Module,
        modules: Mapping[Site, nn.Module],
        heads: Mapping[str, nn.Module],
        frames: int,
        dropout: float = 0.5,
        consensus: nn.Module | None = None,
        rows: int | None = None,
    ) -> None:
        super().__init__()
        self._frames = frames
        self._rows = frames if rows is None else rows
        self.backbone = backbone
        self.consensus = consensus
        self.dropout = nn.Dropout(dropout)
        self.heads = Heads(heads)
        self._inserted = insert(backbone, modules)
        self.register_state_dict_post_hook(_name_by_site)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_name_by_layer)  # type: ignore[no-untyped-call]

    @property
    def frames(self) -> int:
        """Frames of a clip."""
        return self._frames

    @property
    def insertions(self) -> nn.ModuleDict:
        """The modules by site, as states name them; they belong to the layers that they stand at."""
        found = {insertion_name(inserted.site.name): inserted.module for inserted in self._inserted}
        return nn.ModuleDict(found if self.consensus is None else {**found, "consensus": self.consensus})

    def named_modules(
        self, memo: set[nn.Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Module]]:
        """As torch's, the insertions after the whole backbone: optimisers number parameters in the order of modules."""
        start = f"{prefix}." if prefix else ""
        places = [f"{start}{place}" for place in self._places()]

        def order(pair: tuple[str, nn.Module]) -> int:
            name = f"{pair[0]}."
            if found := [index for index, place in enumerate(places) if name.startswith(place)]:
                # What stands after a module that replaces a layer is named within it.
                return 1 + max(found, key=lambda index: len(places[index]))
            return 0 if pair[1] is self or name.startswith(f"{start}backbone.") else 1 + len(places)

        yield from sorted(super().named_modules(memo, prefix, remove_duplicate), key=order)

    def forward(self, clips: Tensor) -> dict[str, Tensor]:
        if clips.dim() == 5:
            if clips.shape[1] != self.frames:
                raise UserError(f"clips must have {self.frames} frames, but got {clips.shape[1]} (shape {tuple(clips.shape)})")
            clips = clips.flatten(0, 1)
        elif clips.dim() != 4 or clips.shape[0] % self.frames:
            raise UserError(
                f"clips must be (B, {self.frames}, 3, H, W) or (B*{self.frames}, 3, H, W), but got {tuple(clips.shape)}"
            )
        features = self.backbone(clips)
        if self.consensus is not None:
            features = self.consensus(features)
        features = self.dropout(features)
        return {task: head(features).unflatten(0, (-1, self._rows)).mean(dim=1) for task, head in self.heads.items()}

    def _places(self) -> dict[str, str]:
        """Prefixes of the insertions' tensors in the network -> those in states.

        ``backbone.layer1.0.conv1.after.`` becomes ``insertions.layer1-0-conv1.``
        """
        found = {f"backbone.{one.place}.": f"insertions.{insertion_name(one.site.name)}." for one in self._inserted}
        return found if self.consensus is None else {**found, "consensus.": "insertions.consensus."}

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """As torch's, but ``memory_format`` is for the backbone and what replaces its layers: other modules hold 3D weights."""
        memory_format = kwargs.pop("memory_format", None)
        if memory_format is not None:
            modules = [inserted.module for inserted in self._inserted if inserted.site.kind != "replace"]
            theirs = {id(tensor) for module in modules for tensor in (*module.parameters(), *module.buffers())}
            for tensor in (*self.backbone.parameters(), *self.backbone.buffers()):
                if tensor.dim() == 4 and id(tensor) not in theirs:
                    tensor.data = tensor.data.contiguous(memory_format=memory_format)
        return super().to(*args, **kwargs)


def _name_by_site(model: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Renames what belongs to insertions in place, from the layers that they stand at to ``insertions.<site>``."""
    assert isinstance(model, VideoModel)
    _move(model, state, prefix, is_saving=True)


def _name_by_layer(model: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    assert isinstance(model, VideoModel)
    _move(model, state, prefix, is_saving=False)


def _move(model: VideoModel, state: dict[str, Any], prefix: str, *, is_saving: bool) -> None:
    """Keeps the order: backbone, insertions, heads."""
    places = model._places()
    moved: dict[str, dict[str, Any]] = {}
    # What stands after a module that replaces a layer is named within it, so that it is moved first.
    for place, site in sorted(places.items(), key=lambda pair: -len(pair[0])):
        old, new = (f"{prefix}{name}" for name in ((place, site) if is_saving else (site, place)))
        inside = [name for name in state if name.startswith(old)]
        moved[place] = {f"{new}{name.removeprefix(old)}": state.pop(name) for name in inside}
    heads = {name: state.pop(name) for name in [name for name in state if name.startswith(f"{prefix}heads.")]}
    for place in places:
        state |= moved[place]
    state |= heads


def insertion_name(site: str) -> str:
    """A site's key in ``VideoModel.insertions``: ``layer1-0-conv1``; a dot may not stand there, fvcore splits at a slash."""
    return site.replace(".", "-")


def build_model(
    candidate: Candidate, heads: Mapping[str, int] | None = None, *, seed: int = 0, dropout: float = 0.5
) -> VideoModel:
    """The network of a candidate, its weights a function of ``seed`` alone; torch's generators stay as they were.

    ``heads`` maps a task to its number of classes (default one task, ``class``, of 1000). The backbone, each insertion and each
    head are initialised from hashes of their own, so that adding an insertion changes no other initial weight. Raises UserError
    for an unknown backbone or site, an insertion that is not canonical, and a head without classes.
    """
    heads = {"class": 1000} if heads is None else heads
    _check_heads(heads)
    sites = candidate_sites(candidate)
    with _seeded(seed, "backbone"):
        backbone = build_backbone(candidate.backbone)
    modules = {sites[name]: build_module(candidate, sites[name], backbone, seed=seed) for name, _ in candidate.insertions}
    consensus = modules.pop(sites["consensus"], None)
    rows, features = consensus_output(candidate, sites["consensus"])
    linears = {}
    for task, classes in heads.items():
        with _seeded(seed, "heads", task):
            linears[task] = nn.Linear(features, classes)
            nn.init.normal_(linears[task].weight, std=HEAD_STD)
            nn.init.zeros_(linears[task].bias)
    return VideoModel(backbone, modules, linears, candidate.frames, dropout, consensus, rows)


def build_module(candidate: Candidate, site: Site, backbone: nn.Module, *, seed: int = 0) -> nn.Module:
    """The module of a candidate at one of its sites; where it replaces a layer, it is made from that of ``backbone``."""
    insertion = dict(candidate.insertions)[site.name]
    layer = backbone.get_submodule(site.layer)
    # Nothing but the module reads what a convolution puts out, not even the convolution's own backward pass, unless it is a
    # special one or has a hook.
    inplace = site.kind == "after" and type(layer) is nn.Conv2d and not layer._forward_hooks
    with _seeded(seed, "insertions", site.name):
        spec, replaced = spec_of(insertion.module), layer if site.kind == "replace" else None
        with blaming(spec, "module"):
            return spec.build(site, insertion, candidate.frames, layer=replaced, inplace=inplace)


def consensus_output(candidate: Candidate, site: Site) -> Output:
    """Rows and features of a clip that the heads work on; ``site`` is the consensus of the candidate's backbone."""
    insertion = dict(candidate.insertions).get(site.name)
    if insertion is None:
        return Output(candidate.frames, site.channels)
    return spec_of(insertion.module).output(site, insertion, candidate.frames)


def candidate_sites(candidate: Candidate) -> dict[str, Site]:
    """The sites of a candidate's backbone by name, once the candidate is found to fit them.

    Raises UserError for an unknown backbone or site, and for an insertion that is not canonical or cannot stand where it is.
    """
    sites = {site.name: site for site in backbone_sites(candidate.backbone, candidate.resolution)}
    for name, insertion in candidate.insertions:
        if name not in sites:
            raise unknown(f"site of backbone {candidate.backbone}", name, sites)
        spec = spec_of(insertion.module)
        with blaming(spec, "module"):
            spec.check(sites[name], insertion)
    check_together(sites[name] for name, _ in candidate.insertions)
    return sites


def check_together(sites: Iterable[Site]) -> None:
    """Raises UserError if one of the sites is inside a layer that a module at another one replaces."""
    sites = tuple(sites)
    for outer in sites:
        if inner := next((site for site in sites if outer.holds(site)), None):
            raise UserError(
                f"site {inner.name} is inside {outer.layer}, which the module at {outer.name} replaces; leave one of them empty"
            )


def counting_form(model: VideoModel) -> VideoModel:
    """A copy in eval mode with equal outputs, of modules that operation counters know: what a price is measured on.

    Insertions give their own counting form; timm's BatchNorm with a fused activation becomes a plain one and the activation.
    """
    plain = copy.deepcopy(model).eval()
    for inserted in plain._inserted:
        inserted.module = counting_module(inserted.module)
    if plain.consensus is not None:
        plain.consensus = counting_module(plain.consensus)
    take_apart(plain.backbone)
    plain._inserted = ()
    _unfuse(plain.backbone)
    return plain.eval()


def counting_module(module: nn.Module) -> nn.Module:
    """The counting form of a temporal module in eval mode; the module itself if it has no other form."""
    form = getattr(module, "counting_form", None)
    found: nn.Module = module if form is None else form()
    return found.eval()


def _unfuse(network: nn.Module) -> None:
    """Replaces timm's BatchNorm with a fused activation by BatchNorm2d and the activation, everywhere in ``network``."""
    with torch_jit_ignored():
        from timm.layers.norm_act import BatchNormAct2d

    for child_name, child in network.named_children():
        if isinstance(child, BatchNormAct2d):
            norm = nn.BatchNorm2d(child.num_features, child.eps, child.momentum, child.affine, child.track_running_stats)
            norm.load_state_dict({name: value for name, value in child.state_dict().items() if name in norm.state_dict()})
            setattr(network, child_name, nn.Sequential(norm, child.drop, child.act))
        else:
            _unfuse(child)


def _check_heads(heads: Mapping[str, int]) -> None:
    if not heads:
        raise UserError("a model needs at least one head, {task: classes}, but got none")
    for task, classes in heads.items():
        if not isinstance(classes, int) or isinstance(classes, bool) or classes < 1:
            raise UserError(f"head {task!r} must have a positive number of classes, but got {classes!r}")
        if not task or "." in task:
            raise UserError(f"a task's name must have no dot and not be empty, but got {task!r}")
        if keyword.iskeyword(task) and _attribute(task) in heads:
            raise UserError(f"tasks {task!r} and {_attribute(task)!r} cannot stand beside each other; rename one of them")


@contextmanager
def _seeded(seed: Any, *parts: str) -> Iterator[None]:
    """Within, the CPU generator starts from a hash of the seed and the parts; afterwards it is as it was."""
    digest = hashlib.sha256("/".join([str(seed), *parts]).encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        yield
