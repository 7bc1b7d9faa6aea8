"""The account of a rescued machine: nobody but its user gets in, and no file of it is open to others."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingot_agent import errors, rescue, settings

HASH = "$6$saltsalt$" + "a" * 86
KEY = "ssh-ed25519 AAAA ada"


def test_the_account_is_complete_and_closed_to_others(tmp_path: Path) -> None:
    for _ in range(2):
        rescue.write_account(HASH, [KEY + "\n", KEY], str(tmp_path))
    assert (tmp_path / "etc/passwd").read_text().splitlines() == [
        "root:*:0:0:root:/root:/bin/sh",
        "rescue:x:0:0:rescue:/root:/bin/sh",
    ]
    assert (tmp_path / "etc/shadow").read_text() == f"rescue:{HASH}:19000:0:99999:7:::\n"
    keys = tmp_path / "root/.ssh/authorized_keys"
    assert keys.read_text() == f"{KEY}\n{KEY}\n"
    assert [oct(one.stat().st_mode & 0o777) for one in (tmp_path / "etc/shadow", keys, keys.parent)] == [
        "0o600",
        "0o600",
        "0o700",
    ]


@pytest.mark.parametrize(
    ("hashed", "keys"),
    [("clear", []), (f"{HASH}:0:\nroot::0", []), (f"{HASH}\n", []), (HASH, [f"{KEY}\nevil"]), (HASH, [" "])],
)
def test_what_would_write_another_line_is_refused(tmp_path: Path, hashed: str, keys: list[str]) -> None:
    with pytest.raises(errors.InvalidCommandParams):
        rescue.open_login(hashed, keys, settings.Roots(run=str(tmp_path), top=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []
