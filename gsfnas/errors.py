"""What a user did wrong, said in one line: what is wrong, which value, what would be right."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """A mistake that the user can mend; the command line prints it as one line and exits with 2."""


def unknown(kind: str, value: str, choices: Iterable[str]) -> UserError:
    """The error for a name that is none of ``choices``: the nearest name first, then all of them."""
    names = sorted(choices)
    near = get_close_matches(value, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    shown = [repr(name) if "," in name else name for name in names[:12]]
    listed = ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return UserError(f"unknown {kind} {value!r}{hint} (choices: {listed or 'none'})")
