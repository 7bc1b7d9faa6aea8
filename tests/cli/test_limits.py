"""A service started by hand has the shell's limit of open files, which is low: it raises its own."""

from __future__ import annotations

import resource
import subprocess
import sys

_CHILD = """
import resource
from ingot import app
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
app.allow_many_connections()
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def test_the_limit_of_open_files_is_raised() -> None:
    done = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True, timeout=60)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert done.stdout.split() == [str(65536 if most < 0 else min(most, 65536)), str(most)]
