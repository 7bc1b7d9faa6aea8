"""The event service: subscriptions are kept and shown. May not: send an event; a test event goes into the log."""

from __future__ import annotations

from aiohttp import web

from ingot_rack.redfish import eventlog
from ingot_rack.redfish.tree import OK, ROOT, Front, actions, collection, link, missing, resource
from ingot_rack.redfish.views import Views, action, shown
from ingot_rack.redfish.wire import Json, Refused, answer, no_content, read

SERVICE = f"{ROOT}/EventService"
_SUBSCRIPTIONS = f"{SERVICE}/Subscriptions"
_TYPES = ["Alert", "ResourceAdded", "StatusChange"]


class Subscriptions:
    """Number -> subscription."""

    def __init__(self, front: Front) -> None:
        del front
        self.all: dict[str, Json] = {}
        self.count = 0


def service(front: Front) -> Json:
    """The event service."""
    del front
    return resource(
        SERVICE,
        "EventService.v1_7_0.EventService",
        "Event Service",
        ServiceEnabled=True,
        EventTypesForSubscription=_TYPES,
        Status=OK,
        Subscriptions=link(_SUBSCRIPTIONS),
        Actions=actions(SERVICE, "EventService.SubmitTestEvent"),
    )


def _list(front: Front) -> Json:
    found = front.part(Subscriptions).all
    return collection(_SUBSCRIPTIONS, "EventDestination", [f"{_SUBSCRIPTIONS}/{number}" for number in found])


async def _create(request: web.Request, front: Front) -> web.StreamResponse:
    body = await read(request)
    for name in ("Destination", "Protocol"):
        if not body.get(name):
            raise Refused(400, "PropertyMissing", name)
    if body["Protocol"] != "Redfish":
        raise Refused(400, "PropertyValueNotInList", str(body["Protocol"]), "Protocol")
    table = front.part(Subscriptions)
    table.count += 1
    number = str(table.count)
    path = f"{_SUBSCRIPTIONS}/{number}"
    secret = {"HttpHeaders": None} if "HttpHeaders" in body else {}
    table.all[number] = resource(
        path, "EventDestination.v1_10_0.EventDestination", f"Subscription {number}", **{**body, **secret}
    )
    return answer(table.all[number], status=201, headers={"Location": path})


def numbered(path: str, front: Front) -> Views | None:
    """The views of one subscription, None for any other path."""
    folder, _, number = path.rpartition("/")
    if folder != _SUBSCRIPTIONS:
        return None
    table = front.part(Subscriptions).all
    if number not in table:
        raise missing(path)

    async def deleting(request: web.Request, front: Front) -> web.StreamResponse:
        del request
        del front.part(Subscriptions).all[number]
        return no_content()

    return {**shown(lambda _: table[number]), "DELETE": deleting}


async def _test_event(front: Front, body: Json) -> None:
    front.part(eventlog.Log).add("OK", "Test Event", str(body.get("Message") or "A test event was submitted."))


def routes() -> dict[str, Views]:
    """Path -> views."""
    submit = f"{SERVICE}/Actions/EventService.SubmitTestEvent"
    return {SERVICE: shown(service), submit: action(_test_event), _SUBSCRIPTIONS: {**shown(_list), "POST": _create}}
