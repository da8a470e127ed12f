"""What anybody might give: command lines, candidates, spaces, files; drawn from a seed, most of them wrong.

Whatever would run a command or import a module says CANARY, so that the test can tell.
"""

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

CANARY = "fuzz_canary"

# What stands where a word is expected.
WORDS = (
    *("", " ", "-", "--", "-1", "0", "1", "2", "8", "31", "1e999", "nan", ".5", "-.5", "0x10", "1_000", "9" * 40, "9" * 5000),
    *(
        "null",
        "true",
        "~",
        "???",
        "[]",
        "{}",
        "[1,2",
        "{a: 1}",
        "[[[[[[[[[[1]]]]]]]]]]",
        "[" * 3000,
        "'",
        '"',
        "\\",
        "a,b",
        "a=b",
    ),
    *(
        "micro",
        "resnet18",
        "resnet5O",
        "vit_tiny_patch16_224",
        "timm",
        "placement",
        "full",
        "twins",
        "folder",
        "tiny",
        "c1-",
        "c1-0",
    ),
    *(
        "../../..",
        "/",
        ".",
        "/dev/zero",
        "pipe",
        "/dev/full",
        "missing",
        "x" * 5000,
        "a/../b",
        "~",
        "report:1",
        "report:99",
        "hostile",
        "clips",
        "trap",
        "pipe.csv",
    ),
    *("caf\udce9", "\x1b[31mred", "\u202egnp", "日本", "=cmd|' /C calc'!A0", "<script>", "a\nb", "a\x00b", "%s%n", "`id`"),
    *(f"os:system{CANARY}", "os:system", "subprocess:call", f"{CANARY}:net", f"{CANARY}.nets:net", "builtins:eval"),
    *(
        "${oc.env:HOME}",
        "${study.name}",
        "${a",
        "${oc.env:" + CANARY + "}",
        f"${{{CANARY}:1}}",
        "pkg://" + CANARY,
        "file:///etc",
    ),
)
OVERRIDES = (
    *("study.trials", "study.workers", "study.name", "study.seed", "study.sampler", "study.hours", "study.runs", "workers"),
    *(
        "train.epochs",
        "train.lr",
        "train.batch_size",
        "train.init",
        "train.device",
        "train.devices",
        "train.precision",
        "train",
    ),
    *("data", "data.root", "data.frames", "data.resolution", "data.train_clips", "data.csv", "data.cache", "data.workers"),
    *("backbone", "backbone.name", "backbone.width", "backbone.x", "space", "space.sites.role", "space.sites.pattern"),
    *("space.insertions", "space.insertions.0.module", "space.insertions.0.ratio", "space.rows", "protocol", "protocol.clips"),
    *("hydra.run.dir", "hydra.searchpath", "_target_", "study._target_", "+x", "~space", "++a.b", "defaults", "", "train.log"),
)
PLAIN: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        4,
        3,
        2**31,
        2**63,
        10**30,
        0.5,
        -0.0,
        1e308,
        float("nan"),
        float("inf"),
        "",
        "4",
        "a",
        "x" * 2000,
    ),
    *(
        [],
        {},
        [None],
        [[[[[]]]]],
        {"a": {"b": {}}},
        [1] * 1000,
        "../../etc",
        f"{CANARY}:net",
        "subprocess:call",
        "\udce9",
        "\x1b[2J",
    ),
)
TINY = (
    *("data.train_clips=24", "data.val_clips=24", "data.test_clips=24", "data.resolution=16", "data.frames=2", "data.far=0"),
    *("train.epochs=1", "train.warmup_epochs=0", "backbone.width=0.25", "study.trials=2", "study.replicates=1", "workers=1"),
)
TEMPLATES: tuple[tuple[str, ...], ...] = (
    ("cost", "CANDIDATE"),
    ("cost", "--space", "WORD", "--backbone", "WORD", "--resolution", "SMALL"),
    ("cost", "--study", "STUDY", "--classes", "WORD"),
    ("cost", "CANDIDATE", "--convention", "WORD", "--crops", "WORD"),
    ("space", "size", "WORD", "--backbone", "WORD", "--width", "WORD"),
    ("space", "sample", "placement", "-n", "SMALL", "--seed", "WORD", "--frames", "WORD"),
    ("space", "show", "WORD"),
    ("space", "list", "--config-root", "WORD"),
    ("study", "show", "STUDY", "OVERRIDE", "OVERRIDE"),
    ("study", "show", "STUDY", "OVERRIDE"),
    ("study", "show", "placement", "OVERRIDE", "OVERRIDE"),
    ("study", "status", "WORD"),
    ("study", "best", "WORD", "--format", "WORD"),
    ("study", "best", "tiny", "--train", "OVERRIDE", "--train", "data=WORD"),
    ("study", "list", "--runs", "WORD"),
    ("study", "run", "STUDY", "--dry-run", "TINY", "OVERRIDE", "OVERRIDE"),
    ("report", "build", "WORD", "--reports", "out"),
    ("train", "CANDIDATE", "TINY_RUN", "OVERRIDE", "data.root=WORD", "train.init=missing"),
    ("test", "WORD", "OVERRIDE", "--split", "WORD"),
    ("weights", "import", "WORD", "--out", "WORD", "--frames", "WORD"),
    ("data", "check", "WORD", "data.root=WORD", "OVERRIDE", "--out", "check.csv"),
    ("data", "check", "folder", "data.root=clips", "OVERRIDE", "--out", "check.csv"),
    ("data", "check", "folder", "data.root=trap", "data.csv=WORD"),
    ("test", "weights.safetensors", "data=folder", "data.root=clips", "OVERRIDE"),
    ("data", "preview", "WORD", "data.root=WORD", "--out", "p.png", "data.train_clips=24", "data.test_clips=24"),
    (
        "data",
        "export",
        "twins",
        "--as",
        "WORD",
        "--out",
        "WORD",
        "data.train_clips=24",
        "data.val_clips=24",
        "data.test_clips=24",
    ),
    ("table", "WORD", "--row", "WORD", "--no-latency"),
    ("WORD", "WORD", "WORD"),
    ("study", "WORD", "--WORD"),
    ("cost", "CANDIDATE", "--trust", "WORD"),
)


