"""Secure boot: a switch that acts at the machine's next start, and keys that can be reset."""

from __future__ import annotations

from aiohttp import web

from ingot_rack.hardware import BootMode
from ingot_rack.redfish.tree import SYSTEM, Front, actions, missing, resource
from ingot_rack.redfish.views import Views, action, shown
from ingot_rack.redfish.wire import Json, Refused, answer, check_match, read

PATH = f"{SYSTEM}/SecureBoot"
_RESETS = ("ResetAllKeysToDefault", "DeleteAllKeys", "DeletePK")


class State:
    """What is switched and which keys there are; ``was``: in force since the machine's last start."""

    def __init__(self, front: Front) -> None:
        self._bmc = front.bmc
        self.wanted = False
        self._was = False
        self._since = 0
        self.keys = "default"

    @property
    def was(self) -> bool:
        """What the running machine was started with."""
        if self._bmc.starts > self._since:
            self._was = self.wanted
        return self._was

    def switch(self, *, on: bool) -> None:
        """From the next start on."""
        self._was, self._since = self.was, self._bmc.starts
        self.wanted = on


def secure_boot(front: Front) -> Json:
    """The SecureBoot resource; raises Refused 404 on a BIOS machine."""
    if front.bmc.hardware.facts.firmware is not BootMode.UEFI:
        raise missing(PATH)
    state = front.part(State)
    return resource(
        PATH,
        "SecureBoot.v1_1_0.SecureBoot",
        "UEFI Secure Boot",
        SecureBootEnable=state.wanted,
        SecureBootCurrentBoot="Enabled" if state.was else "Disabled",
        SecureBootMode="SetupMode" if state.keys == "none" else "UserMode",
        Actions=actions(PATH, "SecureBoot.ResetKeys"),
    )


async def _patch(request: web.Request, front: Front) -> web.StreamResponse:
    check_match(request, secure_boot(front))
    body = await read(request)
    wanted = body.get("SecureBootEnable")
    if set(body) - {"SecureBootEnable"} or not isinstance(wanted, bool):
        raise Refused(400, "PropertyValueTypeError", str(wanted), "SecureBootEnable")
    front.part(State).switch(on=wanted)
    return answer(secure_boot(front))


async def _reset_keys(front: Front, body: Json) -> None:
    kind = body.get("ResetKeysType")
    if kind not in _RESETS:
        raise Refused(400, "ActionParameterValueNotInList", str(kind), "ResetKeysType", "SecureBoot.ResetKeys")
    front.part(State).keys = "default" if kind == _RESETS[0] else "none"


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {
        PATH: {**shown(secure_boot), "PATCH": _patch},
        f"{PATH}/Actions/SecureBoot.ResetKeys": action(_reset_keys),
    }
