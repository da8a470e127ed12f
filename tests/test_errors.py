"""Errors are one line, whatever they quote."""

import pytest

from gsfnas.errors import UserError, one_line, shown, unknown


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("no space left"), "RuntimeError: no space left"),
        (RuntimeError("\n  the first line \nand a second"), "RuntimeError: the first line"),
        (KeyError("name"), "KeyError: 'name'"),
        (ValueError(), "ValueError"),
        (ValueError(" \n "), "ValueError"),
        (OSError("\x1b[31mred \u202e"), r"OSError: \x1b[31mred \u202e"),
        (ValueError("x" * 1000), f"ValueError: {'x' * 184} ..."),
    ],
)
def test_an_exception_in_one_line(error: Exception, expected: str) -> None:
    assert one_line(error) == expected
    assert len(expected) <= 200


def test_the_length_of_the_line_can_be_chosen() -> None:
    assert one_line(ValueError("x" * 1000), 30) == f"ValueError: {'x' * 14} ..."


def test_a_value_in_one_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert shown([1] * 1000, 22) == "[1, 1, 1, 1, 1, 1, ..."
    assert shown(10**5000) == "a value of type int that is too large to be shown"


def test_an_unknown_name_suggests_the_nearest() -> None:
    error = unknown("module", "gsff", ["tsm", "gsf", "gsm"])
    assert isinstance(error, UserError)
    assert str(error) == "unknown module 'gsff'; did you mean 'gsf'? (choices: gsf, gsm, tsm)"
    assert str(unknown("module", "x", [])) == "unknown module 'x' (choices: none)"
