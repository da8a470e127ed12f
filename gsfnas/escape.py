"""Text from data, made harmless for where it is shown: a terminal obeys escapes, a spreadsheet runs formulas."""

import unicodedata
from typing import Any

# Control characters, marks that turn the direction of writing, halves of characters, separators of lines.
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# What a spreadsheet takes for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def printable(text: str, keep: str = "") -> str:
    """The text with each hidden character written out (``\\x1b``, ``\\u202e``); those in ``keep`` stay.

    A byte of a file's name that is not UTF-8, which Python keeps as half a character, is written as that byte: ``\\xe9``.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character in keep or unicodedata.category(character) not in _HIDDEN else _written_out(character)
        for character in text
    )


def csv_cell(value: Any) -> Any:
    """A value for a CSV file: text that a spreadsheet would take for a formula gets an apostrophe before it, as there by hand.

    Numbers, and text that is one, stay as they are.
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
