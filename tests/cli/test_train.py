"""One candidate trained, killed, resumed and tested from the command line."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from gsfnas import Candidate
from gsfnas.data import DataSettings, export
from gsfnas.model import build_model
from gsfnas.train import read_scores

CANDIDATE = {
    "backbone": {"name": "micro", "width": "0.25"},
    "frames": 4,
    "resolution": 16,
    "insertions": {"layer2.0.conv1": {"module": "gate_shift_fuse", "channels": 4}},
}
TEXT = json.dumps(CANDIDATE)
KEY = Candidate.from_dict(CANDIDATE).key
SMALL = ("data.train_clips=72", "data.val_clips=48", "data.test_clips=48", "train.device=cpu")
QUICK = (*SMALL, "train.epochs=2")
RUN = Path("runs", "trained", f"{KEY}-0")


def test_a_run_leaves_weights_logs_and_scores(gsfnas):
    code, out, err = gsfnas("train", TEXT, *QUICK)
    assert code == 0
    assert out.splitlines()[0] == str(RUN)
    assert "epoch 2/2: loss" in err
    with (RUN / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert list((RUN / "tensorboard").glob("events*"))
    told = json.loads((RUN / "test-efficiency-1x1.json").read_text())
    assert told["metrics"]["test_top1"] == float(rows[-1]["test_top1"])
    assert told["protocol"] == {"name": "efficiency", "clips": 1, "crops": 1}
    scores = read_scores(RUN / "test-efficiency-1x1.npz").tasks["class"]
    assert scores.scores.shape == (48, 24)
    assert scores.accuracy() == float(rows[-1]["test_top1"])
    with (RUN / "test-efficiency-1x1-classes.csv").open() as file:
        classes = list(csv.DictReader(file))
    assert sum(int(row["videos"]) for row in classes) == 48
    assert sum(float(row["top1"]) for row in classes) / 24 == pytest.approx(told["metrics"]["test_mean_class"])
    assert yaml.safe_load((RUN / "run.yaml").read_text())["candidate"] == CANDIDATE


def test_the_same_command_trains_nothing_more_and_another_is_refused(gsfnas):
    gsfnas("train", TEXT, *QUICK)
    weights = (RUN / "weights.safetensors").read_bytes()
    log = (RUN / "log.csv").read_text()
    code, _, err = gsfnas("train", TEXT, *QUICK)
    assert (code, (RUN / "weights.safetensors").read_bytes(), (RUN / "log.csv").read_text()) == (0, weights, log)
    code, _, err = gsfnas("train", TEXT, *QUICK, "train.lr=0.2")
    assert (code, err.count("\n")) == (2, 1)
    assert "was begun with other settings (train.lr: 0.1 -> 0.2); for one of its own: --out DIR" in err
    assert (RUN / "weights.safetensors").read_bytes() == weights
    assert gsfnas("train", TEXT, *QUICK, "train.lr=0.2", "--out", "elsewhere")[0] == 0
    assert gsfnas("train", TEXT, *QUICK, "--seed", 1)[0] == 0
    assert sorted(path.name for path in RUN.parent.iterdir()) == [f"{KEY}-0", f"{KEY}-1"]
    shutil.rmtree(RUN / "tensorboard")
    (RUN / "last.pt").unlink()
    code, _, err = gsfnas("train", TEXT, *QUICK)
    assert (code, err.count("\n")) == (2, 1)
    assert "holds finished weights, but no last.pt" in err


def one_core():
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def begin(folder):
    """The command in a folder, with one core and so one thread."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "gsfnas", "train", TEXT, *SMALL, "train.epochs=4"],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder.parent / ".cache")},
        preexec_fn=one_core,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def logged(folder):
    """The lines of a run's log, without what the clock says."""
    path = folder / RUN / "log.csv"
    if not path.exists():
        return []
    with path.open() as file:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="one thread is asked for by leaving one core")
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGINT], ids=["kill -9", "Ctrl-C"])
def test_killed_and_resumed_it_ends_as_if_it_had_not_been(tmp_path, sent):
    assert begin(tmp_path / "whole").communicate() is not None
    for kill in (1, 2):
        process = begin(tmp_path / "killed")
        # A little after an epoch, in the middle of the next.
        while len(logged(tmp_path / "killed")) < kill:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(sent)
        _, err = process.communicate()
        assert process.returncode == (-9 if sent == signal.SIGKILL else 130)
        assert "Traceback" not in err
        assert ("stopped" in err) == (sent == signal.SIGINT)
    last = begin(tmp_path / "killed")
    last.communicate()
    assert last.returncode == 0
    weights, whole = (load_file(tmp_path / name / RUN / "weights.safetensors") for name in ("killed", "whole"))
    assert all(torch.equal(weights[name], whole[name]) for name in whole)
    assert logged(tmp_path / "killed") == logged(tmp_path / "whole")
    assert len(logged(tmp_path / "whole")) == 4


