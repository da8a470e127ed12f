"""``python -m gsfnas``."""

import sys

from gsfnas.cli import main

# Worker processes import this file under another name.
if __name__ == "__main__":
    sys.exit(main())
