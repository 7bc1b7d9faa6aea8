"""What docs/howto/scale-out.md has its reader type, so that a test can type it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from checkout import ROOT

_PAGE = (ROOT / "docs/howto/scale-out.md").read_text()


def blocks(heading: str, mine: Mapping[str, str]) -> list[str]:
    """The blocks under a heading, each with a site's own values (``mine``) in place of the guide's."""
    section = re.findall(rf"^### {re.escape(heading)}\n(.*?)(?=^##)", _PAGE, re.MULTILINE | re.DOTALL)
    assert section, f"docs/howto/scale-out.md has no heading {heading!r}"
    found = re.findall(r"^```sh\n(.*?)^```", section[0], re.MULTILINE | re.DOTALL)
    return [re.sub("|".join(map(re.escape, mine)), lambda one: mine[one[0]], block) for block in found]


def addresses() -> dict[str, list[str]]:
    """Each host of the guide's table and its addresses, one of each network."""
    rows = re.findall(r"^\| (\w+) \| (\d[^|]*)\|", _PAGE, re.MULTILINE)
    return {name: re.findall(r"\d+(?:\.\d+){3}", told) for name, told in rows}