def test_ctrl_c_before_the_first_epoch_is_one_line(gsfnas, monkeypatch):
    from gsfnas.api import _train

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(_train, "open_and_say", interrupt)
    code, out, err = gsfnas("train", TEXT, *QUICK)
    assert (code, out, err) == (130, "", "stopped\n")


def test_two_processes_train_and_test(gsfnas):
    assert gsfnas("train", TEXT, *QUICK, "train.devices=2")[0] == 0
    alone = gsfnas("test", RUN)[1]
    together = gsfnas("test", RUN, "train.devices=2")[1]
    assert together == alone
    assert read_scores(RUN / "test-efficiency-1x1.npz").tasks["class"].scores.shape == (48, 24)


def test_a_run_by_one_process_at_a_time(gsfnas):
    from gsfnas.study import FileLock

    gsfnas("train", TEXT, *QUICK)
    lock = FileLock.take(RUN / "lock")
    lock.note("process 7 on here")
    code, _, err = gsfnas("train", TEXT, *QUICK)
    lock.release()
    assert (code, err) == (2, f"error: {RUN} is being trained by process 7 on here; wait for it, or give --out DIR\n")


@pytest.fixture(scope="module")
def ssv2(tmp_path_factory):
    """Twins as Something-Something V2: 8 frames of 24 px, of which clips are 4 at 16."""
    folder = tmp_path_factory.mktemp("sets") / "ssv2"
    sizes = {"train_clips": 72, "val_clips": 48, "test_clips": 48}
    export(DataSettings(frames=8, resolution=24, **sizes), folder, "something_v2")
    return folder


def test_the_papers_recipe_and_protocols_on_something_something(gsfnas, ssv2):
    data = ("data=something_v2", f"data.root={ssv2}", "data.val_share=0.3", "train.device=cpu")
    recipe = ("train=paper", "train.init=scratch", "train.epochs=2", "train.warmup_epochs=1")
    code, out, _ = gsfnas("train", TEXT, *recipe, "protocol=accuracy", *data)
    assert code == 0
    assert "something_v2 test, accuracy (2 x 3): 48 videos, 6 views each" in out
    first = read_scores(RUN / "test-accuracy-2x3.npz")
    code, out, _ = gsfnas("test", RUN, "protocol=accuracy", "--out", "again")
    assert code == 0
    assert np.array_equal(
        read_scores(Path("again", "test-accuracy-2x3.npz")).tasks["class"].scores, first.tasks["class"].scores
    )
    assert gsfnas("test", RUN)[0] == 0
    assert read_scores(RUN / "test-efficiency-1x1.npz").names == first.names
    code, _, err = gsfnas("test", RUN, "protocol.clips=10")
    assert (code, err.count("\n")) == (2, 1)
    assert "`protocol.clips` is 10, but the longest video has 8 frames" in err


def test_actions_are_scored_by_their_head_and_by_verb_and_noun(gsfnas):
    sizes = {"train_clips": 72, "val_clips": 48, "test_clips": 48}
    export(DataSettings(frames=8, resolution=24, **sizes), Path("epic"), "epic_kitchens_100")
    data = ("data=epic_kitchens_100", "data.root=epic", "data.val_share=0.3", "train.device=cpu")
    recipe = ("train=paper", "train.init=scratch", "train.epochs=1", "train.warmup_epochs=0")
    code, out, _ = gsfnas("train", TEXT, *recipe, *data)
    assert code == 0
    assert [line.split("  ")[0] for line in out.splitlines()[2:6]] == ["action", "verb", "noun", "action, verb x noun"]
    told = json.loads((RUN / "test-efficiency-1x1.json").read_text())
    scores = read_scores(RUN / "test-efficiency-1x1.npz")
    assert told["metrics"]["test_top1.verb x noun"] == scores.product().accuracy()
    assert set(scores.tasks) == {"action", "verb", "noun"}
    resolved = yaml.safe_load((RUN / "run.yaml").read_text())
    assert (resolved["data"]["policy"], resolved["data"]["augment"]) == ("autoaugment", "paper")


