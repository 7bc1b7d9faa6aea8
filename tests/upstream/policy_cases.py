"""Upstream's own cases of who may do what, as JSON; run by upstream's Python, which has them installed."""

from __future__ import annotations

import importlib.resources
import json
import sys

import yaml

FILES = ("test_rbac_project_scoped.yaml", "test_rbac_system_scoped.yaml")


def main() -> None:
    """Print them by file and name."""
    folder = importlib.resources.files("ironic.tests.unit.api")
    json.dump({name: yaml.safe_load((folder / name).read_text()) for name in FILES}, sys.stdout)


if __name__ == "__main__":
    main()
