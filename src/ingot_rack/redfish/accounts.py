"""Who may use this BMC: its one account, and the roles that every service has. May not: change them."""

from __future__ import annotations

from ingot_rack.redfish.tree import OK, ROOT, Front, link, resource
from ingot_rack.redfish.views import Views, listed, shown
from ingot_rack.redfish.wire import Json

SERVICE = f"{ROOT}/AccountService"
_READ = ["Login", "ConfigureSelf"]
_OPERATE = [*_READ, "ConfigureComponents"]
ROLES = {
    "Administrator": [*_OPERATE, "ConfigureManager", "ConfigureUsers"],
    "Operator": _OPERATE,
    "ReadOnly": _READ,
}
"""DSP0266 section "Roles"."""


def service(front: Front) -> Json:
    """The account service."""
    faults = front.bmc.faults
    return resource(
        SERVICE,
        "AccountService.v1_10_0.AccountService",
        "Account Service",
        ServiceEnabled=True,
        AccountLockoutThreshold=faults.lockout_after,
        AccountLockoutDuration=int(faults.lockout_seconds) if faults.lockout_after else 0,
        Accounts=link(f"{SERVICE}/Accounts"),
        Roles=link(f"{SERVICE}/Roles"),
        Status=OK,
    )


def account(front: Front) -> Json:
    """The one account."""
    return resource(
        f"{SERVICE}/Accounts/1",
        "ManagerAccount.v1_8_0.ManagerAccount",
        "User Account",
        UserName=front.bmc.user,
        Password=None,
        RoleId="Administrator",
        Enabled=True,
        Locked=front.bmc.locked_out,
        AccountTypes=["Redfish"],
        Links={"Role": link(f"{SERVICE}/Roles/Administrator")},
    )


def _role(name: str) -> Views:
    path = f"{SERVICE}/Roles/{name}"
    members = {"IsPredefined": True, "RoleId": name, "AssignedPrivileges": ROLES[name], "OemPrivileges": []}
    return shown(lambda _: resource(path, "Role.v1_3_0.Role", f"{name} Role", **members))


def routes() -> dict[str, Views]:
    """Path -> views."""
    return {
        SERVICE: shown(service),
        f"{SERVICE}/Accounts": listed(f"{SERVICE}/Accounts", "ManagerAccount", "1"),
        f"{SERVICE}/Accounts/1": shown(account),
        f"{SERVICE}/Roles": listed(f"{SERVICE}/Roles", "Role", *ROLES),
        **{f"{SERVICE}/Roles/{name}": _role(name) for name in ROLES},
    }
