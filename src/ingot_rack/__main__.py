"""Runs the rack's command line.

Why: `python -m ingot_rack` works without an installed program. May not: do anything else.
Invariant: the exit code is the command's.
"""

from __future__ import annotations

import sys

from ingot_rack import cli

if __name__ == "__main__":
    sys.exit(cli.main())
