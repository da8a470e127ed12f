"""The folder in which the fuzz works: a study, weights, files of every kind, and files that nobody should open."""

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from data.media import numbered, write_images, write_video
from space._bind import bound
from study.conftest import Lab

from gsfnas.candidate import Candidate
from gsfnas.model import build_model

from .inputs import CANARY, CANDIDATE, SPACE

BOMB = "a: &a [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copied for each case that may change something."""
    folder = tmp_path_factory.mktemp("fuzz")
    candidate = Candidate.from_dict(CANDIDATE)
    (folder / "c.json").write_text(candidate.to_json())
    (folder / f"{CANARY}.py").write_text(f"open({str(folder.parent / 'imported')!r}, 'w')\n")
    Lab(folder).run(bound("placement"), name="tiny", trials=3)
    report = folder / "report"
    report.mkdir()
    quoted = candidate.to_json().replace('"', '""')
    (report / "trials.csv").write_text(f'rank,key,candidate\n1,{candidate.key},"{quoted}"\n')
    model = build_model(candidate, {"class": 24})
    state = {name: value.contiguous() for name, value in model.state_dict().items()}
    metadata = {"candidate": candidate.to_json(), "heads": '{"class": 24}'}
    safetensors.torch.save_file(state, folder / "weights.safetensors", metadata)
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, folder / "weights.pth")
    run = folder / "run"
    run.mkdir()
    (run / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes())
    (run / "run.yaml").write_text(
        "seed: 0\ndata:\n  name: twins\n  frames: 2\n  resolution: 32\ntrain:\n  epochs: 1\n  lr: 0.1\n"
    )
    for split in ("train", "val", "test"):
        for name in ("a", "b"):
            write_video(folder / "clips" / split / name / "clip.mp4", numbered(4))
            write_images(folder / "clips" / split / name / "frames", list(numbered(3)))
    (folder / "clips" / "clips.csv").write_text(
        "path,label,split\n"
        + "".join(f"{split}/{name}/clip.mp4,{name},{split}\n" for split in ("train", "val", "test") for name in "ab")
    )
    for group in ("studies", "spaces"):
        (folder / group).mkdir()
    (folder / "spaces" / "mine.yaml").write_text(json.dumps(SPACE))
    studies = {
        "mine": {"defaults": [{"/spaces@space": "mine"}, "_self_"], "study": {"trials": 2}, "backbone": CANDIDATE["backbone"]},
        "hostile": {
            "defaults": [{"/spaces@space": "placement"}, "_self_"],
            "backbone": {"name": f"{CANARY}:net", "_target_": f"os.system {CANARY}"},
            "study": {"trials": 2, "_target_": f"{CANARY}.net"},
        },
        "ring": {"defaults": ["/studies/ring2", "_self_"]},
        "ring2": {"defaults": ["/studies/ring", "_self_"]},
    }
    for name, values in studies.items():
        (folder / "studies" / f"{name}.yaml").write_text("# @package _global_\n" + json.dumps(values))
    (folder / "studies" / "bomb.yaml").write_text(BOMB)
    (folder / "studies" / "deep.yaml").write_text("study: " + "[" * 5000 + "]" * 5000)
    (folder / "spaces" / "object.yaml").write_text(f"!!python/object/apply:os.system ['touch {CANARY}']\n")
    os.mkfifo(folder / "pipe")
    os.mkfifo(folder / "studies" / "pipe.yaml")
    for name in ("a", "b"):
        write_video(folder / "trap" / name / "clip.mp4", numbered(4))
    os.mkfifo(folder / "trap" / "a" / "pipe.mp4")
    os.mkfifo(folder / "trap" / "pipe.csv")
    (folder / "trap" / "b" / "zero.mp4").symlink_to("/dev/zero")
    (folder / "trap" / "loop").symlink_to("..", target_is_directory=True)
    return folder
