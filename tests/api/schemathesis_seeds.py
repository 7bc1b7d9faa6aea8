"""Seeds for schemathesis: of each operation's calls some are made into one that can succeed; run by the peers' Python.

Why: words made from a schema alone name nothing that is there, so most answers would be refusals, and the bodies of
successful ones would hardly be judged. INGOT_SEEDS names a JSON file: "METHOD /path" -> {"path_parameters", "query",
"body"}, where what is missing is left out of the call. All other calls go as schemathesis made them.
"""

from __future__ import annotations

import collections
import json
import os
from pathlib import Path
from typing import Any

import schemathesis

_SEEDS: dict[str, dict[str, Any]] = json.loads(Path(os.environ["INGOT_SEEDS"]).read_text())
_EVERY = 4
"""Of so many calls of an operation the first is one of ours."""
_called: collections.Counter[str] = collections.Counter()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Put a seed in the place of what was made."""
    del context, kwargs
    label = case.operation.label
    if case.method.upper() != label.partition(" ")[0] or label not in _SEEDS:
        return
    _called[label] += 1
    if _called[label] % _EVERY != 1:
        return
    seed = _SEEDS[label]
    case.path_parameters = seed.get("path_parameters", {})
    case.query = seed.get("query", {})
    if "body" in seed:
        case.body, case.media_type = seed["body"], "application/json"
