"""Limits by IP address: what counts as one client, in every notation."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app import throttling
from app.errors import Rejected
from app.throttling import counters
from app.throttling.by_ip import WIDER_NETWORK_FACTOR

pytestmark = [
    pytest.mark.settings(starts_per_address=3, failures_per_address=3, address_shared_share=2),
    pytest.mark.one_database,
]


@pytest.fixture
def taken(app):
    """Takes from the limit for each of these addresses in order, and returns how many were allowed."""

    def take(addresses) -> int:
        given = 0
        with app.app_context():
            for address in addresses:
                try:
                    throttling.take("starts", address)
                    given += 1
                except Rejected:
                    continue
        return given

    return take


@pytest.mark.parametrize(
    ("addresses", "given"),
    [
        (["192.0.2.7"] * 5, 3),
        ([f"192.0.2.{host}" for host in range(5)], 5),
        (["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207", "0:0:0:0:0:ffff:192.0.2.7", "192.0.2.7"], 3),
        ([f"64:ff9b::192.0.2.{host}" for host in range(5)], 5),
        (["192.0.2.7", "64:ff9b::192.0.2.7", "64:ff9b::c000:207", "64:ff9b::192.0.2.7"], 3),
        ([f"2001:db8:1:2::{host:x}" for host in range(1, 6)], 3),
        (["2001:db8:1:2::1", "2001:DB8:1:2::2", "2001:0db8:0001:0002:0:0:0:3", "2001:db8:1:2:ffff::"], 3),
        ([f"2001:db8:1:{net:x}::1" for net in range(40)], 3 * WIDER_NETWORK_FACTOR),
        ([f"2001:db8:{site:x}::1" for site in range(40)], 40),
        (["", "unknown", "a", "192.0.2.300", "1.2.3", "::g", "192.0.2.7:80", "[::1]", "fe80::1%eth0" * 9], 2),
    ],
    ids=[
        "one",
        "several",
        "mapped",
        "translated",
        "translated once",
        "a 64",
        "written differently",
        "a 48",
        "many 48s",
        "unreadable",
    ],
)
def test_equivalent_addresses_share_a_limit(taken, addresses, given):
    assert taken(addresses) == given


def test_ipv6_zone_does_not_change_the_caller(taken):
    assert taken(["fe80::1%eth0", "fe80::1%eth1", "fe80::1%x", "fe80::1"]) == 3


def test_exhausted_ipv6_48_is_not_stored_per_64(app, taken):
    assert taken(f"2001:db8:1:{net:x}::1" for net in range(1000)) == 3 * WIDER_NETWORK_FACTOR
    with app.app_context():
        remembered = app.extensions["latchkey.counters"].local.storage.reset()
    assert remembered <= 3 * WIDER_NETWORK_FACTOR + 2, "the /64s that had a turn, their /48, and that it was told"


def test_limit_holds_for_concurrent_first_requests(app, monkeypatch):
    """They run concurrently, and each would create the counter."""

    class SlowlyMade(counters.Counters):
        def __init__(self, *arguments) -> None:
            time.sleep(0.05)
            super().__init__(*arguments)

    def take(_) -> bool:
        with app.app_context():
            try:
                throttling.take("clients", "192.0.2.7")
            except Rejected:
                return False
            return True

    monkeypatch.setattr(counters, "Counters", SlowlyMade)
    app.extensions.pop("latchkey.counters", None)
    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(take, range(6))) == 3