STUDY = (
    "study.trials=3",
    "study.replicates=1",
    "study.name=tiny",
    "workers=1",
    "train.epochs=1",
    "train.warmup_epochs=0",
    "train.warm_start=0",
    *SMALL,
)
TINY = (*STUDY, "data.far=0", "data.frames=4", "data.resolution=16", "backbone.width=0.25")


@pytest.mark.slow
def test_from_a_study_to_its_winner_under_another_protocol(gsfnas, ssv2):
    data = ("data=something_v2", f"data.root={ssv2}", "data.val_share=0.3")
    assert gsfnas("study", "run", "placement", *TINY, *data)[0] == 0
    journal = Path("runs", "tiny", "journal.log")
    before = journal.read_bytes()
    code, _, err = gsfnas("test", "tiny", "protocol=accuracy")
    assert (code, err.count("\n")) == (2, 1)
    assert "`protocol.crops` is 3, but the frames are 16 x 16 px" in err
    roomy = ("protocol=accuracy", "data.short_side=20")
    code, out, _ = gsfnas("test", "tiny", *roomy)
    assert code == 0
    assert len(list(Path("runs", "tiny", "scores").glob("*/test-accuracy-2x3.npz"))) >= 2
    assert "nothing was tested again" in gsfnas("test", "tiny", *roomy)[2]
    for other, said in (("data=twins", "data.name: something_v2 -> twins"), ("data.seed=1", "data.seed: 0 -> 1")):
        code, _, err = gsfnas("test", "tiny", other)
        assert (code, err.count("\n")) == (2, 1)
        assert said in err
    assert journal.read_bytes().startswith(before)
    tested = sum(line.startswith("c1-") for line in out.splitlines())
    assert tested >= 2
    assert gsfnas("report", "build", "tiny")[0] == 0
    page = Path("reports", "tiny", "report.md").read_text()
    assert page.count("| accuracy | 2 × 3 | test (48) |") == tested
    code, out, _ = gsfnas("study", "best", "tiny", "--train", "train.epochs=2", "--train", "train.lr=0.05")
    assert code == 0
    run = Path(out.splitlines()[0])
    told = yaml.safe_load((run / "run.yaml").read_text())
    assert (told["train"]["epochs"], told["train"]["lr"], told["data"]["root"]) == (2, 0.05, str(ssv2))
    key = told["candidate"]
    assert gsfnas("train", Candidate.from_dict(key).key[:12], *data, "train.epochs=1", "--out", "a")[0] == 0
    assert gsfnas("train", "reports/tiny:1", *data, "train.epochs=1", "--out", "b")[0] == 0
    assert [path.name for path in Path("a").iterdir()] == [path.name for path in Path("b").iterdir()]


def test_published_weights_are_imported_and_tested(gsfnas, tmp_path):
    candidate = Candidate.from_dict({**CANDIDATE, "backbone": {"name": "resnet18"}, "insertions": {}})
    model = build_model(candidate, {"class": 24})
    state = {f"module.base_model.{name.removeprefix('backbone.')}": value for name, value in model.state_dict().items()}
    state = {name.replace("base_model.heads.class", "new_fc"): value for name, value in state.items()}
    torch.save({"epoch": 3, "model_state_dict": state}, tmp_path / "published.pth.tar")
    code, out, _ = gsfnas("weights", "import", "published.pth.tar", "--frames", 4, "--resolution", 16)
    assert code == 0
    assert "0 modules in resnet18, a head of 24 classes" in out
    assert "0 missing, 0 left over" in out
    code, _, err = gsfnas("test", "published.safetensors", *SMALL)
    assert (code, err.count("\n")) == (2, 1)
    assert "name a data set, such as data=something_v2" in err
    code, _, err = gsfnas("weights", "import", "published.pth.tar", "--frames", 4, "--resolution", 16)
    assert (code, err) == (2, "error: published.safetensors is there already; remove it, or name another file with --out\n")
    code, out, _ = gsfnas("test", "published.safetensors", "data=twins", *SMALL)
    assert code == 0
    assert Path("published-test-efficiency-1x1.npz").exists()
    assert "twins test, efficiency (1 x 1): 48 videos" in out
    started = ("train", candidate.to_json(), *QUICK, "train.init=published.safetensors", "--out", "tuned")
    code, _, err = gsfnas(*started)
    assert code == 0
    assert "tensors matched" in err
    assert "62 tensors" in err or "122 tensors" in err


