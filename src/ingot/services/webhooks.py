"""Making and changing webhooks: which addresses may be told, and the key that signs; one unit of work each.

May not: send (conductor/webhooks.py). Invariant: the key leaves in the answer that made it, and never again.
"""

from __future__ import annotations

import secrets
import urllib.parse
from typing import Annotated, Any

import msgspec
from sqlalchemy import Connection

from ingot.deps import Deps
from ingot.domain import errors, ids, patch, schema_texts, typed
from ingot.store import events
from ingot.store import webhooks as store

_Key = Annotated[str, msgspec.Meta(min_length=16, max_length=255)]
_WORDS = frozenset(events.KINDS) | {kind.partition(".")[0] for kind in events.KINDS}


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A webhook as clients write it. ``secret``: the key that signs; one is made where none is given."""

    url: Annotated[str, msgspec.Meta(max_length=2048)]
    description: Annotated[str, msgspec.Meta(max_length=255)] | None = None
    kinds: list[str] = []
    enabled: bool = True
    secret: _Key | None = None


async def create(deps: Deps, body: dict[str, Any]) -> tuple[store.Webhook, str | None]:
    """Store a webhook; and its key, if it was made here. Raises errors.Invalid."""
    draft = _read(body)
    key = draft.secret or secrets.token_urlsafe(32)
    hook = store.Webhook(uuid=ids.new(), **_values(draft))
    made = await deps.store.run(store.create, hook, deps.sealer.seal(hook.uuid, key))
    deps.bus.ring(made.uuid)
    return made, None if draft.secret else key


async def change(deps: Deps, uuid: str, operations: tuple[patch.Operation, ...]) -> store.Webhook:
    """Apply a JSON patch. Raises errors.NotFound, errors.Invalid."""
    patch.check_roots(operations, Draft.__struct_fields__)
    changed = await deps.store.run(_change, deps, uuid, operations)
    deps.bus.ring(uuid)
    return changed


def _change(connection: Connection, deps: Deps, uuid: str, operations: tuple[patch.Operation, ...]) -> store.Webhook:
    found = store.get(connection, uuid)
    before = {name: value for name, value in msgspec.to_builtins(found).items() if name in Draft.__struct_fields__}
    draft = _read(patch.apply(before, operations))
    key = {} if draft.secret is None else {"secrets": deps.sealer.seal(uuid, draft.secret)}
    return store.change(connection, uuid, **_values(draft), **key)


def _values(draft: Draft) -> dict[str, Any]:
    return {
        "url": draft.url,
        "description": draft.description,
        "kinds": tuple(sorted(set(draft.kinds))),
        "enabled": draft.enabled,
    }


def _read(body: dict[str, Any]) -> Draft:
    try:
        draft = typed.convert(body, Draft)
    except msgspec.ValidationError as error:
        text = f"Schema error for webhook: {schema_texts.told(error, body)}"
        raise errors.Invalid(text, hint="Correct it and send again.") from error
    unknown = sorted(set(draft.kinds) - _WORDS)
    if unknown:
        text = f"There is no kind of event called {', '.join(unknown)}"
        raise errors.Invalid(text, hint=f"There are: {', '.join(sorted(_WORDS))}.")
    _check_url(draft.url)
    return draft


def _check_url(url: str) -> None:
    """Refuse what is no address of a web server, and keys in it, which logs would show."""
    hint = "Give an absolute URL that begins with https:// or http://."
    try:
        parts = urllib.parse.urlsplit(url)
        wrong = parts.port == 0
    except ValueError as error:
        raise errors.Invalid("The webhook's url cannot be read as a URL", hint=hint) from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or wrong:
        raise errors.Invalid("The webhook's url is no http:// or https:// address", hint=hint)
    if not url.isascii() or not url.isprintable() or " " in url:
        raise errors.Invalid("The webhook's url holds spaces or letters that a URL cannot have", hint="Encode them.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise errors.Invalid("The webhook's url holds a user, a password or a fragment", hint="Deliveries are signed.")
