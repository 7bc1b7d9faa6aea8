from __future__ import annotations

import pytest

from ingot_agent import settings


def test_reads_what_ironic_puts_on_the_command_line() -> None:
    text = (
        "BOOT_IMAGE=x root=/dev/ram0 ipa-api-url=http://10.0.0.1:6385/ ipa-debug=1 BOOTIF=01-52-54-00-AB-cd-ef "
        'ipa-inspection-callback-url="http://10.0.0.1/v1/continue_inspection" ipa-agent-token=secret ipa-insecure=true'
    )
    found = settings.from_cmdline(text)
    assert found.api_url == "http://10.0.0.1:6385"
    assert found.boot_mac == "52:54:00:ab:cd:ef"
    assert found.inspection_callback_url == "http://10.0.0.1/v1/continue_inspection"
    assert (found.agent_token, found.debug, found.insecure) == ("secret", True, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", ""), ("52:54:00:00:00:01", "52:54:00:00:00:01"), ("01-aa-bb-cc-dd-ee-ff", "aa:bb:cc:dd:ee:ff")],
)
def test_bootif(text: str, expected: str) -> None:
    assert settings.boot_mac(text) == expected


def test_nonsense_numbers_fall_back() -> None:
    assert settings.from_cmdline("ipa-lookup-timeout=soon ipa-listen-port=x").lookup_timeout == 600
    odd = settings.from_cmdline("ipa-listen-port=nan ipa-advertise-port=inf ipa-inject-files-priority=nan")
    assert (odd.listen_port, odd.advertise_port, odd.inject_files_priority) == (9999, 9999, 0)
    assert settings.from_cmdline("ipa-inject-files-priority=700").inject_files_priority == 99
    assert settings.from_cmdline('quoted="a b" ipa-listen-port=1234').advertise_port == 1234