def test_files_that_cannot_be_used_are_one_line(gsfnas, tmp_path):
    model = build_model(Candidate.from_dict(CANDIDATE), {"class": 24})
    torch.save(model.state_dict(), tmp_path / "micro.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "pickled.pth")
    (tmp_path / "half.pth").write_bytes((tmp_path / "micro.pth").read_bytes()[:900])
    (tmp_path / "text.pth").write_text("weights")
    resnet = json.dumps({**CANDIDATE, "backbone": {"name": "resnet18"}, "insertions": {}})
    for arguments, said in (
        (("weights", "import", "micro.pth"), "name the network with --backbone or --candidate"),
        (("weights", "import", "micro.pth", "--backbone", "resnet18"), "does not hold the weights of resnet18"),
        (("weights", "import", "half.pth"), "or it is truncated"),
        (("weights", "import", "text.pth"), "was not written by torch.save"),
        (("weights", "import", "pickled.pth"), "it is refused, since loading it would run code"),
        (("weights", "import", "nowhere.pth"), "there is no weights file 'nowhere.pth'"),
        (("train", resnet, *QUICK, "train.init=micro.pth"), "does not hold the weights of resnet18"),
        (("train", TEXT, *QUICK, "train.init=nowhere.pth"), "there is no weights file 'nowhere.pth'"),
        (("train", TEXT, *QUICK, "train.init=imagenet"), "there are no ImageNet weights for backbone micro(width=0.25)"),
        (("train", TEXT, *QUICK, "train=paper"), "`warmup_epochs` must be at least 0 and below `epochs` (2), but got 10.0"),
        (("train", TEXT, *QUICK, "train.batch_size=100"), "`batch_size` must be at most the 72 clips"),
        (("train", TEXT, *QUICK, "data.frames=8"), "the candidate reads 4 frames at 16 px, but the data give 8 frames"),
        (("train", "c1-0000", *QUICK), "no study in 'runs' has a candidate 'c1-0000'"),
        (("train", "reports/none:1", *QUICK), "'reports/none' is no report"),
        (("train", "nothing.json", *QUICK), "there is no file 'nothing.json'"),
        (("test", "nowhere"), "there is no run and no weights file 'nowhere'"),
        (("test", "micro.pth"), "import it first: gsfnas weights import"),
    ):
        code, out, err = gsfnas(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), (arguments, out, err)
        assert said in err
        assert not Path("runs").exists() or not list(Path("runs", "trained").glob("*"))


@pytest.mark.parametrize("command", [("train", TEXT, *QUICK), ("study", "run", "placement", *SMALL, "study.name=x")])
def test_views_that_there_are_not_are_found_out_before_training(gsfnas, command):
    code, out, err = gsfnas(*command, "protocol=accuracy")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "`protocol.clips` is 2, but a clip of twins" in err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("train.batch_size=100", "must be at most the 72 clips"),
        ("train.init=imagenet", "there are no ImageNet weights for backbone micro"),
        ("train.precision=16-mixed", "needs a CUDA device"),
    ],
)
def test_a_study_that_is_refused_has_not_taken_its_name(gsfnas, setting, said):
    code, out, err = gsfnas("study", "run", "placement", *SMALL, setting)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not Path("runs").exists()


def test_a_run_that_has_not_ended_is_not_tested(gsfnas):
    gsfnas("train", TEXT, *QUICK)
    (RUN / "weights.safetensors").unlink()
    for command in (("test", RUN), ("train", TEXT, *QUICK)):
        code, _, err = gsfnas(*command)
        assert code == 2
        assert "if the run has not finished" in err.splitlines()[-1]
        assert "if the file was removed, train again with another --out" in err.splitlines()[-1]


def test_a_damaged_checkpoint_is_told(gsfnas):
    gsfnas("train", TEXT, *QUICK)
    (RUN / "weights.safetensors").unlink()
    (RUN / "last.pt").write_bytes(b"half")
    code, _, err = gsfnas("train", TEXT, *QUICK)
    assert code == 0
    assert f"{RUN / 'last.pt'} is damaged and passed over; the run goes on at the beginning" in err
    assert "epoch 1/2" in err


def test_a_loss_that_explodes_is_one_line(gsfnas):
    code, _, err = gsfnas("train", TEXT, *QUICK, "train.lr=1e30", "train.clip_gradient=0", "train.warmup_epochs=0")
    assert code == 2
    assert err.splitlines()[-1].startswith("error: training cannot go on: the training loss is")
