"""A written journal, changed by hand and read again."""

import json
from pathlib import Path

from gsfnas.errors import UserError
from gsfnas.study import load_study


class Journal:
    """A copy of a written journal, to be changed and read again."""

    def __init__(self, folder: Path, lines: list[str]):
        self.folder = folder
        self.lines = list(lines)

    @property
    def path(self) -> Path:
        return self.folder / "runs" / "placement" / "journal.log"

    def find(self, what: str, nth: int = 0) -> int:
        """The index of the nth line with an attribute, or of a kind of operation: ``begin``, ``end``, ``study``."""
        codes = {"study": 0, "begin": 4, "end": 6}
        entries = list(map(json.loads, self.lines))
        if what in codes:
            return [index for index, entry in enumerate(entries) if entry["op_code"] == codes[what]][nth]
        names = [next(iter(entry.get("user_attr", {"": 0}))) for entry in entries]
        return [index for index, name in enumerate(names) if name.startswith(what)][nth]

    def change(self, index: int, keys: tuple, value) -> None:
        """Puts a value where the keys lead; ``...`` takes away what is there."""
        entry = json.loads(self.lines[index])
        inner = entry
        for key in keys[:-1]:
            inner = inner[key]
        if value is ...:
            del inner[keys[-1]]
        else:
            inner[keys[-1]] = value
        self.lines[index] = json.dumps(entry)

    def read(self, lines: list[str] | None = None):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in (self.lines if lines is None else lines)))
        return load_study(self.folder / "runs", "placement")

    def refused(self, lines: list[str] | None = None) -> str:
        """The line that says why it cannot be read; nothing where it can."""
        said = ""
        try:
            self.read(lines)
        except UserError as error:
            said = str(error)
        assert "\n" not in said
        assert not said or str(self.path) in said
        return said
