"""The command table: who may call what, inside or outside a session.

Why: privilege and completion codes are decided in one place for all commands.
May not: do a command's work. Invariant: an unknown command answers C1, a forbidden one D4.
"""

from __future__ import annotations

import dataclasses

from ingot_rack.ipmi import chassis, clear, commands, events, inventory, sensing, session, sol
from ingot_rack.ipmi.commands import Call, Command, Refusal


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """A command with the privilege it needs; 0 means that it is open to all, without a session."""

    command: Command
    privilege: int


USER, OPERATOR, ADMIN = session.PRIVILEGE_USER, session.PRIVILEGE_OPERATOR, session.PRIVILEGE_ADMINISTRATOR

TABLE: dict[tuple[int, int], Row] = {
    (0x00, 0x00): Row(chassis.chassis_capabilities, USER),
    (0x00, 0x01): Row(chassis.chassis_status, USER),
    (0x00, 0x02): Row(chassis.chassis_control, OPERATOR),
    (0x00, 0x04): Row(chassis.chassis_identify, OPERATOR),
    (0x00, 0x06): Row(chassis.set_restore_policy, OPERATOR),
    (0x00, 0x07): Row(chassis.restart_cause, USER),
    (0x00, 0x08): Row(chassis.set_boot_options, OPERATOR),
    (0x00, 0x09): Row(chassis.get_boot_options, OPERATOR),
    (0x04, 0x23): Row(sensing.factors, USER),
    (0x04, 0x25): Row(sensing.hysteresis, USER),
    (0x04, 0x27): Row(sensing.thresholds, USER),
    (0x04, 0x29): Row(sensing.events_enabled, USER),
    (0x04, 0x2B): Row(sensing.event_status, USER),
    (0x04, 0x2D): Row(sensing.reading, USER),
    (0x06, 0x01): Row(commands.device_id, USER),
    (0x06, 0x02): Row(commands.cold_reset, ADMIN),
    (0x06, 0x03): Row(commands.warm_reset, ADMIN),
    (0x06, 0x04): Row(commands.self_test, USER),
    (0x06, 0x08): Row(commands.device_guid, USER),
    (0x06, 0x37): Row(commands.device_guid, 0),
    (0x06, 0x38): Row(commands.channel_authentication, 0),
    (0x06, 0x39): Row(clear.challenge, 0),
    clear.ACTIVATE: Row(clear.activate, 0),
    (0x06, 0x3B): Row(commands.set_privilege, USER),
    (0x06, 0x3C): Row(commands.close_session, USER),
    (0x06, 0x42): Row(commands.channel_info, USER),
    (0x06, 0x44): Row(commands.user_access, OPERATOR),
    (0x06, 0x46): Row(commands.user_name, OPERATOR),
    (0x06, 0x48): Row(sol.activate, USER),
    (0x06, 0x49): Row(sol.deactivate, USER),
    (0x06, 0x4A): Row(sol.status, USER),
    (0x06, 0x54): Row(commands.channel_cipher_suites, 0),
    (0x0A, 0x10): Row(inventory.fru_area, USER),
    (0x0A, 0x11): Row(inventory.fru_read, USER),
    (0x0A, 0x20): Row(sensing.sdr_info, USER),
    (0x0A, 0x22): Row(sensing.sdr_reserve, USER),
    (0x0A, 0x23): Row(sensing.sdr_get, USER),
    (0x0A, 0x40): Row(events.info, USER),
    (0x0A, 0x42): Row(events.reserve, USER),
    (0x0A, 0x43): Row(events.entry, USER),
    (0x0A, 0x44): Row(events.add, OPERATOR),
    (0x0A, 0x47): Row(events.clear, OPERATOR),
    (0x0A, 0x48): Row(events.get_time, USER),
    (0x0A, 0x49): Row(events.set_time, OPERATOR),
    (0x0C, 0x02): Row(inventory.lan_parameter, OPERATOR),
    (0x0C, 0x22): Row(sol.parameter, USER),
}


async def run(netfn: int, command: int, call: Call) -> tuple[int, bytes]:
    """Carry out one command: completion code and answer data."""
    row = TABLE.get((netfn, command))
    if row is None:
        return commands.INVALID_COMMAND, b""
    if row.privilege and (call.session is None or call.session.privilege < row.privilege):
        return commands.NOT_ALLOWED, b""
    try:
        return commands.OK, await row.command(call)
    except Refusal as refusal:
        return refusal.code, b""
