"""Redfish on HTTP: answers, ETags, request bodies and the error bodies real BMCs send.

Why: headers and error shapes are the same for every resource (DSP0266, sections 6, 8 and 9).
May not: know a resource. Invariant: every refusal has an `error` body with a Base registry message.
"""

from __future__ import annotations

import hashlib
import json
from typing import cast

from aiohttp import web

from ingot_rack.redfish import naming
from ingot_rack.redfish.shapes import PLAIN, Shape

Json = dict[str, object]

BODY_LIMIT = 1 << 20
SHAPE = web.RequestKey("shape", Shape)
_HEADERS = {"OData-Version": "4.0", "Cache-Control": "no-cache", "Server": "IngotRack-BMC"}

_MESSAGES = {
    "GeneralError": "A general error has occurred. See ExtendedInfo for more information.",
    "NoValidSession": "There is no valid session established with the implementation.",
    "ResourceMissingAtURI": "The resource at the URI {0} was not found.",
    "OperationNotAllowed": "The HTTP method is not allowed on this resource.",
    "MalformedJSON": "The request body submitted was malformed JSON and could not be parsed by the receiving service.",
    "PropertyUnknown": "The property {0} is not in the list of valid properties for the resource.",
    "PropertyNotWritable": "The property {0} is a read only property and cannot be assigned a value.",
    "PropertyValueTypeError": "The value {0} for the property {1} is of a different type than the property can accept.",
    "PropertyValueFormatError": "The value {0} of the property {1} has a format that the property cannot accept.",
    "PropertyValueNotInList": "The value {0} for the property {1} is not in the list of acceptable values.",
    "PropertyMissing": "The property {0} is a required property and must be included in the request.",
    "ActionParameterMissing": "The action {0} requires the parameter {1} to be present in the request body.",
    "ActionParameterNotSupported": "The parameter {0} for the action {1} is not supported on the target resource.",
    "ActionParameterValueNotInList": "The value {0} for the parameter {1} in the action {2} is not acceptable.",
    "QueryNotSupported": "Querying is not supported by the implementation.",
    "PreconditionFailed": "The ETag supplied did not match the ETag required to change this resource.",
    "SessionLimitExceeded": "The session establishment failed: too many sessions are open at the same time.",
    "ServiceTemporarilyUnavailable": "The service is temporarily unavailable.  Retry in {0} seconds.",
    "InvalidOperationForSystemState": "The operation cannot be done while the system is in its present power state.",
    "ResourceAtUriUnauthorized": "While accessing {0}, the service received an authorization error {1}.",
    "CouldNotEstablishConnection": "The service failed to establish a connection with the URI {0}.",
    "ResourceInUse": "The change to the requested resource failed because the resource is in use or in transition.",
    "InternalError": "The request failed due to an internal service error.  The service is still operational.",
}


class Refused(Exception):
    """A request that is answered with an error body."""

    def __init__(self, status: int, message: str, *arguments: str, allow: str = "") -> None:
        self.status = status
        self.message = message
        self.arguments = arguments
        self.allow = allow
        super().__init__(f"{status} {message}")

    def response(self) -> web.Response:
        """The HTTP answer."""
        text = _MESSAGES[self.message].format(*self.arguments)
        info: Json = {
            "@odata.type": "#Message.v1_1_1.Message",
            "MessageId": f"Base.1.8.{self.message}",
            "Message": text,
            "MessageArgs": list(self.arguments),
            "Severity": "Critical",
            "Resolution": "Correct the request and submit it again.",
        }
        error: Json = {"code": f"Base.1.8.{self.message}", "message": text, "@Message.ExtendedInfo": [info]}
        headers = dict(_HEADERS)
        if self.status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="BMC"'
        if self.status == 503:
            headers["Retry-After"] = self.arguments[0] if self.arguments else "5"
        if self.allow:
            headers["Allow"] = self.allow
        return web.json_response({"error": error}, status=self.status, headers=headers)


def answer(body: Json, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A resource with its ETag."""
    text = json.dumps(body)
    extra = {"ETag": etag(body), **_described(body), **_HEADERS, **(headers or {})}
    return web.Response(text=text, status=status, headers=extra, content_type="application/json")


def _described(body: Json) -> dict[str, str]:
    """Where a resource's schema is. Source: DSP0266 section "Link header"."""
    kind = str(body.get("@odata.type", "")).removeprefix("#").rpartition(".")[0]
    return {"Link": f"<http://redfish.dmtf.org/schemas/v1/{kind}.json>; rel=describedby"} if kind else {}


def no_content() -> web.Response:
    """204."""
    return web.Response(status=204, headers=_HEADERS)


def etag(body: Json) -> str:
    """A strong tag of a resource's content."""
    return f'"{hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]}"'


async def read(request: web.Request) -> Json:
    """The request's JSON object, its paths in our words (``SHAPE`` says whose they were).

    Raises Refused for anything else.
    """
    raw = await request.read()
    if not raw:
        return {}
    try:
        body: object = json.loads(naming.body(raw.decode(), request.get(SHAPE, PLAIN)))
    except ValueError as error:
        raise Refused(400, "MalformedJSON") from error
    if not isinstance(body, dict):
        raise Refused(400, "MalformedJSON")
    return cast("Json", body)


def check_match(request: web.Request, body: Json) -> None:
    """Honour If-Match; raises Refused 412."""
    wanted = request.headers.get("If-Match")
    if wanted and wanted != "*" and etag(body) not in [tag.strip().removeprefix("W/") for tag in wanted.split(",")]:
        raise Refused(412, "PreconditionFailed")
