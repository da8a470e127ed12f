"""Configuration of strangers: it names no code, leads nowhere but into the config roots, and is refused at once where it is
no configuration.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gsfnas.config import compose_data, compose_run, compose_study, find_roots, load_space
from gsfnas.errors import UserError

SPACE = "  - /spaces@space: placement\n"


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The working directory as a config root, with a file beside it that nobody may read."""
    folder = tmp_path / "root"
    (folder / "studies").mkdir(parents=True)
    (tmp_path / "outside.yaml").write_text("name: outside\nepochs: 77\n")
    monkeypatch.chdir(folder)
    return folder


def write(root, text, name="studies/mine"):
    path = root / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def refused(what, *arguments):
    """The line of a refusal, which comes at once."""
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        what(*arguments)
    assert time.process_time() - began < 5
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) < 1000
    return said


def study(defaults, rest=""):
    return f"# @package _global_\ndefaults:\n{defaults}  - _self_\n{rest}"


@pytest.mark.parametrize(
    ("defaults", "said"),
    [
        ("5", "must be a list, but got 5"),
        ("text", "must be a list, but got 'text'"),
        ("{a: b}", "must be a list, but got {'a': 'b'}"),
        ("[null]", "is a file or `GROUP: OPTION`, but got None"),
        ("[[a]]", "is a file or `GROUP: OPTION`, but got ['a']"),
        ("[5]", "is a file or `GROUP: OPTION`, but got 5"),
        ("[{}]", "is a file or `GROUP: OPTION`, but got {}"),
        ("[{a: {b: c}}]", "is a file or `GROUP: OPTION`, but got {'a': {'b': 'c'}}"),
        ("[{a: b, c: d}]", "is a file or `GROUP: OPTION`"),
        ("[{1: a}]", "is a file or `GROUP: OPTION`, but got {1: 'a'}"),
        ("[{/data: 5}]", "is a file or `GROUP: OPTION`, but got {'/data': 5}"),
        ("[{/data: [twins, 5]}]", "is a file or `GROUP: OPTION`"),
        ("[{/data: [twins, [a]]}]", "is a file or `GROUP: OPTION`"),
        ("[/studies/mine]", "the defaults go round in a ring: studies/mine -> studies/mine"),
        ("[/studies/other]", "the defaults go round in a ring: studies/other -> studies/mine -> studies/other"),
        ("[/studies/wide0]", "lead to more than 200 files"),
        ("[{/train: '${data}'}]", "name 'train/${data}', but know ${GROUP} alone"),
        ("[{/train: '${oc.env:HOME}'}]", "but know ${GROUP} alone"),
        ("['/studies/${nope}']", "but know ${GROUP} alone"),
        ("[/studies/nowhere]", "cannot be composed: "),
        ("[" + "x" * 5000 + "]", "cannot be composed: "),
        ("[{/data: '???'}]", "cannot be composed: "),
    ],
)
def test_defaults_that_are_none_are_one_line(root, defaults, said):
    write(root, f"defaults: {defaults}\n")
    write(root, "defaults: [/studies/mine]\n", "studies/other")
    for level in range(30):
        write(root, f"defaults: [/studies/wide{level + 1}, /studies/wide{level + 1}]\n", f"studies/wide{level}")
    write(root, "{}\n", "studies/wide30")
    assert said in refused(compose_study, "mine")


def test_a_ring_of_recipes_is_one_line(root):
    write(root, "defaults: [second, _self_]\nepochs: 1\n", "train/first")
    write(root, "defaults: [first, _self_]\nepochs: 1\n", "train/second")
    assert "train/first -> train/second -> train/first" in refused(compose_run, ["train=first"])
    assert "train/first -> train/second -> train/first" in refused(compose_study, "placement", ["train=first"])


def test_an_option_may_still_follow_the_choice_of_another_group(root):
    write(root, study(SPACE + "  - /data: twins\n  - /train: long_${data}\n"))
    write(root, "epochs: 77\n", "train/long_twins")
    assert compose_study("mine").train.epochs == 77


