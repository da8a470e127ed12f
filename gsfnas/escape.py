"""Escapes text from data before it is shown: a terminal would execute control sequences, a spreadsheet formulas."""

import unicodedata
from typing import Any

# Unicode categories: control and format characters (such as marks of writing direction), surrogates, line separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# Text that begins with one of these is a formula for a spreadsheet.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str, keep: str = "") -> str:
    """Escapes hidden characters (``\\x1b``, ``\\u202e``), except for those in ``keep``.

    A byte of a file name that is not UTF-8, which Python represents as a surrogate, is written as that byte: ``\\xe9``.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or unicodedata.category(character) not in _HIDDEN else _written_out(character)
        for character in text
    )


def csv_cell(value: Any) -> Any:
    """A value for a CSV file. Text that a spreadsheet would take for a formula gets an apostrophe in front, its mark for text.

    Numbers are not changed, nor is text that is a number.
    """
    if not isinstance(value, str):
        return value
    text = printable(value, keep="\n")
    return f"'{text}" if value.lstrip(" ").startswith(_FORMULA) and not _is_number(text) else text


def _written_out(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
