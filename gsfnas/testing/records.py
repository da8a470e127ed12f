"""Synthetic studies with known answers: the effect of each site is defined here, and the report must recover it.

``STUDIES`` has one of each kind: whole, interrupted, failed, with hostile names. ``record`` and ``study_of`` make others.
"""

import functools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from gsfnas.candidate import BackboneRef, Candidate, Insertion, Site
from gsfnas.modules import ModuleCost, resolve, spec_of
from gsfnas.record import Epoch, Latency, Outcome, Phase, ProtocolScore, Record, StudyRecord

BACKBONE = BackboneRef.of("micro", {"width": 1})
FRAMES, RESOLUTION, EPOCHS = 8, 32, 8
# Effect of a module at each site, in points of validation top-1.
WORTH = (3.0, 9.0, 2.0, 14.0, 6.0, 10.0, 1.0, -2.0)
BASELINE = 33.0
# The first row of the 12-run Plackett-Burman design; the others are its rotations and a row of zeros.
PLACKETT_BURMAN = (1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0)
YAML = """\
study:
  name: {name}
  trials: 24
  sampler: nsga2
  seed: 0
  replicates: 3
data:
  name: twins
  frames: 8
  resolution: 32
  train_clips: 1500
train:
  epochs: 8
  lr: 0.05
"""
ENVIRONMENT = {
    "device": "cpu",
    "cpu": "Intel(R) Xeon(R) Processor @ 2.60GHz",
    "cores": 2,
    "python": "3.11.11",
    "packages": {"torch": "2.14.1", "gsfnas": "0.1.0", "optuna": "5.0.0"},
    "os": "Linux-6.1.0-x86_64",
}


def micro_sites() -> tuple[Site, ...]:
    """Eight residual blocks in four stages."""
    sites = []
    for stage, (channels, side) in enumerate([(16, 32), (24, 16), (32, 8), (48, 4)], start=1):
        for block in range(2):
            layer = f"layer{stage}.{block}.conv1"
            sites.append(Site(layer, layer, f"layer{stage}.{block}", "conv1", "after", channels, side, side, True))
    return tuple(sites)


SITES = micro_sites()


def placement(*held: int) -> Candidate:
    """GSF on a quarter of the channels at the sites of these indices."""
    choices: list[Mapping[str, object] | None] = [
        {"module": "gsf", "ratio": 0.25} if index in held else None for index in range(len(SITES))
    ]
    return candidate_of(choices)


def candidate_of(choices: Sequence[Mapping[str, object] | None]) -> Candidate:
    """A candidate from one choice per site, as spaces write them; None for no module."""
    insertions: list[tuple[str, Insertion]] = []
    for site, choice in zip(SITES, choices, strict=True):
        insertion = None if choice is None else resolve(site, choice)
        if insertion is not None:
            insertions.append((site.name, insertion))
    return Candidate(BACKBONE, FRAMES, RESOLUTION, tuple(sorted(insertions)))


def cost_of(candidate: Candidate) -> dict[str, int]:
    """Costs of one clip: those of a fictitious network, plus the true costs of its modules."""
    sites = {site.name: site for site in SITES}
    held = [(sites[name], insertion) for name, insertion in candidate.insertions]
    params, fvcore, activations = 71_234, 51_200_000, 1_900_000
    for site, insertion in held:
        cost = spec_of(insertion.module).cost(site, insertion, FRAMES) or ModuleCost()
        params, fvcore, activations = params + cost.params, fvcore + cost.macs_fvcore, activations + cost.activations
    return {
        "params": params,
        "macs_fvcore": fvcore,
        "macs_ptflops": int(fvcore * 1.02),
        "activations": activations,
        "saved_bytes": activations * 8,
    }


def top1_of(candidate: Candidate) -> float:
    """The true accuracy in points: the baseline plus the effects of the sites that hold a module."""
    index = {site.name: number for number, site in enumerate(SITES)}
    return BASELINE + sum(WORTH[index[name]] for name, _ in candidate.insertions)


