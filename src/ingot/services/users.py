"""Local users and their tokens: who may call the API, with which role and where. Secrets are hashed here, not kept.

Invariant: what reaches the database is a bcrypt hash of a password, or a digest of a token.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time

import bcrypt
from sqlalchemy import Connection

from ingot.domain import errors, ids, roles
from ingot.store import tokens, users
from ingot.store.engine import Store

LONGEST = 72
"""Bytes of a password that bcrypt reads; a longer one is refused, so that no part of it is ignored."""
LONGEST_LIFETIME = 10 * 366 * 86400.0
TOKENS = "ingot_"
"""What every token of ours begins with."""
_KEEP_ENDED = 30 * 86400.0
_SHORTEST = 8
_COST = 12  # the dummy hash in api/auth.py has the same


async def put(store: Store, name: str, password: str, role: str = "admin", project: str | None = None) -> None:
    """Create a user, or give the one with this name a new password, role and project (None: the whole system).

    Raises errors.Invalid.
    """
    if not name or len(name) > 255 or ":" in name or not name.isprintable():
        raise errors.Invalid(f"{name!r} cannot be a user name", hint="Use up to 255 letters, none of them a colon.")
    _check_role(role)
    if project is not None and (not project or len(project) > 255 or not project.isprintable()):
        raise errors.Invalid(f"{project!r} cannot be a project", hint="Use up to 255 printable letters.")
    secret = password.encode()
    if len(password) < _SHORTEST or len(secret) > LONGEST or "\0" in password:
        raise errors.Invalid(
            f"A password needs {_SHORTEST} letters and may have {LONGEST} bytes", hint="Choose another one."
        )
    hashed = await asyncio.to_thread(bcrypt.hashpw, secret, bcrypt.gensalt(_COST))
    await store.run(users.put, users.User(name=name, password_hash=hashed.decode(), role=role, project=project))


async def create_token(store: Store, user: str, *, role: str | None, label: str, lifetime: float) -> tuple[str, str]:
    """Make a token for a user, good for ``lifetime`` seconds: its id, and the token, which cannot be shown again.

    ``role``: what it may at most (None: the user's own); the user's bounds it too. Raises errors.Invalid, NotFound.
    """
    if role is not None:
        _check_role(role)
    if not 0 < lifetime <= LONGEST_LIFETIME:
        raise errors.Invalid("A token may live for ten years at most", hint="Choose a shorter time.")
    if len(label) > 255 or not label.isprintable():
        raise errors.Invalid("A label has up to 255 printable letters")
    text = f"{TOKENS}{secrets.token_urlsafe(32)}"
    now = time.time()
    ident = ids.new()

    def keep(connection: Connection) -> None:
        tokens.forget_ended(connection, now - _KEEP_ENDED)
        given = _token_role(users.find(connection, user), role)
        value = tokens.Token(
            id=ident, user_name=user, label=label, digest=digest(text), role=given, expires_at=now + lifetime
        )
        tokens.create(connection, value)

    await store.run(keep)
    return ident, text


def _token_role(user: users.User | None, asked: str | None) -> str:
    if user is None or asked is None:
        return asked or (user.role if user else "")
    if roles.held((asked,)) & roles.held((user.role,)) == roles.held(()):
        raise errors.Invalid(
            f"A token of role {asked} could do nothing: {user.name} is {user.role}",
            hint=f"Roles that {user.name} can give: {', '.join(sorted(roles.held((user.role,)) & set(roles.ALL)))}.",
        )
    return asked


def digest(token: str) -> str:
    """What is stored of a token: SHA-256, which is enough for 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def _check_role(role: str) -> None:
    if role not in roles.ALL:
        raise errors.Invalid(f'There is no role "{role}"', hint=f"Roles are: {', '.join(roles.ALL)}.")