@pytest.mark.parametrize(
    "entry",
    [
        "../../outside",
        "/../outside",
        "/studies/../../outside",
        "/{outside}",
        "//etc/hostname",
        "pkg://os",
        "pkg://gsfnas.config",
        "file:///etc/hostname",
        "structured://x",
        {"/train": "../../outside"},
        {"/train": "{outside}"},
        {"/train": ["../../outside"]},
        {"/../train": "quick"},
        {"optional /train": "../../outside"},
        {"/spaces@space": "../../outside"},
    ],
)
def test_defaults_do_not_lead_out_of_the_config_roots(root, entry):
    (root / "train").mkdir()
    write(root, study(f"{SPACE}  - {entry!r}\n".replace("{outside}", str(root.parent / "outside"))))
    assert "leads out of the config roots" in refused(compose_study, "mine")


@pytest.mark.parametrize(
    "text",
    [
        study(SPACE, "hydra:\n  searchpath: [pkg://evil]\n"),
        study(SPACE, "hydra:\n  searchpath: [file:///tmp]\n"),
        study(SPACE, "hydra: null\n"),
        study(SPACE, "hydra: {job: {env_copy: [HOME]}}\n"),
        study(SPACE + "  - override hydra/launcher: evil\n"),
        study(SPACE + "  - /hydra/launcher: basic\n"),
        study(SPACE + "  - /hydra/config\n"),
        study(SPACE + "  - /data@hydra: twins\n"),
        study(SPACE + "  - /data@_global_.hydra.job: twins\n"),
        study(SPACE + "  - /train: evil\n"),
        study(SPACE + "  - /protocol: evil\n"),
    ],
)
def test_hydras_own_settings_are_not_a_studys(root, text):
    """They name plugins and search paths, which Hydra would import."""
    write(root, text)
    write(root, "# @package hydra\nsearchpath: [pkg://evil]\n", "train/evil")
    write(root, "# @package _global_\nhydra: {searchpath: [pkg://evil]}\n", "protocol/evil")
    (root / "evil").mkdir()
    (root / "evil" / "__init__.py").write_text("open('imported', 'w').close()\n")
    assert "Hydra's own settings are not a study's" in refused(compose_study, "mine")
    assert not (root / "imported").exists()


def test_a_config_root_does_not_replace_hydras_own_files(root):
    write(root, "job: {name: '${oc.env:HOME}'}\nevil: 1\n", "hydra/config")
    write(root, "_target_: os.system\n", "hydra/launcher/basic")
    assert compose_study("placement").study.name == "placement"


@pytest.mark.parametrize("key", ["_target_", "_partial_", "_args_", "_convert_", "_recursive_"])
@pytest.mark.parametrize("section", ["study", "space", "data", "train", "protocol"])
def test_what_hydra_would_call_is_an_unknown_setting(root, section, key):
    write(root, study(SPACE, f"{section}:\n  {key}: os.system\n"))
    assert key in refused(compose_study, "mine")


def test_an_option_of_a_backbone_is_only_a_value(root):
    write(root, study(SPACE, "backbone:\n  _target_: os.system\n  width: {_target_: os.getcwd}\n"))
    assert compose_study("mine").backbone_options == {"_target_": "os.system", "width": {"_target_": "os.getcwd"}}


@pytest.mark.parametrize("override", ["hydra.searchpath=[pkg://evil]", "+hydra.searchpath=[pkg://evil]", "hydra/launcher=evil"])
def test_overrides_do_not_reach_hydra(root, override):
    assert "unknown override 'hydra" in refused(compose_study, "placement", [override])
    assert "unknown override 'hydra" in refused(compose_run, [override])
    assert "unknown override 'hydra" in refused(compose_data, "twins", [override])


