"""What is secret: by the name of its key, and credentials inside URLs."""

from __future__ import annotations

import time

import pytest

from ingot.domain import secrets


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://u:p@host/x", "http://******@host/x"),
        ("https://u:p@ss@host/x", "https://******@host/x"),
        ("oci+http://u:@host", "oci+http://******@host"),
        ("https://host/x?a=1&X-Amz-Signature=abc&b=2", "https://host/x?a=1&X-Amz-Signature=******&b=2"),
        ("https://host/x?temp_url_sig=abc#f", "https://host/x?temp_url_sig=******#f"),
        ("http://u:p@host/x?token=abc", "http://******@host/x?token=******"),
        ("qemu+ssh://root@host/system", "qemu+ssh://root@host/system"),
        ("https://host/a:b@c", "https://host/a:b@c"),
        ("https://[::1]:80/x", "https://[::1]:80/x"),
        ("file:///x", "file:///x"),
    ],
)
def test_what_of_a_url_may_be_shown(url: str, shown: str) -> None:
    assert secrets.without_credentials(url) == shown
    assert secrets.without_credentials(shown) == shown
    public, hidden = secrets.split({"image_source": url, "deep": [{"url": url}]}, {}, instance=True)
    assert public == {"image_source": shown, "deep": [{"url": shown}]}
    assert secrets.merge(public, hidden) == {"image_source": url, "deep": [{"url": url}]}
    again, kept = secrets.split(public, hidden, instance=True)
    assert secrets.merge(again, kept) == {"image_source": url, "deep": [{"url": url}]}, "written back, it is unchanged"


def test_a_new_url_takes_the_old_ones_place() -> None:
    _, hidden = secrets.split({"image_source": "http://u:p@host/x"}, {})
    public, kept = secrets.split({"image_source": "http://u:q@host/x"}, hidden)
    assert secrets.merge(public, kept) == {"image_source": "http://u:q@host/x"}
    public, kept = secrets.split({"image_source": "http://host/x"}, hidden)
    assert (public, kept) == ({"image_source": "http://host/x"}, {})


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nomodeset rootpwd password=x quiet", "nomodeset rootpwd password=****** quiet"),
        ('{"url": "http://h", "password": "x"}', '{"url": "http://h", "password": "******"}'),
        ('{"url":"http://h","password":"x"}', '{"url":"http://h","password":"******"}'),
        ("password=x://y", "password=******"),
        ("log --token x to http://h", "log --token ****** to http://h"),
        ("https://h/?token=x&b=2", "https://h/?token=******&b=2"),
        ("a token of ours", "a token of ours"),
    ],
)
def test_what_of_a_text_may_be_shown(text: str, shown: str) -> None:
    public, hidden = secrets.split({"words": text}, {})
    assert public == {"words": shown}
    assert secrets.merge(public, hidden) == {"words": text}
    assert secrets.merge(*secrets.split(public, hidden)) == {"words": text}, "written back, it is unchanged"


@pytest.mark.parametrize(
    "key",
    [
        *("ipmi_password", "redfish_password", "snmp_auth_key", "snmp_priv_key", "ipmi_hex_kg_key", "http_token"),
        *("irmc_admin_pass", "adminPass", "new_pass", "sys_pswd", "encrypted_key", "ssh_private_key", "sslkey"),
    ],
)
def test_keys_whose_values_upstream_masks_are_secret(key: str) -> None:
    assert secrets.split({key: "x"}, {}) == ({key: secrets.MASK}, {key: "x"})


def test_a_secret_stays_with_its_item_when_a_list_is_changed() -> None:
    """Known in clear, items are found again by their looks; a newcomer without a secret of its own gets nobody's."""
    old = {"steps": [{"step": "a", "args": {"password": "pa"}}, {"step": "b", "args": {"password": "pb"}}]}
    shown = secrets.split(old, {})[0]
    first, second = shown["steps"]
    new = {"step": "c", "args": {"password": secrets.MASK}}
    for steps, passwords in (
        ([second], ["pb"]),
        ([second, first], ["pb", "pa"]),
        ([first, new, second], ["pa", secrets.MASK, "pb"]),
        ([{**first, "priority": 1}, second], ["pa", "pb"]),
        ([second, new], ["pb", secrets.MASK]),
    ):
        whole = secrets.merge(*secrets.split({"steps": steps}, old))
        assert [one["args"]["password"] for one in whole["steps"]] == passwords


def test_long_lists_cost_their_length_and_not_its_square() -> None:
    """Whoever may change a node's fields would otherwise keep the database's one writer busy for minutes."""
    long = list(range(60_000))
    began = time.process_time()
    assert secrets.split({"list": long}, {"list": long[::-1]}) == ({"list": long}, {})
    assert time.process_time() - began < 15


@pytest.mark.parametrize("text", [":" * 200_000, "x" + "?" * 200_000, "x?" + "sig" * 100_000, "x" + "?sig" * 100_000])
def test_a_long_url_is_masked_in_the_time_of_its_length(text: str) -> None:
    """Nothing else goes on in the process meanwhile."""
    began = time.process_time()
    assert secrets.without_credentials(f"http://{text}&token=t") == f"http://{text}&token={secrets.MASK}"
    assert time.process_time() - began < 15
