"""Errors for the user, each one line: what is wrong, the value that was given, and what would be right."""

import resource
from collections.abc import Iterable
from difflib import get_close_matches

from gsfnas.escape import printable

# Comparing two names takes time in proportion to the product of their lengths, so that only their beginnings are compared.
MAX_COMPARED = 100

# Parts of the messages with which Python, NumPy, torch and the dynamic linker report that memory ran out.
_NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "not enough memory",
    "out of memory",
    "failed to map segment",
    "bad_alloc",
    "can't start new thread",
    "memoryerror",
)


class UserError(ValueError):
    """A mistake that the user can correct; the command line prints it as one line and exits with 2."""


def unknown(kind: str, value: str, choices: Iterable[str]) -> UserError:
    """The error for a name that is not one of ``choices``: it suggests the nearest one and lists them."""
    names = sorted(choices)
    near = get_close_matches(value[:MAX_COMPARED], names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(repr(name) if "," in name else name for name in names[:12])
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return UserError(f"unknown {kind} {shown(value)}{hint} (choices: {listed or 'none'}{more})")


def unknown_setting(section: str, name: str, names: Iterable[str]) -> UserError:
    """The error for a setting of ``section`` that is not one of ``names``."""
    names = list(names)
    if not names:
        return UserError(f"unknown setting {shown(f'{section}.{name}')}; {section} has no settings")
    return unknown("setting", f"{section}.{name}", [f"{section}.{one}" for one in names])


def shown(value: object, most: int = 100) -> str:
    """A value for a message: its ``repr`` on one line, at most ``most`` characters."""
    try:
        return shortened(repr(value), most)
    except Exception:
        # For example an integer of thousands of digits, or thousands of nested lists.
        return f"a value of type {type(value).__name__} that is too large to be shown"


def with_article(noun: str) -> str:
    """``a Candidate``, ``an int``."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def shortened(text: str, most: int = 300) -> str:
    """Text from elsewhere for a message: on one line, at most ``most`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 4]} ..."


def one_line(error: BaseException, most: int = 200) -> str:
    """An exception for a message: ``Kind: first line of its text``, printable, at most ``most`` characters."""
    first = next(iter(str(error).strip().splitlines()), "")
    return shortened(printable(f"{type(error).__name__}: {first}" if first else type(error).__name__), most)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error reports that memory ran out, on a device or in the process."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, SystemError):
        # A C library may run out of memory before it can set an exception; without a memory limit the cause is another.
        return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    message = str(error).lower()
    return isinstance(error, RuntimeError | OSError | ImportError) and any(words in message for words in _NO_MEMORY)