def test_links_out_of_the_roots_are_not_followed(root):
    outside = root.parent / "outside.yaml"
    for group in ("studies", "spaces", "train", "data"):
        (root / group).mkdir(exist_ok=True)
        (root / group / "link.yaml").symlink_to(outside)
    (root / "studies" / "loop.yaml").symlink_to("loop.yaml")
    (root / "studies" / "nowhere.yaml").symlink_to("missing")
    for call in (
        lambda: compose_study("link"),
        lambda: load_space("link"),
        lambda: compose_run(["train=link"]),
        lambda: compose_data("link"),
        lambda: compose_study("placement", ["space=link"]),
    ):
        assert f"it is a link to {outside}, which is in no config root" in refused(call)
    assert "link" in find_roots().files("studies")
    for name in ("loop", "nowhere"):
        assert "cannot read" in refused(compose_study, name)
    # A link from one root into another is no way out.
    write(root, study(SPACE))
    (root / "studies" / "same.yaml").symlink_to("mine.yaml")
    assert compose_study("same").study.name == "same"


def test_a_config_root_may_itself_be_a_link(root, tmp_path, monkeypatch):
    write(root, study(SPACE, "study: {trials: 5}\n"))
    (tmp_path / "link").symlink_to(root)
    monkeypatch.chdir(tmp_path)
    assert compose_study("mine", config_root=Path("link")).study.trials == 5


def hostile(folder):
    """Files that are no configuration, by name, and what is said of each."""
    folder.mkdir(parents=True, exist_ok=True)
    os.mkfifo(folder / "pipe.yaml")
    (folder / "folder.yaml").mkdir()
    (folder / "binary.yaml").write_bytes(b"# Q?\n\xff\xfe\x00")
    (folder / "huge.yaml").touch()
    os.truncate(folder / "huge.yaml", 2**32)
    (folder / "null.yaml").symlink_to("/dev/zero")
    (folder / "laughs.yaml").write_text(
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    )
    (folder / "tagged.yaml").write_text("study: !!python/object/apply:os.system [touch executed]\n")
    (folder / "twice.yaml").write_text("study: {}\nstudy: {}\n")
    (folder / "itself.yaml").write_text("study: &a {x: *a}\n")
    (folder / "deep.yaml").write_text("study: " + "[" * 10_000)
    return {
        "pipe": "it is a pipe or a device",
        "folder": "it is a folder",
        "binary": "it is not UTF-8 text",
        "huge": "it has 4,096 MiB",
        "null": "it is a link to /dev/zero",
        "laughs": "aliases and long interpolations expand to too much",
        "tagged": "none of plain values",
        "twice": "'study' is there twice",
        "itself": "&a holds itself",
        "deep": "it is nested deeper than 20 levels",
    }


@pytest.mark.parametrize("group", ["studies", "spaces", "data", "train", "backbone", "protocol"])
def test_files_that_are_none_are_refused_at_once(root, group):
    calls = {
        "studies": lambda name: compose_study(name),
        "spaces": lambda name: load_space(name),
        "data": lambda name: compose_data(name),
        "train": lambda name: compose_run([f"train={name}"]),
        "backbone": lambda name: compose_study("placement", [f"backbone={name}"]),
        "protocol": lambda name: compose_run([f"protocol={name}"]),
    }
    for name, said in hostile(root / group).items():
        assert said in refused(calls[group], name)
    if group == "studies":
        for name, said in hostile(root / "elsewhere").items():
            if name != "null":
                assert said in refused(compose_study, f"elsewhere/{name}.yaml")
    assert not (root / "executed").exists()


@pytest.mark.parametrize("group", ["studies", "spaces"])
def test_a_list_names_such_files_and_still_lists_the_rest(root, group):
    said = hostile(root / group)
    found = find_roots().headlines(group)
    assert found["placement"].endswith("?")
    assert {name for name in said if said[name] in found[name]} == said.keys()


