"""What a user did wrong, said in one line: what is wrong, which value, what would be right."""

import resource
from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_NAME = 100


# How Python, NumPy, torch and the loader of libraries say that a machine, or a limit, has no more memory to give.
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
    """A mistake that the user can mend; the command line prints it as one line and exits with 2."""


def unknown(kind: str, value: str, choices: Iterable[str]) -> UserError:
    """The error for a name that is none of ``choices``: the nearest name first, then all of them."""
    names = sorted(choices)
    # A comparison takes the product of both lengths.
    near = get_close_matches(value[:_LONGEST_NAME], names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    listed = ", ".join(repr(name) if "," in name else name for name in names[:12])
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return UserError(f"unknown {kind} {shown(value)}{hint} (choices: {listed or 'none'}{more})")


def shown(value: object, most: int = 100) -> str:
    """A value for an error: its ``repr``, on one line and not longer than ``most`` characters."""
    try:
        return shortened(repr(value), most)
    except Exception:
        # An integer of thousands of digits, a nesting of thousands of levels.
        return f"a value of type {type(value).__name__} that is too large to be shown"


def shortened(text: str, most: int = 300) -> str:
    """Text of others for an error: on one line and not longer than ``most`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 4]} ..."


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a device or in the process."""
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, SystemError):
        # A library written in C that had not even the memory to say so; without a limit it is something else.
        return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY
    told = str(error).lower()
    return isinstance(error, RuntimeError | OSError | ImportError) and any(words in told for words in _NO_MEMORY)
