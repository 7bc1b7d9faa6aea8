"""Libraries that only some sites need, the extras of the package: how their absence is told.

May not: import one. Invariant: the sentence names what asks for it and every way to get it.
"""

from __future__ import annotations

from ingot.domain import errors

POSTGRESQL, MARIADB, RABBITMQ = "postgresql", "mariadb", "rabbitmq"
"""As pyproject.toml calls them."""


def missing(extra: str, asked: str, error: ImportError) -> errors.NotSupported:
    """``asked``: what needs the libraries of ``extra``, as a beginning of a sentence; ``error``: what failed."""
    module = error.name or (error.__cause__.name if isinstance(error.__cause__, ImportError) else None) or "a library"
    return errors.NotSupported(
        f"{asked} needs Python libraries that are not installed here (first of them: {module})",
        hint=f"Run: pip install 'ingot[{extra}]'; beside the Debian package install ingot-extras, built with it.",
    )
