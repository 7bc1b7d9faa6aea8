"""Which values are secret, and how they are split from the rest of a free-form field.

Why: the public part of ``driver_info`` and ``instance_info`` can be shown as it is stored, while secrets live
sealed in a column of their own. May not: encrypt (that is store/seal.py). Invariant: merge(split(x)) == x.
"""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

MASK = "******"
_WORDS = (
    "password",
    "passwd",
    "secret",
    "token",
    "private_key",
    "passphrase",
    "kg_key",
    "auth_key",
    "priv_key",
    "credential",
    # The last ones as upstream's masking has them, so that nothing it masks in a driver_info is shown here.
    "configdrive",
    *("adminpass", "admin_pass", "new_pass", "sys_pswd", "encrypted_key", "sslkey", "fernetkey"),
    *("cephclusterfsid", "octaviaheartbeatkey", "rabbitcookie", "cephmanilaclientkey", "pacemakerremoteauthkey"),
    *("designaterndckey", "cephadminkey", "heatauthencryptionkey", "cephclientkey", "barbicansimplecryptokek"),
    *("cephrgwkey", "swifthashsuffix", "migrationsshkey", "cephmdskey", "cephmonkey"),
)
# What these read is as long as a request's body may be, so none of them looks twice at a letter.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S*")
_LOGIN = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s@:]*:[^/?#\s]*@")
_ENDS = re.compile(r"([&#])")
_PROOF = re.compile(r"sig|token|secret|passw|credential|api_?key|access_?key", re.IGNORECASE)
_NAMED = f"(?:{'|'.join(_WORDS)})[0-9]*"
_ASSIGNED = re.compile(
    rf"({_NAMED}(?:\s*=\s*|[\"']\s*:\s*|>|\s+(?=[\"']))|--{_NAMED}\s+)(?:([\"'])[^\"']*(?:[\"']|$)|[^\s\"'<]+)",
    re.IGNORECASE,
)
"""A secret with its name within a text, in the forms that upstream masks: ``password=x``, ``"token": "x"``."""
_INSTANCE = frozenset({"image_url", "image_pull_secret"})


class Secret(str):
    """Text that prints as asterisks; ``reveal`` gives the value to the one place that sends it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def reveal(self) -> str:
        """The text itself."""
        return "".join(self)


def is_secret(key: str, *, instance: bool = False) -> bool:
    """Whether the value under ``key`` is secret; ``instance``: also the private keys of instance_info."""
    lowered = key.lower()
    return any(word in lowered for word in _WORDS) or (instance and lowered in _INSTANCE)


def without_credentials(url: str) -> str:
    """A URL as it may be shown: password and user name masked, and what proves something in its query."""
    parts = _ENDS.split(_LOGIN.sub(rf"\1{MASK}@", url))
    for place in range(0, len(parts), 2):
        parts[place] = _without_proof(parts[place], is_key=place > 0 and parts[place - 1] == "&")
    return "".join(parts)


def without_secrets(text: str) -> str:
    """A text as it may be shown: without a URL's credentials, and without what it calls a password or the like."""
    if "://" in text:
        text = without_credentials(text)
        if _URL.fullmatch(text):
            return text
    lowered = text.lower()
    if not any(word in lowered for word in _WORDS):
        return text
    return _ASSIGNED.sub(lambda found: f"{found[1]}{found[2] or ''}{MASK}{found[2] or ''}", text)


def _without_proof(part: str, *, is_key: bool) -> str:
    """``part`` of a query, which begins with a key or at its first question mark."""
    begins = 0 if is_key else part.find("?") + 1
    while begins or is_key:
        ends = part.find("=", begins)
        if ends < 0:
            break
        if _PROOF.search(part, begins, ends):
            return f"{part[: ends + 1]}{MASK}"
        begins, is_key = part.find("?", ends) + 1, False
    return part


def split(
    info: dict[str, Any], known: dict[str, Any], *, instance: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Part ``info`` into its public form (secrets masked) and the secrets.

    A value that is the mask itself means "unchanged": the secret in ``known`` is kept (clients that read, change
    and write back a whole field must not destroy a password). ``known``: what was hidden before, or better the whole
    field in clear: then items of a list are known again wherever they stand now. A text with secrets in it (a URL with
    credentials, kernel parameters) is split into its form without them and the whole.
    """
    public: dict[str, Any] = {}
    hidden: dict[str, Any] = {}
    for key, value in info.items():
        before: Any = known.get(key)
        if value is None:
            public[key] = None
        elif is_secret(key, instance=instance):
            public[key] = MASK
            hidden[key] = value if value != MASK or before is None else before
        elif isinstance(value, str):
            shown = without_secrets(value)
            public[key] = shown
            unchanged = isinstance(before, str) and shown == without_secrets(before)
            if unchanged and MASK in value:
                hidden[key] = before
            elif shown != value:
                hidden[key] = value
        else:
            public[key], below = _split_value(value, before, instance=instance)
            if below:
                hidden[key] = below
    return public, hidden


def merge(public: dict[str, Any], hidden: dict[str, Any]) -> dict[str, Any]:
    """The whole field again, secrets in place of their masks."""
    return {key: _merge_value(value, hidden[key]) if key in hidden else value for key, value in public.items()}


def _split_value(value: Any, known: Any, *, instance: bool) -> tuple[Any, dict[str, Any]]:
    """A value that is not itself secret, but may hold secrets further down (items of a list by their number)."""
    if isinstance(value, list) and isinstance(known, list):
        known = _in_order(cast("list[Any]", value), cast("list[Any]", known), instance=instance)
    below: dict[str, Any] = cast("dict[str, Any]", known) if isinstance(known, dict) else {}
    if isinstance(value, dict):
        return split(cast("dict[str, Any]", value), below, instance=instance)
    if isinstance(value, list):
        numbered = {str(number): item for number, item in enumerate(cast("list[Any]", value))}
        public, hidden = split(numbered, below, instance=instance)
        return list(public.values()), hidden
    return value, {}


def _in_order(items: list[Any], known: list[Any], *, instance: bool) -> dict[str, Any]:
    """The items known before by the numbers of those that they are now.

    One that looks as it did is that one; else the one at its place, if that is none of the others: a secret must not
    go over to an item that took another's place.
    """
    places: dict[bytes, list[int]] = {}
    for number in reversed(range(len(known))):
        places.setdefault(_look(split({"": known[number]}, {}, instance=instance)[0][""]), []).append(number)
    left = set(range(len(known)))
    found: dict[str, Any] = {}
    for number, item in enumerate(items):
        same = places.get(_look(item))
        if same:
            left.discard(same[-1])
            found[str(number)] = known[same.pop()]
    for number in range(len(items)):
        if str(number) not in found and number in left and len(items) == len(known):
            found[str(number)] = known[number]
    return found


def _look(item: Any) -> bytes:
    return msgspec.json.encode(item, order="deterministic")


def _merge_value(public: Any, hidden: Any) -> Any:
    if not isinstance(hidden, dict) or not isinstance(public, dict | list):
        return cast("Any", hidden)
    below = cast("dict[str, Any]", hidden)
    if isinstance(public, dict):
        return merge(cast("dict[str, Any]", public), below)
    numbered = {str(number): item for number, item in enumerate(cast("list[Any]", public))}
    return list(merge(numbered, below).values())
