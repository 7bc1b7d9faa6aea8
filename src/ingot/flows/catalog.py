"""Which definition runs which kind of run."""

from __future__ import annotations

from ingot.domain import runs
from ingot.flows.adopt import Adopt
from ingot.flows.clean import Clean
from ingot.flows.deploy import Deploy
from ingot.flows.flow import Flow
from ingot.flows.inspect import Inspect
from ingot.flows.order import Order
from ingot.flows.power import Power
from ingot.flows.rescue import Rescue, Unrescue
from ingot.flows.service import Service
from ingot.flows.tear_down import TearDown
from ingot.flows.verify import Verify


def flows() -> dict[runs.Kind, Flow]:
    """Every definition by kind."""
    return {
        runs.Kind.VERIFY: Verify(),
        runs.Kind.INSPECT: Inspect(),
        runs.Kind.CLEAN: Clean(),
        runs.Kind.DEPLOY: Deploy(),
        runs.Kind.TEAR_DOWN: TearDown(),
        runs.Kind.POWER: Power(),
        runs.Kind.ORDER: Order(),
        runs.Kind.ADOPT: Adopt(),
        runs.Kind.RESCUE: Rescue(),
        runs.Kind.UNRESCUE: Unrescue(),
        runs.Kind.SERVICE: Service(),
    }
