"""The API: its route table, which is the index of the product, and the ASGI application made of it.

One line per route: method, path, what answers, first microversion, policy rule, public or not. May not: hold logic.
Invariant: what is not in the table is not served.
"""

from __future__ import annotations

from ingot.api import dispatch
from ingot.api.routing import Route
from ingot.api.v1 import nodes, root
from ingot.services.deps import Deps

ROUTES: tuple[Route, ...] = (
    Route("GET", "/", root.index, 1, "public", public=True),
    Route("GET", "/v1", root.show, 1, "public", public=True),
    Route("GET", "/v1/nodes", nodes.index, 1, "baremetal:node:list"),
    Route("POST", "/v1/nodes", nodes.create, 1, "baremetal:node:create"),
    Route("GET", "/v1/nodes/detail", nodes.index_detail, 1, "baremetal:node:list"),
    Route("GET", "/v1/nodes/{node}", nodes.show, 1, "baremetal:node:get"),
    Route("PATCH", "/v1/nodes/{node}", nodes.change, 1, "baremetal:node:update"),
    Route("DELETE", "/v1/nodes/{node}", nodes.destroy, 1, "baremetal:node:delete"),
)


def build(deps: Deps) -> dispatch.App:
    """The ASGI application. Raises errors.Invalid when the settings would serve everyone without asking who it is."""
    return dispatch.App(deps, ROUTES)
