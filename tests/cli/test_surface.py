"""The commands and their options, frozen: what a script was written for stays."""

import typer

from gsfnas.cli._main import app

SURFACE = {
    "": "--debug --trust --version",
    "cost": "--backbone --classes --clips --config-root --convention --crops --device --format --frames --measure --precision "
    "--resolution --space --study --width candidate",
    "data": "",
    "data check": "--config-root --out name overrides",
    "data export": "--as --config-root --format --out name overrides",
    "data preview": "--config-root --out --split name overrides",
    "report": "",
    "report build": "--reports --runs --storage name",
    "space": "",
    "space list": "--config-root",
    "space sample": "--backbone --bound --classes --config-root --count --device --frames --resolution --seed --width -n name",
    "space show": "--config-root name",
    "space size": "--backbone --bound --classes --config-root --device --frames --resolution --width name",
    "study": "",
    "study best": "--format --out --runs --seed --storage --train name",
    "study list": "--config-root --runs --storage",
    "study run": "--config-root --dry-run --reports name overrides",
    "study show": "--config-root name overrides",
    "study status": "--runs --storage name",
    "test": "--config-root --out --runs --split overrides what",
    "train": "--config-root --out --runs --seed candidate overrides",
    "weights": "",
    "weights import": "--all --backbone --candidate --frames --out --resolution --runs --task --width file",
    "table": "--config-root --format --latency --out --row --runs --study number",
}


def test_commands_and_options_are_as_they_were():
    assert dict(_walk(typer.main.get_command(app), "")) == SURFACE


def test_every_command_says_what_it_does(gsfnas):
    for path in SURFACE:
        code, out, _ = gsfnas(*path.split(), "--help")
        assert code == 0
        assert "Usage: gsfnas" in out


def _walk(command, path):
    names = {name for parameter in command.params for name in parameter.opts}
    yield path, " ".join(sorted(names))
    for name, sub in getattr(command, "commands", {}).items():
        yield from _walk(sub, f"{path} {name}".strip())
