"""Event subscriptions: whom the BMC tells of its events. Source: DSP0268 EventService and EventDestination."""

from __future__ import annotations

from ingot.clients.redfish.client import RedfishPool
from ingot.clients.redfish.resources import Resource, link, path_of, strings
from ingot.clients.redfish.target import Target
from ingot.domain import errors

_SHOWN = ("Id", "Context", "Protocol", "Destination", "EventTypes")


async def list_all(pool: RedfishPool, target: Target) -> Resource:
    """The collection of subscriptions as the service gives it."""
    return await pool.get(target, await _collection(pool, target))


async def get(pool: RedfishPool, target: Target, ident: str) -> Resource:
    """The fields of one subscription that every service has. Raises ``errors.NotFound``."""
    return _shown(await pool.get(target, await _member(pool, target, ident)))


async def create(pool: RedfishPool, target: Target, wanted: Resource) -> Resource:
    """Subscribe (``wanted``: Destination, Protocol, Context, EventTypes, HttpHeaders); the fields as ``get``.

    Raises ``errors.Invalid`` for event types that the service does not send.
    """
    service = await _service(pool, target)
    allowed = strings(service, "EventTypesForSubscription")
    unknown = set(strings(wanted, "EventTypes")) - set(allowed or strings(wanted, "EventTypes"))
    if unknown:
        raise errors.Invalid(
            f"EventTypes {', '.join(sorted(unknown))} are not sent by {target.name}",
            hint=f"It has {', '.join(allowed)}.",
        )
    reply = await pool.post(target, await _collection(pool, target), wanted)
    path = path_of(reply.headers.get("Location", ""))
    if path is None:
        raise errors.Misbehaved(f"{target.name} does not say where its new subscription is.")
    return _shown(await pool.get(target, path))


async def delete(pool: RedfishPool, target: Target, ident: str) -> None:
    """End a subscription. Raises ``errors.NotFound``."""
    await pool.delete(target, await _member(pool, target, ident))


async def _service(pool: RedfishPool, target: Target) -> Resource:
    path = link(await pool.get(target, target.root), "EventService")
    if path is None:
        raise errors.NotSupported(f"{target.name} has no event service.")
    return await pool.get(target, path)


async def _collection(pool: RedfishPool, target: Target) -> str:
    path = link(await _service(pool, target), "Subscriptions")
    if path is None:
        raise errors.NotSupported(f"{target.name} takes no event subscriptions.")
    return path.rstrip("/")


async def _member(pool: RedfishPool, target: Target, ident: str) -> str:
    if not ident or "/" in ident:
        raise errors.Invalid(f"{ident!r} is not the id of a subscription")
    return f"{await _collection(pool, target)}/{ident}"


def _shown(subscription: Resource) -> Resource:
    return {name: subscription[name] for name in _SHOWN if name in subscription}
