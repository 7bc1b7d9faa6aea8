"""What a Redfish service says when it refuses, as one sentence and the right domain error.

Why: BMCs answer with lists of registry messages; operators need a line. May not: do I/O.
Invariant: any body, however odd, gives a readable error. Source: DSP0266 section "Error responses".
"""

from __future__ import annotations

import contextlib
import re
from typing import cast

from ingot.clients import let_in
from ingot.clients.http.client import Reply
from ingot.domain import errors

LONGEST = 400
MOST_MESSAGES = 3
_URL = re.compile(r"""(\b\w+://)(?:[^/\s'"<>]*@)?([^/\s'"<>?#]+)[^\s'"<>]*""")
_SESSION_LIMIT = re.compile(r"(maximum|too many|limit).*session|session.*(maximum|too many|limit)", re.IGNORECASE)


def messages(reply: Reply) -> list[tuple[str, str]]:
    """(message id without its registry, text) of each message of an error body; empty when there is none."""
    return [(key, text) for key, text, _ in details(reply)]


def details(reply: Reply) -> list[tuple[str, str, str]]:
    """(message id without its registry, text, the arguments and properties it is about) of each message."""
    body: object = None
    with contextlib.suppress(errors.Misbehaved):
        body = reply.json()
    error = _field(body, "error")
    found: list[tuple[str, str, str]] = []
    infos = _field(error, "@Message.ExtendedInfo")
    for info in cast("list[object]", infos) if isinstance(infos, list) else [infos]:
        key, text = _text(_field(info, "MessageId")), _text(_field(info, "Message"))
        if key or text:
            about = f"{_field(info, 'MessageArgs')} {_field(info, 'RelatedProperties')}"
            found.append((key.rpartition(".")[2], text, about))
    if not found and _text(_field(error, "message")):
        found.append((_text(_field(error, "code")).rpartition(".")[2], _text(_field(error, "message")), ""))
    return found


def is_session_limit(reply: Reply) -> bool:
    """Whether a login was refused because too many sessions are open; not every maker uses the standard message."""
    return any(key == "SessionLimitExceeded" or _SESSION_LIMIT.search(text) for key, text in messages(reply))


def denied(reply: Reply, user: str, let_in_ago: float | None) -> errors.AccessDenied:
    """The error for a refused session login; ``let_in_ago``: seconds since this very login was taken, if ever."""
    if let_in_ago is not None:
        return let_in.locked_out(
            f"{reply.peer} refuses the user {user!r} ({reply.status})",
            let_in_ago,
            "changed its password or disabled it",
            "Only if it is refused after that, too, correct redfish_password in driver_info.",
        )
    return errors.AccessDenied(
        f"{reply.peer} refuses the user {user!r} or the password ({reply.status}).",
        hint="Correct redfish_username and redfish_password in driver_info; after several wrong ones a BMC may also "
        "lock the account for some minutes.",
    )


def failure(reply: Reply, what: str, cure: str | None = None) -> errors.IngotError:
    """The error for an unsuccessful answer to ``what`` ("POST /redfish/v1/..."); ``cure``: where one is known."""
    said = "; ".join(" ".join(text.split()).rstrip(".") or key for key, text in messages(reply)[:MOST_MESSAGES])
    said = without_urls(said)[:LONGEST]
    text = f"{reply.peer} answered {reply.status} to {what}" + (f": {said}." if said else ".")
    match reply.status:
        case 401 | 403:
            return errors.AccessDenied(text, hint="Check the BMC user, its password and its role.")
        case 404:
            return errors.NotFound(text, hint="Check redfish_system_id, or whether the firmware has this.")
        case 405 | 501:
            return errors.NotSupported(text)
        case 503 | 429:
            return errors.Unreachable(text, hint="The BMC is busy or starting; try again, or reset it.")
        case _:
            return errors.Misbehaved(text, hint=cure)


def without_urls(said: str) -> str:
    """What a BMC says, with nothing of a URL but its host: BMCs repeat ours, which hold passwords and passes."""
    return _URL.sub(r"\1\2/...", said)


def _field(value: object, name: str) -> object:
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