def test_bombs_do_not_fill_the_memory(root):
    """Within 1 GB, of which importing takes a part."""
    hostile(root / "studies")
    code = (
        "import resource\nfrom gsfnas.config import compose_study\nresource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "for name in ('laughs', 'huge', 'deep', 'itself'):\n"
        "    try:\n        compose_study(name)\n    except ValueError as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.count("\n") == 4


def test_a_yml_is_the_file_that_was_named(root):
    """Not the one beside it whose name ends in yaml."""
    write(root, study(SPACE, "study: {trials: 5}\n"), "elsewhere/a")
    (root / "elsewhere" / "a.yml").write_text(study(SPACE, "study: {trials: 6}\n"))
    assert (compose_study("elsewhere/a.yml").study.trials, compose_study("elsewhere/a.yaml").study.trials) == (6, 5)


@pytest.mark.parametrize("name", ["_self_", "${x}", "a b", "hydra", "a@b", "ü", "-"])
def test_a_study_file_may_have_any_name(root, name):
    write(root, study(SPACE, "study: {name: x, trials: 5}\n"), f"elsewhere/{name}")
    assert compose_study(f"elsewhere/{name}.yaml").study.trials == 5


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("space: {sites: {role: 3}}", "`role` of a space's sites must be a name or a list of names, but got 3"),
        ("space: {sites: {pattern: 1}}", "`pattern` of a space's sites must be a name or a list of names, but got 1"),
        ("backbone: {name: [a]}", "`backbone.name` must be a string, but got ['a']"),
        ("study: {trials: 1" + "0" * 30 + "}", "`study.trials` must be an integer of at most 100,000"),
        ("train: {epochs: 1" + "0" * 20 + "}", "`epochs` must be an integer of at most 100,000"),
        ("train: {lr: 1" + "0" * 400 + "}", "`train.lr` must be a number, but got 1000"),
        ("train: {init: 'a\\0b'}", None),
        ('study: {runs: "a\\0b"}', "`study.runs` must not hold the character NUL, but got 'a\\x00b'"),
        ("study: 3", "`study` in"),
        ("study: [a]", "`study` in"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(root, section, said):
    write(root, study(SPACE, f"{section}\n"))
    if said is None:
        assert compose_study("mine").train.init == "a\\0b"
    else:
        assert said in refused(compose_study, "mine")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("space.insertions.0.module=" + "[" * 3000 + "]" * 3000, "is nested deeper than 20 levels"),
        ("space.insertions.0.module=" + "[" * 9000, "at most 8,000 characters"),
        ("space.insertions.0.ratio=" + "9" * 5000, "cannot be read: Exceeds the limit"),
        ("space.sites.role=3", "`role` of a space's sites must be a name or a list of names, but got 3"),
        ("space.insertions.7.ratio=1", "cannot be composed"),
        ("space.insertions.x=1", "cannot be composed"),
        ("space.insertions=[{module: [gsf, [tsm]]}]", "`module` of an insertion must be one value or a list of values"),
        ("space.insertions=[{1: 2, module: gsf}]", "a parameter of an insertion must have a name, but got 1"),
        ("space.optional=perhaps", "`optional` of space 'placement' must be true or false"),
        ("space.a\0b=1", "cannot be read"),
        ("space.\x1b[31m=1", "cannot be read"),
        ("backbone.x=" + "{a:" * 25 + "1" + "}" * 25, "is nested deeper than 20 levels"),
        ("backbone.x='", "cannot be read"),
        ("backbone.x=range(1,5)", "gives several"),
        ("backbone.x=${nope:1}", "Unsupported interpolation type nope"),
        ("\ud800=1", "unknown override"),
        ("a" * 7000 + "=1", "unknown override"),
        ("x" * 10_000, "is written key=value"),
        ("data=../../outside", "unknown data set"),
        ("train=/etc/passwd", "unknown recipe"),
        ("study.trials=" + "1" + "0" * 30, "`study.trials` must be an integer of at most 100,000"),
        ("train.epochs=100000000000000000000", "`epochs` must be an integer of at most 100,000"),
        ("study.seed=" + "9" * 5000, "`study.seed` must be an integer, but got '999"),
    ],
)
def test_an_override_is_one_line_whatever_it_says(root, override, said):
    assert said in refused(compose_study, "placement", [override])
