"""``/v1/events``: what the network service tells of its ports. Checked and logged, as by Ironic; nothing waits for it.

May not: change anything. Invariant: an event of an unknown kind is refused, not lost.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import structlog

from ingot.api import query, spec, wire
from ingot.deps import Deps
from ingot.domain import errors, ids, schema_texts, typed

_log = structlog.get_logger("ingot.api")


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event. ``port_id``, ``device_id``, ``host_id``: UUIDs; ``mac_address``: of the port."""

    event: Literal["network.bind_port", "network.unbind_port", "network.delete_port"]
    port_id: str
    mac_address: str
    status: str
    device_id: str | None = None
    host_id: str | None = msgspec.field(default=None, name="binding:host_id")
    vnic_type: str | None = msgspec.field(default=None, name="binding:vnic_type")


class Events(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body: at least one event."""

    events: Annotated[list[Event], msgspec.Meta(min_length=1)]


@spec.tells("Tell of events of network ports", 204, body=spec.of(Events))
async def create(deps: Deps, request: wire.Request) -> wire.Answer:
    """POST /v1/events."""
    query.Query(request)
    given = request.object("events")
    try:
        body = typed.convert(given, Events)
    except msgspec.ValidationError as error:
        text = f"Schema error: {schema_texts.told(error, given)}"
        raise errors.Invalid(text, hint="Correct the event and send again.") from error
    for event in body.events:
        for name, value in (("port_id", event.port_id), ("device_id", event.device_id), ("host_id", event.host_id)):
            if value is not None and not ids.is_uuid(value):
                raise errors.Invalid(f"Schema error: {name} {value!r} is not a 'uuid'")
        ids.mac(event.mac_address)
    for event in body.events:
        _log.info("network event", kind=event.event, port=event.port_id, status=event.status)
    return wire.NO_CONTENT
