"""What tells a client what a service is before it logs in: versions, the OData documents, the schemas of resources.

May not: know a machine. Invariant: all of it is read without credentials (DSP0266 section "OData service and metadata
document requests").
"""

from __future__ import annotations

from typing import cast

from aiohttp import web

from ingot_rack.redfish.tree import ROOT, Front, root
from ingot_rack.redfish.views import Views, shown
from ingot_rack.redfish.wire import Json, Refused

METADATA = f"{ROOT}/$metadata"
OPEN = {"/redfish", ROOT, f"{ROOT}/", f"{ROOT}/odata", METADATA}
_EDMX = """<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">
  <edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/ServiceRoot_v1.xml">
    <edmx:Include Namespace="ServiceRoot"/>
    <edmx:Include Namespace="ServiceRoot.v1_9_0"/>
  </edmx:Reference>
  <edmx:DataServices>
    <Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="Service">
      <EntityContainer Name="Service" Extends="ServiceRoot.v1_9_0.ServiceContainer"/>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>
"""


def check_version(request: web.Request, *, expands: bool) -> None:
    """Raise Refused for another version of OData than ours, and for what of its questions is not understood.

    Source: DSP0266 sections "Request headers" and "Query parameters".
    """
    if request.headers.get("OData-Version", "4.0") != "4.0":
        raise Refused(412, "GeneralError")
    known = {"$expand"} if expands else set[str]()
    unknown = [name for name in request.query if name.startswith("$") and name not in known]
    if unknown:
        raise Refused(501, "QueryNotSupported")


def _service(front: Front) -> Json:
    """The service document: the root, and what it links to."""
    linked = {name: cast("Json", value) for name, value in root(front).items() if isinstance(value, dict)}
    paths = {name: one["@odata.id"] for name, one in linked.items() if "@odata.id" in one}
    value = [{"name": name, "kind": "Singleton", "url": url} for name, url in {"Service": f"{ROOT}/", **paths}.items()]
    return {"@odata.context": METADATA, "value": value}


async def _metadata(request: web.Request, front: Front) -> web.StreamResponse:
    del request, front
    headers = {"OData-Version": "4.0", "Cache-Control": "no-cache"}
    return web.Response(text=_EDMX, content_type="application/xml", charset="utf-8", headers=headers)


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {
        "/redfish": shown(lambda _: {"v1": f"{ROOT}/"}),
        ROOT: shown(root),
        f"{ROOT}/odata": shown(_service),
        METADATA: {"GET": _metadata},
    }
