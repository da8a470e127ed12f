"""A fake evaluator: it computes a score for each candidate within milliseconds, and writes tiny checkpoints.

Files in the folder ``orders`` make it misbehave, also in worker processes. With ``fail``, ``nan``, ``full`` or ``poison``,
candidates with the number of insertions in the file fail, diverge, find the disk full, or kill the process; ``slow`` holds
the seconds that each epoch takes; ``die``, ``lose`` and ``interrupt`` hold the number of epochs after which the process is
killed (``lose``: after the checkpoint was written), or interrupted once. Every call appends a line to ``log``.
"""

import errno
import fcntl
import json
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsfnas.candidate import BackboneRef, Candidate, Insertion, Kind, Site
from gsfnas.evaluators import Context, Evaluator, Identity, Measurement
from gsfnas.seeds import derive
from gsfnas.space import BoundSpace, Space, parse_bounds
from gsfnas.study._bounds import within_bounds

BUDGET = 3


@dataclass
class FakeEvaluator(Evaluator):
    """Validation top-1 depends on candidate, seed and epoch alone. ``repeats_last``: a resumed run repeats its last epoch."""

    orders: Path
    repeats_last: bool = True
    recipe: str = "r1-a"
    data: str = "d1-a"
    budget: int = BUDGET

    @property
    def identity(self) -> Identity:
        return Identity(self.recipe, self.data)

    @property
    def heads(self) -> dict[str, int]:
        return {"class": 20}

    def prepare(self, space: Any, context: Context) -> None:
        self.context = context
        self.log("prepare", threads=context.threads, device=context.device)

    def close(self) -> None:
        self.log("close")

    def log(self, what: str, **more: Any) -> None:
        with (self.orders / "log").open("a") as file:
            file.write(json.dumps({"what": what, "process": os.getpid(), **more}) + "\n")

    def evaluate(
        self, candidate: Candidate, *, seed: int, replicate: int, budget: int, resume_from: Path | None = None
    ) -> Iterator[Measurement]:
        folder = self.context.folder / f"{candidate.key}-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "last.pt"
        known = int(resume_from.read_text()) if resume_from else 0
        self.log("evaluate", key=candidate.key, seed=seed, after=known, budget=budget)
        self.context.on_progress(0, budget, "start")
        for epoch in range(known if known and self.repeats_last else known + 1, budget + 1):
            self.obey(candidate, epoch)
            path.write_text(str(epoch))
            if self.take_one("lose"):
                os.kill(os.getpid(), signal.SIGKILL)
            is_last = epoch == budget
            if is_last:
                (folder / "weights.safetensors").write_text("weights")
            yield Measurement(epoch, metrics_of(candidate, seed, epoch, is_last), path, is_last)

    def obey(self, candidate: Candidate, epoch: int) -> None:
        count = len(candidate.insertions)
        orders = {name: self.order(name) for name in ("fail", "nan", "full", "slow", "poison")}
        if orders["slow"]:
            time.sleep(float(orders["slow"]))
        if orders["fail"] in (str(count), "all") and epoch == 2:
            raise RuntimeError(f"out of memory: tried to allocate {count + 1} GiB\nand a second line")
        if orders["nan"] == str(count):
            raise FloatingPointError("the training loss is nan in epoch 2, step 7")
        if orders["full"] == str(count):
            raise OSError(errno.ENOSPC, "No space left on device", str(self.context.folder))
        if orders["poison"] == str(count):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.take_one("interrupt"):
            raise KeyboardInterrupt
        if self.take_one("die"):
            os.kill(os.getpid(), signal.SIGKILL)

    def order(self, name: str) -> str | None:
        path = self.orders / name
        return path.read_text() if path.exists() else None

    def take_one(self, name: str) -> bool:
        """Decrements the number in an order's file; returns True once, when it reaches zero."""
        if self.order(name) is None:
            return False
        # Locked, since several workers may count at once.
        with (self.orders / f"{name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            left = self.order(name)
            if left is None:
                return False
            if int(left) > 1:
                (self.orders / f"{name}.new").write_text(str(int(left) - 1))
                (self.orders / f"{name}.new").replace(self.orders / name)
                return False
            (self.orders / name).unlink()
            return True


def metrics_of(candidate: Candidate, seed: int, epoch: int, is_last: bool) -> dict[str, float]:
    noise = random.Random(derive(candidate.key, seed, epoch)).uniform(0, 0.05)
    weights = {name: 1 + index % 3 for index, (name, _) in enumerate(candidate.insertions)}
    val = (0.2 + 0.03 * sum(weights.values()) + noise) * epoch / BUDGET
    return {"train_loss": 3.0 / epoch, "val_top1": val} | ({"test_top1": val - 0.01} if is_last else {})


def fake_price(candidate: Candidate) -> dict[str, int]:
    macs = 10**9 + sum(10**7 * (1 + int(insertion.get("channels", 1))) for _, insertion in candidate.insertions)
    return {"params": 1000, "macs_fvcore": macs, "macs_ptflops": macs, "activations": 10, "saved_bytes": 20}


def make_sites(number: int) -> tuple[Site, ...]:
    return tuple(Site(f"s{i}", f"s{i}", f"b{i}", "conv1", "after", 16, 8, 8, is_default=True) for i in range(number))


def make_coupled_space() -> BoundSpace:
    """Three blocks that may be replaced, each with two convolutions that hold the same module, or of which one is empty."""
    inner: tuple[tuple[str, Kind], ...] = (("", "replace"), (".c1", "after"), (".c2", "after"))
    layers = [(f"b{block}{layer}", kind) for block in range(3) for layer, kind in inner]
    sites = [Site(layer, layer, layer[:2], layer[3:] or "block", kind, 16, 8, 8, True) for layer, kind in layers]
    rules = [{"role": ["c1", "c2"], "same": "module", "within": "block"}, {"role": "c2", "same": "choice"}]
    insertions = [{"module": "gsf", "ratio": [0.25, 0.5]}]
    by_name = {"pattern": [site.name for site in sites]}
    space = Space.from_dict({"name": "coupled", "sites": by_name, "insertions": insertions, "couple": rules})

    def resolve(site: Site, insertion: Mapping[str, Any]) -> Insertion:
        return Insertion.of("gate_shift_fuse", {"channels": int(site.channels * insertion["ratio"])})

    return space.bind(BackboneRef("micro"), sites, frames=8, resolution=32, resolve=resolve)


def make_bounded_space(sites: int = 6, ratios: tuple[float, ...] = (0.25,), *bounds: str) -> BoundSpace:
    """``make_space`` within bounds on what ``fake_price`` gives."""
    return within_bounds(make_space(sites, ratios), parse_bounds(bounds), fake_price)


def make_space(sites: int = 6, ratios: tuple[float, ...] = (0.25,), *, optional: bool = True) -> BoundSpace:
    space = Space.from_dict(
        {"name": "placement", "optional": optional, "insertions": [{"module": "gsf", "ratio": list(ratios)}]}
    )
    return space.bind(BackboneRef("micro"), make_sites(sites), frames=8, resolution=32)