def record(
    number: int,
    candidate: Candidate,
    phase: Phase = "design",
    *,
    outcome: Outcome = "complete",
    replicate: int = 0,
    noise: float = 0.0,
    top1: float | None = None,
    error: str | None = None,
) -> Record:
    """One run. ``noise`` is a standard deviation in points; the draw depends on the candidate and the replicate only."""
    generator = random.Random(f"{candidate.key} {replicate}")
    final = (top1_of(candidate) if top1 is None else top1) / 100
    val = final + generator.gauss(0, noise) / 100
    test = final - 0.012 + generator.gauss(0, noise) / 100
    epochs = EPOCHS if outcome == "complete" else 2
    curve = tuple(
        Epoch(
            epoch,
            {
                "train_loss": 3.0 * math.exp(-epoch / 4),
                "val_loss": 3.1 * math.exp(-epoch / 5),
                "val_top1": val * (1 - math.exp(-epoch / 2)) / (1 - math.exp(-EPOCHS / 2)),
                "lr": 0.05 * (1 - epoch / EPOCHS),
                "seconds": 3.1,
            },
        )
        for epoch in range(1, epochs + 1)
    )
    metrics = {"val_top1": val, "test_top1": test, "val_loss": 1.1, "train_loss": 0.6, "seconds": 3.1 * epochs}
    return Record(
        number=number,
        candidate=candidate,
        phase=phase,
        outcome=outcome,
        seed=generator.randrange(2**31),
        replicate=replicate,
        cost=cost_of(candidate),
        metrics=metrics if outcome == "complete" else {},
        curve=curve,
        error=error,
        run_id=f"r1-{number:012x}",
        device="cpu",
        seconds=3.1 * epochs,
        environment="e1-0123abcd",
        configuration="f1-89abcdef",
    )


def study_of(
    records: Sequence[Record], replicates: Sequence[Record] = (), latencies: Sequence[Latency] = (), name: str = "placement"
) -> StudyRecord:
    """A study of these runs, with the space ``placement`` on eight sites."""
    return StudyRecord(
        name=name,
        space="placement",
        space_size=256,
        sites=SITES,
        classes=24,
        records=tuple(records),
        replicates=tuple(replicates),
        latencies=tuple(latencies),
        environments={"e1-0123abcd": ENVIRONMENT},
        configurations={"f1-89abcdef": {"data": {"name": "twins"}, "train": {"epochs": EPOCHS}}},
        study_yaml=YAML.format(name=name),
    )


def latency_of(candidate: Candidate, device: str = "cpu", threads: int = 1) -> Latency:
    """A latency of 11 ms, plus 0.9 ms for each module."""
    median = 11.0 + 0.9 * len(candidate.insertions)
    return Latency(candidate.key, median, median * 0.97, median * 1.1, device, threads, "float32")


def design() -> list[Candidate]:
    """Eleven candidates that, with the full one, hold each site six times and each pair of sites three times."""
    rows = [PLACKETT_BURMAN[shift:] + PLACKETT_BURMAN[:shift] for shift in range(11)] + [(0,) * 11]
    # Inverted, so that the row of zeros is the full candidate. That is an anchor, so the design keeps the other eleven.
    return [placement(*(index for index in range(8) if not row[index])) for row in rows[:11]]


