"""YAML of anyone: plain values pass, what would fill memory or name code is refused before it is built."""

import os
import time

import pytest
import yaml

from gsfnas import plain_yaml
from gsfnas.errors import UserError

# Ten levels of ten aliases each: ten billion values in 500 characters.
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
# The same by merging, which copies while the text is read.
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 30)}]}}\n"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", None),
        ("a: 1\nb: [x, 2.5, null, true]\n", {"a": 1, "b": ["x", 2.5, None, True]}),
        ("a: &a {x: 1}\nb: *a\nc: {<<: *a, y: 2}\n", {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}),
        ("a: !!str 1\nb: !!int '2'\n", {"a": "1", "b": 2}),
        ("1: a\n'b': c\n", {1: "a", "b": "c"}),
        ("[" * 20 + "]" * 20, eval("[" * 20 + "]" * 20)),
    ],
)
def test_plain_values_are_read(text, values):
    assert plain_yaml.load(text, "f") == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "f cannot be read: aliases and long interpolations expand to too much on line 5"),
        (MERGED, "f cannot be read: aliases and long interpolations expand to too much on line 4"),
        ("a: &a " + "x" * 60_000 + "\nb: [" + "*a, " * 10 + "]\n", "aliases and long interpolations expand to too much"),
        ("a: &a [*a]\n", "f cannot be read: &a holds itself on line 1"),
        ("a: &a {b: {c: *a}}\n", "f cannot be read: &a holds itself on line 1"),
        ("a: *b\n", "f cannot be read: *b names nothing on line 1"),
        ("[" * 21 + "]" * 21, "f cannot be read: it is nested deeper than 20 levels on line 1"),
        ("[" * 100_000, "nested deeper than 20 levels"),
        ("{a: " * 100_000, "nested deeper than 20 levels"),
        ("- " * 100_000, "nested deeper than 20 levels"),
        # Each level is an alias of the one before.
        (
            "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(40)),
            "nested deeper than 20 levels on line 20",
        ),
        ("a: 1\nb: 2\na: 3\n", "f cannot be read: 'a' is there twice on line 3"),
        ("x: {1: a, '1': b}\n", "f cannot be read: '1' is there twice on line 1"),
        ("? [a]\n: b\n", "f cannot be read: a key must be plain text on line 1"),
        ("a: &a x\n*a : b\n", "f cannot be read: a key must be plain text on line 2"),
        ("a: !!python/object/apply:os.system [x]\n", "the tag 'tag:yaml.org,2002:python/object/apply:os.system' is none"),
        ("a: !!python/name:os.system\n", "is none of plain values on line 1"),
        ("a: !mine 1\n", "the tag '!mine' is none of plain values on line 1"),
        ("a: !!binary aGk=\n", "is none of plain values"),
        ("a: [\n", "f cannot be read: "),
        ("a: 1\n--- \nb: 2\n", "f cannot be read: "),
        ("a: \x01\n", "f cannot be read: "),
        ("a: 2026-13-45\n", "f cannot be read: month must be in 1..12"),
        ("a: " + "9" * 5000, "f cannot be read: Exceeds the limit"),
        ("a: !!bool x\n", "f cannot be read: "),
        ("a: !!float ''\n", "f cannot be read: "),
    ],
)
def test_what_is_not_plain_is_one_line_at_once(text, said):
    began = time.process_time()
    with pytest.raises(UserError) as caught:
        plain_yaml.load(text, "f")
    assert time.process_time() - began < 3
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_aliases_of_a_table_are_no_bomb():
    text = "rows:\n  a: &a [{role: conv3, module: gsf}]\n" + "".join(f"  r{i}: *a\n" for i in range(500))
    assert len(plain_yaml.load(text, "f")["rows"]) == 501


def test_what_is_no_file_of_text_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"a: \xff\n")
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(3 * 2**30)
    for name, said in {
        "pipe": "it is a pipe or a device",
        "folder": "it is a folder",
        "binary": "line 1: it is not UTF-8 text",
        "huge": "it has 3,072 MiB, more than the 0.25 MiB of such a file",
        "missing": "No such file",
    }.items():
        with pytest.raises(UserError, match=said):
            plain_yaml.read(tmp_path / f"{name}.yaml")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert yaml.safe_load(plain_yaml.read(tmp_path / "a.yaml")) == {"a": 1}
