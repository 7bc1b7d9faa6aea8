"""Local users: who may call the API, with which role. Passwords are hashed here and nowhere kept.

Invariant: what reaches the database is a bcrypt hash.
"""

from __future__ import annotations

import asyncio

import bcrypt

from ingot.domain import errors
from ingot.store import users
from ingot.store.engine import Store

ROLES = ("admin", "member", "reader")
LONGEST = 72
"""Bytes of a password that bcrypt reads; a longer one is refused, so that no part of it is ignored."""
_SHORTEST = 8
_COST = 12  # the dummy hash in api/auth.py has the same


async def put(store: Store, name: str, password: str, role: str = "admin") -> None:
    """Create a user, or give the one with this name a new password and role. Raises errors.Invalid."""
    if not name or len(name) > 255 or ":" in name or not name.isprintable():
        raise errors.Invalid(f"{name!r} cannot be a user name", hint="Use up to 255 letters, none of them a colon.")
    if role not in ROLES:
        raise errors.Invalid(f'There is no role "{role}"', hint=f"Roles are: {', '.join(ROLES)}.")
    secret = password.encode()
    if len(password) < _SHORTEST or len(secret) > LONGEST or "\0" in password:
        raise errors.Invalid(
            f"A password needs {_SHORTEST} letters and may have {LONGEST} bytes", hint="Choose another one."
        )
    hashed = await asyncio.to_thread(bcrypt.hashpw, secret, bcrypt.gensalt(_COST))
    await store.run(users.put, users.User(name=name, password_hash=hashed.decode(), role=role))
