"""Speaks to OCI registries: manifests, the address of a blob, and the token or password they ask for.

May not: choose an image. Invariants: a manifest asked for by digest has that digest; credentials go to the registry and
to the token server it names over TLS, unless the operator listed it as plain.

Sources: OCI distribution specification 1.1; the token protocol of Docker's registry ("distribution" project).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping
from typing import TypeVar

import aiohttp
import msgspec

from ingot.domain import errors, typed
from ingot.images import download, urls

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_LIMIT = 4 * 1024 * 1024
_HINT = "Check image_source and that the conductor reaches the registry."
_PAUSES = (0.5, 2.0)  # seconds before the second and the third attempt
_Answer = tuple[int, Mapping[str, str], bytes]
T = TypeVar("T")


class Platform(msgspec.Struct, frozen=True):
    """For which processor something is (Go's names: amd64, arm64)."""

    architecture: str | None = None


class Described(msgspec.Struct, frozen=True, rename="camel"):
    """A descriptor: what an index or a manifest says about a thing it names."""

    digest: str = ""
    media_type: str = ""
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Manifest(msgspec.Struct, frozen=True):
    """A manifest (``layers``) or an index (``manifests``)."""

    manifests: list[Described] | None = None
    layers: list[Described] | None = None


class _Token(msgspec.Struct, frozen=True):
    token: str | None = None
    access_token: str | None = None


class _Auth(msgspec.Struct, frozen=True):
    auth: str | None = None


class _AuthFile(msgspec.Struct, frozen=True):
    auths: dict[str, _Auth]


class Repository(msgspec.Struct, frozen=True):
    """One repository: ``host`` (with port), ``name`` (path), how to reach it and with which ``secret``."""

    host: str
    name: str
    plain: bool
    secret: str | None

    def url(self, kind: str, reference: str) -> str:
        """The address of a manifest or blob."""
        return f"{'http' if self.plain else 'https'}://{self.host}/v2/{self.name}/{kind}/{reference}"


class Session:
    """Requests to one repository; remembers the credentials that worked."""

    def __init__(self, repository: Repository, timeout: float) -> None:
        self._repository = repository
        self._timeout = timeout
        self.headers: dict[str, str] = {}

    async def manifest(self, reference: str) -> Manifest:
        """The manifest or index a tag or digest names. Raises Forbidden, NotFound, Invalid, Unreachable, TimedOut."""
        url = self._repository.url("manifests", reference)
        accept = {"Accept": ", ".join((MANIFEST, INDEX, *_DOCKER))}
        status, headers, body = await self._get(url, {**accept, **self.headers}, {})
        if status == 401:
            await self._log_in(headers.get("WWW-Authenticate", ""))
            status, headers, body = await self._get(url, {**accept, **self.headers}, {})
        self._check(status, reference)
        algo, _, value = reference.partition(":")
        if value and hashlib.new(algo, body).hexdigest() != value:
            raise errors.Invalid(
                f"The registry {self._repository.host} sent another manifest than {reference}.",
                hint="Do not use this registry until its owner has explained that.",
            )
        return _decoded(body, Manifest, self._repository.host)

    def _check(self, status: int, reference: str) -> None:
        host, name = self._repository.host, self._repository.name
        if status in (401, 403):
            raise errors.Forbidden(
                f"The registry {host} does not let us read {name}.",
                hint="Set instance_info image_pull_secret, or add the registry to the file of oci_auth_file.",
            )
        if status == 404:
            raise errors.NotFound(f"The registry {host} has no {name} with {reference}.", hint="Correct image_source.")
        if status != 200:
            raise errors.Unreachable(f"The registry {host} answered {status} for {name}.", hint=_HINT)

    async def _log_in(self, challenge: str) -> None:
        """Get what the registry wants to see, from its token server or from our secret."""
        scheme, _, rest = challenge.partition(" ")
        fields: dict[str, str] = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        basic = _basic(self._repository.secret)
        if scheme.lower() == "basic" and basic:
            self.headers = {"Authorization": basic}
        elif scheme.lower() == "bearer" and "realm" in fields:
            token = await self._token(fields, basic)
            self.headers = {"Authorization": f"Bearer {token}"}

    async def _token(self, fields: Mapping[str, str], basic: str | None) -> str:
        realm = fields["realm"]
        if not self._repository.plain and urls.scheme(realm) != "https":
            raise errors.Forbidden(
                f"The registry {self._repository.host} wants its token fetched without TLS.", hint="Use another."
            )
        query = {"scope": fields.get("scope") or f"repository:{self._repository.name}:pull"}
        if fields.get("service"):
            query["service"] = fields["service"]
        status, _, body = await self._get(realm, {"Authorization": basic} if basic else {}, query)
        self._check(status, "a token for us")
        answer = _decoded(body, _Token, urls.shown(realm))
        token = answer.token or answer.access_token
        if not token:
            raise errors.Misbehaved(f"The token server {urls.shown(realm)} gave no token.", hint=_HINT)
        return token

    async def _get(self, url: str, headers: Mapping[str, str], query: Mapping[str, str]) -> _Answer:
        """Ask, and once more where a registry is busy or its answer was lost: they shed load that way."""
        for pause in _PAUSES:
            try:
                answer = await self._ask(url, headers, query)
            except errors.Unreachable:
                await asyncio.sleep(pause)
                continue
            if answer[0] != 429 and answer[0] < 500:
                return answer
            await asyncio.sleep(pause)
        return await self._ask(url, headers, query)

    async def _ask(self, url: str, headers: Mapping[str, str], query: Mapping[str, str]) -> _Answer:
        where = urls.shown(url)
        try:
            async with (
                asyncio.timeout(self._timeout),
                aiohttp.ClientSession() as session,
                session.get(url, headers=headers, params=query) as answer,
            ):
                body = await answer.content.read(_LIMIT + 1)
                while len(body) <= _LIMIT and (more := await answer.content.read(_LIMIT)):
                    body += more
        except TimeoutError as error:
            raise errors.TimedOut(f"{where} did not answer in {self._timeout:g} s.", hint=_HINT) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise errors.Unreachable(f"{where} cannot be read: {urls.in_words(error)}.", hint=_HINT) from error
        if len(body) > _LIMIT:
            raise errors.Misbehaved(f"{where} answered with more than {_LIMIT} bytes.", hint=_HINT)
        return answer.status, answer.headers, body


def secret_for(host: str, given: str | None, limits: download.Limits) -> str | None:
    """The secret for a registry: the one given with the image, else that of the operator's file. Blocking."""
    if given or limits.registry_auth is None:
        return given
    try:
        auths = typed.decode(limits.registry_auth.read_bytes(), _AuthFile).auths
    except (OSError, msgspec.DecodeError) as error:
        raise errors.Invalid(
            f"The file {limits.registry_auth} of the setting oci_auth_file cannot be used ({type(error).__name__}).",
            hint='It must look like {"auths": {"HOST": {"auth": "BASE64 OF USER:PASSWORD"}}}.',
        ) from error
    return auths[host].auth if host in auths else None


def _basic(secret: str | None) -> str | None:
    """The header for a secret: "user:password", its base64 (as container tools keep it), or a bare token."""
    if not secret:
        return None
    try:
        plain = base64.b64decode(secret, validate=True).decode()
    except ValueError:
        plain = ""
    pair = plain if ":" in plain else secret if ":" in secret else f":{secret}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _decoded(body: bytes, kind: type[T], who: str) -> T:
    try:
        return typed.decode(body, kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise errors.Misbehaved(f"{who} answered with something that makes no sense: {error}.", hint=_HINT) from error
