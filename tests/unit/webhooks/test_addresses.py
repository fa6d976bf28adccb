"""Where events may be posted: the internet by https, configured networks, and no cloud metadata services."""

from __future__ import annotations

import pytest

from app.errors import Rejected
from app.webhooks.addresses import address_check, check_url
from config.settings import Settings

pytestmark = pytest.mark.one_database

NAMED = ("10.1.0.0/16", "127.0.0.0/8", "fd00:12::/32")


@pytest.fixture
def at(app, monkeypatch):
    """Runs in an app whose settings are these."""
    from contextlib import contextmanager

    @contextmanager
    def run(**values):
        settings = app.extensions["latchkey.settings"].model_copy(update={"environment": "production"} | values)
        monkeypatch.setitem(app.extensions, "latchkey.settings", settings)
        with app.app_context():
            yield

    return run


@pytest.mark.parametrize(
    ("address", "https", "http"),
    [
        ("93.184.215.14", True, False),
        ("2606:2800:21f:cb07::1", True, False),
        ("10.1.2.3", True, True),
        ("::ffff:10.1.2.3", True, True),
        ("127.0.0.1", True, True),
        ("fd00:12::7", True, True),
        ("10.2.0.1", False, False),
        ("::ffff:10.2.0.1", False, False),
        ("64:ff9b::10.2.0.1", False, False),
        ("192.168.1.1", False, False),
        ("fd00:13::7", False, False),
        ("::1", False, False),
        ("0.0.0.0", False, False),
        ("169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("224.0.0.1", False, False),
    ],
)
def test_only_public_or_configured_addresses_are_allowed(at, address, https, http):
    with at(webhook_networks=NAMED):
        assert (address_check("https")(address), address_check("http")(address)) == (https, http)


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "224.0.0.1", "0.0.0.0"])
def test_link_local_addresses_are_rejected_even_when_configured(at, address):
    with at(webhook_networks=("169.254.0.0/16", "fe80::/10", "224.0.0.0/4", "0.0.0.0/8")):
        assert not address_check("https")(address)
        assert not address_check("http")(address)


def test_localhost_is_allowed_only_in_development_or_when_configured(at):
    with at(environment="development"):
        assert check_url("http://localhost:9000/hooks") == "http://localhost:9000/hooks"
    with at(), pytest.raises(Rejected) as refused:
        check_url("http://localhost:9000/hooks")
    assert refused.value.code == "webhook_url_forbidden"
    with at(webhook_networks=("127.0.0.0/8",)):
        assert check_url("http://127.0.0.1:9000/") == "http://127.0.0.1:9000/"


def test_host_names_pass_url_check_until_they_are_resolved(at):
    with at():
        assert check_url("https://internal.example/x?y=1") == "https://internal.example/x?y=1"
        with pytest.raises(Rejected):
            check_url("http://internal.example/")
    with at(webhook_networks=NAMED):
        assert check_url("http://Internal.example./") == "http://internal.example/"
        assert check_url("https://[FD00:12::7]:8443/") == "https://[fd00:12::7]:8443/"


def test_webhook_networks_must_not_cover_everything():
    from config import checks

    found = checks.webhook_networks(Settings(webhook_networks="0.0.0.0/0"))
    assert [problem.setting for problem in found] == ["LATCHKEY_WEBHOOK_NETWORKS"]
    assert list(checks.webhook_networks(Settings(webhook_networks="10.0.0.0/8, ::1"))) == []