def command_line(draw: random.Random) -> list[str]:
    """One command line; studies and runs in it are tiny."""
    line: list[str] = []
    for part in draw.choice(TEMPLATES):
        if part == "TINY":
            line += TINY
        elif part == "TINY_RUN":
            line += [setting for setting in TINY if not setting.startswith(("study.", "workers", "backbone."))]
        elif part == "OVERRIDE":
            line.append(f"{draw.choice(OVERRIDES)}={draw.choice(WORDS)}" if draw.random() < 0.9 else draw.choice(WORDS))
        elif part == "CANDIDATE":
            line.append(draw.choice([json.dumps(candidate(draw), allow_nan=True), "c.json", draw.choice(WORDS)]))
        elif part == "STUDY":
            line.append(draw.choice(["placement", "ablation", "hostile", "bomb", "ring", "deep", draw.choice(WORDS)]))
        else:
            small = draw.choice(["1", "2", "16", "32", "0", "-3", "4097", "x"])
            line.append(part.replace("SMALL", small).replace("WORD", draw.choice(WORDS)))
    return line


CANDIDATE: dict[str, Any] = {
    "backbone": {"name": "micro", "width": "0.25"},
    "frames": 2,
    "resolution": 32,
    "insertions": {
        "layer1.0.conv1": {"module": "gate_shift_fuse", "channels": 4},
        "layer2.0.conv1": {"module": "gate_shift_fuse", "channels": 4, "gate": "1", "fuse": "sum"},
    },
}
SPACE: dict[str, Any] = {
    "sites": {"role": "conv1", "kind": "after", "pattern": "layer[12].*"},
    "optional": True,
    "insertions": [{"module": "gsf", "ratio": [0.25, 0.5]}, {"module": "gate_shift_fuse", "ratio": 1.0, "gate": "learnable"}],
}


def candidate(draw: random.Random) -> Any:
    return changed(CANDIDATE, draw, draw.randrange(4))


def space(draw: random.Random) -> Any:
    return changed(SPACE, draw, 1 + draw.randrange(3))


def changed(value: Any, draw: random.Random, times: int) -> Any:
    """A deep copy in which so many places hold something else, are gone, or are nested once more."""
    value = copy.deepcopy(value)
    for _ in range(times):
        places = list(_places(value))
        if not places:
            return value
        holder, key = draw.choice(places)
        how = draw.random()
        if how < 0.6:
            holder[key] = copy.deepcopy(draw.choice(PLAIN))
        elif how < 0.75:
            del holder[key]
        elif how < 0.85:
            holder[key] = [holder[key]] if draw.random() < 0.5 else {"a": holder[key]}
        elif isinstance(holder, dict):
            holder[draw.choice(["x", "ratio", "module", "width", "_target_", "name", "", "\udce9", "a.b"])] = draw.choice(PLAIN)
    return value


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def damaged(data: bytes, draw: random.Random) -> bytes:
    """The bytes of a file with one to three faults."""
    for _ in range(1 + draw.randrange(3)):
        data = draw.choice(_DAMAGES)(data, draw) if data else data
    return data


def _cut(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _flip(data: bytes, draw: random.Random) -> bytes:
    held = bytearray(data)
    for _ in range(1 + draw.randrange(8)):
        held[draw.randrange(len(held))] ^= 1 << draw.randrange(8)
    return bytes(held)


def _header(data: bytes, draw: random.Random) -> bytes:
    held = bytearray(data)
    held[draw.randrange(min(64, len(held)))] = draw.randrange(256)
    return bytes(held)


def _repeat(data: bytes, draw: random.Random) -> bytes:
    first, last = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:last] + data[first:last] * draw.choice([1, 3]) + data[last:]


def _remove(data: bytes, draw: random.Random) -> bytes:
    first, last = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:first] + data[last:]


def _insert(data: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(data) + 1)
    return data[:place] + draw.choice([b"\0" * 8, b"\xff" * 8, b"\n", b"{", b"[" * 2000, draw.randbytes(16)]) + data[place:]


def _token(data: bytes, draw: random.Random) -> bytes:
    """Another value where a number or a word stands, as a hand with an editor would write it."""
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?|\"[^\"\n]{0,40}\"|\b[a-z_]{3,}\b", data[:200_000]))
    if not found:
        return _flip(data, draw)
    place = draw.choice(found)
    value = draw.choice(
        [json.dumps(draw.choice(PLAIN)), f'"{CANARY}:net"', '"/../../../../victim"', "9" * 40, '"subprocess:call"']
    )
    return data[: place.start()] + value.encode() + data[place.end() :]


def _lines(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    first, other = (draw.randrange(len(lines)) for _ in range(2))
    how = draw.randrange(3)
    if how == 0:
        lines[first], lines[other] = lines[other], lines[first]
    elif how == 1:
        lines.insert(other, lines[first])
    else:
        del lines[first]
    return b"".join(lines)


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_cut, _flip, _header, _repeat, _remove, _insert, _token, _token, _lines),
)
