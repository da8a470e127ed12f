"""What a printed number of operations counts: counters disagree, and a table is only compared under its own rule.

Nothing here runs a network; ``gsfnas.cost`` counts by these rules.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gsfnas.errors import unknown


@dataclass(frozen=True)
class Convention:
    """A rule for counting one clip.

    ``counter`` does the counting. ``factor`` is what a multiply-add counts: 1 for MACs, 2 for FLOPs. ``head_classes`` is the
    size of the classification head in the operations, where it is not the task's own; parameters always have the task's own.
    The rest say how often each kind of layer is counted: BatchNorm's scale and shift (2 operations a number), ReLU, pooling (1
    a number that it reads), the bias of a convolution or linear layer (1 a number put out). Elementwise products, sums, tanh,
    sigmoid and shifts are counted by none. ``tolerance`` is how many 10^9 for each 8 frames a printed number may lie from ours
    where the rule is known; None: nothing is printed by it.
    """

    name: str
    counter: Literal["fvcore", "ptflops"]
    says: str
    factor: int = 1
    head_classes: int | None = None
    batch_norm: int = 1
    relu: int = 0
    pooling: int = 0
    bias: int = 0
    elementwise: int = 0
    tolerance: float | None = None

    @property
    def unit(self) -> str:
        """What the number is called: MACs or FLOPs."""
        return "MACs" if self.factor == 1 else "FLOPs"


FVCORE = Convention("fvcore", "fvcore", "the objective of every study; multiply-adds, as fvcore counts them")

# By name. The two of the paper are those under which its printed digits come out (see the notes of the tables).
CONVENTIONS: Mapping[str, Convention] = {
    one.name: one
    for one in (
        FVCORE,
        Convention("flops", "fvcore", "fvcore's number twice: a multiplication and an addition count one each", factor=2),
        Convention(
            "ptflops",
            "ptflops",
            "ptflops 0.7.5, PyTorch backend, its defaults: ReLU and pooling count as module and as functional",
            relu=2,
            pooling=2,
            bias=1,
        ),
        Convention(
            "paper-resnet",
            "ptflops",
            "the paper's ResNets: ptflops with a 1000-class head",
            head_classes=1000,
            relu=2,
            pooling=2,
            bias=1,
            tolerance=0.005,
        ),
        Convention(
            "paper-inception",
            "ptflops",
            "the paper's Inception networks: ptflops with a 1000-class head, pooling once",
            head_classes=1000,
            relu=2,
            pooling=1,
            bias=1,
            tolerance=0.02,
        ),
    )
}


def convention(name: str) -> Convention:
    """The convention of that name. Raises UserError for a name that is none."""
    if name not in CONVENTIONS:
        raise unknown("convention", name, CONVENTIONS)
    return CONVENTIONS[name]


COLUMNS = ("convention", "counter", "unit", "head", "BatchNorm", "ReLU", "pooling", "bias", "elementwise")


def cells(one: Convention) -> tuple[str, ...]:
    """A convention as cells under ``COLUMNS``."""
    head = "the task's" if one.head_classes is None else f"{one.head_classes} classes"
    counts = (one.batch_norm, one.relu, one.pooling, one.bias, one.elementwise)
    return (one.name, one.counter, one.unit, head, *(("no", "once", "twice")[count] for count in counts))


def markdown() -> str:
    """All conventions as one table, for the guide."""
    head = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS)]
    return "\n".join([*head, *(f"| {' | '.join((f'`{cells(one)[0]}`', *cells(one)[1:]))} |" for one in CONVENTIONS.values())])
