"""What a user can do wrong: one line that names it, exit code 2, no traceback."""

import json
import shlex

import pytest

CANDIDATE = '{{"backbone":{{"name":"{0}"}},"frames":8,"resolution":{1},"insertions":{{{2}}}}}'


def candidate(insertions="", backbone="micro", resolution=32):
    return shlex.quote(CANDIDATE.format(backbone, resolution, insertions))


RUN = "study run placement"

# A command line -> what its line must say.
MISTAKES = {
    # names
    "studdy list": "Did you mean 'study'?",
    "study runn placement": "Did you mean 'run'?",
    f"{RUN} --dryrun": "No such option: --dryrun",
    "study run": "Missing argument",
    "study run placment": "unknown study 'placment'; did you mean 'placement'?",
    "study run nowhere.yaml": "unknown study 'nowhere.yaml'",
    "study show placment": "did you mean 'placement'?",
    "space size placment": "unknown space 'placment'; did you mean 'placement'?",
    "space show placment": "unknown space 'placment'; did you mean 'placement'?",
    f"{RUN} space=placment": "unknown space 'placment'; did you mean 'placement'?",
    f"{RUN} backbone=resnet5O": "resnet5O",
    f"{RUN} backbone=no_such_pkg:factory": "cannot import 'no_such_pkg'",
    f"{RUN} backbone.widht=2": "unknown option of backbone micro14 'widht'",
    f"{RUN} backbone.width=0": "width",
    "space size placement --backbone nothing": "unknown backbone 'nothing'",
    f"{RUN} data=twinz": "unknown data set 'twinz'; did you mean 'twins'?",
    f"{RUN} trian.epochs=3": "unknown override 'trian.epochs'; did you mean 'train.epochs'?",
    f"{RUN} epochs": "is written key=value",
    f"{RUN} study.sampler=nsga3": "unknown sampler 'nsga3'; did you mean 'nsga2'?",
    f"{RUN} space.sites.role=conv9": "asks for sites conv9, but the backbone has none",
    f"{RUN} --config-root nowhere": "holds neither",
    "study status placement": "unknown study 'placement'",
    "study best placement": "unknown study 'placement'",
    "report build placement": "unknown study 'placement'",
    "table 13": "the paper has tables 1 to 12, but got 13",
    "table five": "a table is a number from 1 to 12, or all, but got 'five'",
    "table 5 --row TSMM": "unknown row of table 5 'TSMM'; did you mean 'TSM'?",
    "table all --row GSF": "--row and --study go with one table",
    "table 12 --no-latency --study table4": "table 12 has no study of its own",
    "table 5 --study table5": "unknown study 'table5'",
    "table 5 --format docx": "docx",
    "cost --convention fvcor": "unknown convention 'fvcor'; did you mean 'fvcore'?",
    "cost --space placement --crops 0 --convention all": "Invalid value for '--crops'",
    # values
    f"{RUN} study.trials=0": "`study.trials` must be an integer of at least 2, but got 0",
    f"{RUN} study.trials=many": "`study.trials` must be an integer, but got 'many'",
    f"{RUN} workers=0": "`executor.workers` must be an integer from 1 to 1,024, but got 0",
    f"{RUN} study.hours=0": "`study.hours` must be above 0, but got 0.0",
    f"{RUN} study.name=a/b": "`study.name` must be letters",
    f"{RUN} train.epochs=0": "`epochs` must be an integer of at least 1, but got 0",
    f"{RUN} train.device=tpu": "but got 'tpu'",
    f"{RUN} data.val_clips=49": "must be even",
    f"{RUN} space.insertions.0.ratio=1.25": "`ratio` must be in (0, 1], but got 1.25",
    f"{RUN} space.insertions.0.ratio=0": "`ratio` must be in (0, 1], but got 0",
    f"{RUN} 'space.insertions=[{{module: gsff}}]'": "unknown module 'gsff'; did you mean 'gsf'?",
    "space size placement --bound params": "a bound is METRIC, one of <= >= < >, and a number, such as params<=2e5",
    "space size placement --bound 'parms<=3'": "unknown metric 'parms'; did you mean 'params'?",
    "space size placement --bound 'val_top1>=0.5'": "a metric that is known before training",
    "space sample placement --bound 'params<=1000' --classes 24": "the nearest that is possible is params=199688",
    f"{RUN} 'study.bounds=[params]'": "a bound is METRIC",
    f"{RUN} 'study.bounds=[latency_median_ms<=3]'": "but latency_median_ms is measured",
    f"{RUN} study.bounds=3": "bounds are a list such as [params<=2e5,macs_fvcore<=2e7], but got 3",
    f"{RUN} 'study.bounds=[params<=1000]'": "the nearest that is possible is params=",
    f"{RUN} 'study.bounds=[params<=2e5,params>=2.01e5]'": "within params<=200000 has params>=201000; the nearest",
    "space sample placement -n 0": "Invalid value for '-n'",
    # files
    f"{RUN} data=folder": "needs `data.root`",
    f"{RUN} data=folder data.root=nowhere": "nowhere",
    f"{RUN} data=folder data.root=empty": "empty",
    f"{RUN} data=folder data.root=broken": "broken",
    f"{RUN} study.runs=file": "file",
    f"{RUN} --reports file": "file",
    "study status foreign": "foreign",
    "data export twins --out full": "is not empty",
    "data export folder data.root=empty": "only twins can be exported",
    "data export twins --format avi": "'avi' is not one of",
    "data preview twins --split middle": "middle",
    "data preview twins --out file/sheet.png": "file/sheet.png",
    # candidates
    "cost": "give one of a candidate, --space and --study",
    "cost - --space placement": "give one of a candidate, --space and --study",
    "cost nowhere.json": "there is no file 'nowhere.json'",
    "cost '{\"backbone\"'": "a candidate must be JSON",
    "cost '{}'": "this one lacks ['backbone', 'frames', 'resolution']",
    "cost --space placement --classes 0": "Invalid value for '--classes'",
    "cost --space placement --backbone resnet18 --width 2": "unknown option of backbone resnet18 'width'",
    "cost " + candidate('"layer9.conv1":{"module":"gate_shift_fuse","channels":4}'): "unknown site of micro 'layer9.conv1'",
    "cost " + candidate('"layer1.0.conv1":{"module":"gate_shift_fuse","channels":3}'): "must be a multiple of 4",
    "cost " + candidate('"layer1.0.conv1":{"module":"gsm2","channels":4}'): "unknown module 'gsm2'",
    "cost " + candidate(backbone="nothing"): "unknown backbone 'nothing'",
    "cost " + candidate(resolution=0): "`resolution` must be at least 1, but got 0",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(command, gsfnas, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for folder in ("full", "runs/foreign", "broken/train/a", "broken/val/a", "broken/test/a"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "runs" / "foreign" / "journal.log").write_text("not a journal\n")
    for split in ("train", "val", "test"):
        (tmp_path / "broken" / split / "a" / "clip.mp4").write_text("not a video")
    small = ["data.train_clips=48", "data.test_clips=48"] if command.startswith(RUN) else []
    small += ["data.val_clips=48"] if small and "val_clips" not in command else []
    code, out, err = gsfnas(*shlex.split(command), *small)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert MISTAKES[command] in err
    assert not (tmp_path / "reports").exists()


def test_debug_shows_the_traceback_wherever_it_stands(gsfnas):
    for arguments in (
        ("--debug", "study", "run", "nope"),
        ("study", "run", "nope", "--debug"),
        ("study", "run", "--debug", "nope"),
    ):
        code, _, err = gsfnas(*arguments)
        assert code == 2
        assert "Traceback" in err
        assert err.rstrip().splitlines()[-1].startswith("error: unknown study 'nope'")


def test_a_fault_of_the_program_says_how_to_see_it(gsfnas, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such luck\nat all")

    monkeypatch.setattr("gsfnas.config.compose_study", fail)
    code, _, err = gsfnas("study", "show", "placement")
    assert (code, err.count("\n")) == (1, 1)
    assert "RuntimeError: no such luck at all" in err
    assert "--debug" in err


def test_ctrl_c_is_one_line_and_130(gsfnas, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("gsfnas.config.compose_study", stop)
    assert gsfnas("study", "show", "placement") == (130, "", "stopped\n")


def test_a_noun_alone_shows_its_help(gsfnas):
    code, out, err = gsfnas("study")
    assert code == 2
    assert "status" in out + err


def test_errors_of_candidates_from_a_file_are_the_same(gsfnas, tmp_path):
    (tmp_path / "candidate.json").write_text(json.dumps({"backbone": {"name": "micro"}, "frames": 8}))
    code, _, err = gsfnas("cost", "candidate.json")
    assert code == 2
    assert "lacks ['resolution']" in err