def placement_study(noise: float = 1.2) -> StudyRecord:
    """24 candidates, one of which failed; two replicates of each anchor and of the best; latencies of all complete runs."""
    empty, full = placement(), placement(*range(8))
    records = [record(0, empty, "anchor", noise=noise), record(1, full, "anchor", noise=noise, top1=69.0)]
    records += [record(2 + number, candidate, noise=noise) for number, candidate in enumerate(design())]
    generator = random.Random(5)
    seen = {one.candidate for one in records}
    while len(records) < 24:
        # Like a sampler, which visits good sites more often.
        held = [index for index in range(8) if generator.random() < 0.25 + WORTH[index] / 18]
        candidate = placement(*held)
        if candidate not in seen:
            seen.add(candidate)
            failed = len(records) == 17
            records.append(
                record(
                    len(records),
                    candidate,
                    "search",
                    noise=noise,
                    outcome="failed" if failed else "complete",
                    error="FloatingPointError: the loss is not finite after 2 epochs" if failed else None,
                )
            )
    done = [one for one in records if one.outcome == "complete"]
    best = max(done, key=lambda one: one.metrics["val_top1"])
    replicates = [
        record(100 + 2 * number + again, anchor, "replicate", replicate=again + 1, noise=noise, top1=top1)
        for number, (anchor, top1) in enumerate([(empty, None), (full, 69.0), (best.candidate, None)])
        for again in range(2)
    ]
    return study_of(records, replicates, [latency_of(one.candidate) for one in done])


def multi_study(count: int = 30) -> StudyRecord:
    """A space of gates, fusions and shares of channels at eight sites; effects of sites are scaled by the gate."""
    generator = random.Random(3)
    scale = {"learnable": 1.0, "1": 0.6, "-1": 0.2}
    records = [record(0, placement(), "anchor"), record(1, candidate_of([{"module": "gsf"}] * 8), "anchor", top1=70.0)]
    while len(records) < count:
        choices: list[Mapping[str, object] | None] = []
        top1 = BASELINE
        for worth in WORTH:
            gate, fuse = generator.choice(["learnable", "1", "-1"]), generator.choice(["learnable", "sum"])
            ratio = generator.choice([0.25, 0.5, 1.0])
            held = generator.random() < 0.5
            top1 += worth * scale[gate] * held
            choices.append({"module": "gate_shift_fuse", "gate": gate, "fuse": fuse, "ratio": ratio} if held else None)
        if candidate_of(choices) in {one.candidate for one in records}:
            continue
        phase: Phase = "design" if len(records) < 2 + (count - 2) * 2 // 3 else "search"
        records.append(record(len(records), candidate_of(choices), phase, noise=1.0, top1=top1))
    replicates = [
        record(100 + number, one.candidate, "replicate", replicate=1 + number % 2, noise=1.0, top1=None if number < 2 else 70.0)
        for number, one in enumerate([records[0], records[0], records[1], records[1]])
    ]
    latencies = [latency_of(one.candidate) for one in records[:4]] + [latency_of(records[0].candidate, "cuda NVIDIA H100", 2)]
    return replace(study_of(records, replicates, latencies, name="full"), space="full", space_size=31**8)


def anchors_study() -> StudyRecord:
    """Interrupted after the two anchors."""
    return study_of([record(0, placement(), "anchor"), record(1, placement(*range(8)), "anchor", top1=69.0)], name="anchors")


def rows_study(*, has_baseline: bool = True) -> StudyRecord:
    """Named rows with three seeds each. Two names stand for the same candidate; one run failed under its second seed."""
    held: list[tuple[int, ...]] = [(0,), (0, 1, 2), tuple(range(8)), *([()] if has_baseline else [])]
    candidates = [placement(*sites) for sites in held]
    names = ["one", "three", "<all> & every_one", "none"]
    rows = [(name, candidate.key) for name, candidate in zip(names, candidates, strict=False)]
    records = [record(number, candidate, "row", noise=1.0) for number, candidate in enumerate(candidates)]
    replicates = [
        record(number, candidate, "replicate", replicate=replicate, noise=1.0)
        for replicate in (1, 2)
        for number, candidate in enumerate(candidates)
    ]
    replicates[0] = record(0, candidates[0], "replicate", replicate=1, outcome="failed", error="RuntimeError: no")
    study = study_of(records, replicates, name="table6")
    return replace(study, space="table6", space_size=len(candidates), rows=(*rows, ("all again", candidates[2].key)))


