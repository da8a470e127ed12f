"""The command line: a file a noun. What it does is done elsewhere; here it is named, asked for and shown."""

from gsfnas.cli._main import main

__all__ = ["main"]
