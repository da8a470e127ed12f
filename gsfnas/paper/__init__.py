"""The published tables of Gate-Shift-Fuse as data, and which of our candidates each of their rows is."""

from gsfnas.paper._table import NUMBERS, PaperRow, PaperTable, Reference, load_table

__all__ = ["NUMBERS", "PaperRow", "PaperTable", "Reference", "load_table"]