def failed_study() -> StudyRecord:
    """All runs failed."""
    error = "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB"
    candidates = [placement(), placement(*range(8)), *design()]
    return study_of(
        [
            record(number, candidate, "anchor" if number < 2 else "design", outcome="failed", error=error)
            for number, candidate in enumerate(candidates)
        ],
        name="failed",
    )


def bare_study() -> StudyRecord:
    """Interrupted before the first run."""
    return StudyRecord("bare", "placement", 256, SITES, 24, ())


def running_study() -> StudyRecord:
    """Killed during the third run."""
    records = [
        record(0, placement(), "anchor"),
        record(1, placement(*range(8)), "anchor", top1=69.0),
        record(2, design()[0], outcome="running"),
    ]
    return study_of(records, name="running")


def single_study() -> StudyRecord:
    """One run, of a candidate with one module."""
    return study_of([record(0, placement(1))], name="single")


def hand_study() -> StudyRecord:
    """Baseline 30 % (seeds 30, 32, 34), full 60 %, a better and cheaper candidate 62 %, a dominated one 40 %."""
    empty, full, good, poor = (placement(*held) for held in ((), range(8), (3, 5), (0, 1, 2)))
    records = [
        record(0, empty, "anchor", top1=30),
        record(1, full, "anchor", top1=60),
        record(2, good, top1=62),
        record(3, poor, "search", top1=40),
    ]
    again = [
        record(10, empty, "replicate", replicate=1, top1=32),
        record(11, empty, "replicate", replicate=2, top1=34),
    ]
    return study_of(records, again, [latency_of(empty)])


HOSTILE = "<script>alert('x')</script>"


def hostile_study() -> StudyRecord:
    """Every name that a user can choose contains markup."""
    site = Site(f"a|b{HOSTILE}", "a", "a", HOSTILE, "after", 16, 8, 8, True)
    backbone = BackboneRef.of(f"mine:{HOSTILE}", {"style": '"><img src=x onerror=alert(1)>'})
    insertion = Insertion.of(f"mine:{HOSTILE}", {"channels": 16, "kind": "</script><script>alert(2)</script>"})
    empty, full = (Candidate(backbone, 8, 32, held) for held in ((), ((site.name, insertion),)))
    cost = cost_of(placement())
    records = [
        replace(record(number, placement(), "anchor", top1=40 + number), candidate=candidate, cost=cost, device=HOSTILE)
        for number, candidate in enumerate([empty, full])
    ]
    failed = replace(records[1], number=2, outcome="failed", metrics={}, error=f"ValueError: {HOSTILE} & | `x`", phase="design")
    return StudyRecord(
        name=f"n{HOSTILE}",
        space=f"`{HOSTILE}",
        space_size=2,
        sites=(site,),
        classes=24,
        records=(*records, failed),
        latencies=(Latency(empty.key, 1.0, 0.9, 1.1, HOSTILE, 1, "float32"), Latency(empty.key, 2.0, 1.9, 2.1, "b", 1, "x")),
        protocols=(ProtocolScore(empty.key, 1, HOSTILE, 2, 3, HOSTILE, 48, 6 * 10**9, {f"{HOSTILE}_top1": 0.5}),),
        environments={"e": {"host": HOSTILE, "nested": {HOSTILE: [HOSTILE]}}},
        study_yaml=f"data: {HOSTILE}\n",
    )


STUDIES: dict[str, Callable[[], StudyRecord]] = {
    "placement": placement_study,
    "multi": multi_study,
    "anchors": anchors_study,
    "single": single_study,
    "failed": failed_study,
    "bare": bare_study,
    "running": running_study,
    "hostile": hostile_study,
    "rows": rows_study,
    "rows-only": functools.partial(rows_study, has_baseline=False),
}
