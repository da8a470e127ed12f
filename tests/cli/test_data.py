"""``gsfnas data`` and studies on real files, in the layouts of public data sets."""

import csv
import json

import pytest

CLIPS = ("data.train_clips=48", "data.val_clips=48", "data.test_clips=48", "data.resolution=16")
STUDY = (
    *("data.resolution=16", "data.val_share=0.5", "backbone.width=0.25", "train.epochs=1", "train.warmup_epochs=0"),
    *("study.trials=2", "study.replicates=1", "study.name=tiny", "workers=1"),
)


@pytest.mark.parametrize(("layout", "tasks"), [("something_v2", ["class"]), ("epic_kitchens_100", ["action", "verb", "noun"])])
def test_a_study_runs_on_an_export_and_says_what_it_left_out(gsfnas, tmp_path, layout, tasks):
    assert gsfnas("data", "export", "twins", "--as", layout, "--out", "set", *CLIPS)[0] == 0
    code, out, err = gsfnas("data", "check", layout, "data.root=set", "data.resolution=16")
    assert (code, err) == (0, "")
    # Half of train is validation by STUDY; here it is the default share of each class.
    assert out.splitlines()[-2:] == ["72 train, 24 val, 48 test; nothing is wrong", f"{layout}-check.csv"]
    if layout == "something_v2":
        (tmp_path / "set/20bn-something-something-v2/3.webm").write_bytes(b"")
        code, out, err = gsfnas("data", "check", layout, "data.root=set", "--out", "broken.csv")
        assert code == 0
        assert "1 unreadable" in out
        assert [row["id"] for row in csv.DictReader((tmp_path / "broken.csv").read_text().splitlines())] == ["3"]
    code, out, err = gsfnas("study", "run", "placement", f"data={layout}", "data.root=set", *STUDY)
    assert code == 0
    assert ("1 clip is left out: " in err) == (layout == "something_v2")
    page = (tmp_path / "reports/tiny/report.md").read_text()
    assert ("1 clip of the data set could not be used and is left out." in page) == (layout == "something_v2")
    trials = list(csv.DictReader((tmp_path / "reports/tiny/trials.csv").read_text().splitlines()))
    assert {trial["outcome"] for trial in trials} == {"complete"}
    if len(tasks) > 1:
        assert all(f"val_top1.{task}" in trials[0] for task in tasks)
    environment = json.loads((tmp_path / "reports/tiny/env.json").read_text())
    assert ("files_left_out" in json.dumps(environment)) == (layout == "something_v2")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("check", "something_v2", "data.root=nowhere"), "`data.root` must be a folder, but"),
        (("check", "something_v2"), "data set 'something_v2' needs `data.root`"),
        (("check", "twins"), "twins is rendered, so there is nothing to check"),
        (("check", "something_v3", "data.root=x"), "did you mean 'something_v"),
        (("export", "twins", "--as", "kinetics400", "--format", "webm", *CLIPS), "`format` must be 'mp4' for kinetics400"),
    ],
)
def test_what_is_wrong_is_one_line(gsfnas, words, says):
    code, _, err = gsfnas("data", *words)
    assert code == 2
    assert says in err
    assert err.count("\n") == 1
