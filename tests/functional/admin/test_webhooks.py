"""/admin/webhooks: add and view endpoints, create new secrets, retry failed deliveries."""

from __future__ import annotations

import re

import pytest

from app.audit import Event
from app.webhooks.models import WebhookDelivery, WebhookEndpoint

URL = "https://hooks.example.com/in?key=abc"


@pytest.fixture
def add(console):
    """Adds an endpoint; returns the answer."""
    return lambda **fields: console.post(
        "/admin/webhooks", **({"url": URL, "events": "account.* session.ended"} | fields)
    )


@pytest.fixture
def place(add, rows) -> str:
    """The page of an endpoint."""
    assert add().status == 200
    return f"/admin/webhooks/{rows(WebhookEndpoint)[0].id}"


def test_created_webhook_endpoint_shows_its_secret_once(console, add, rows):
    answer = add()
    secret = re.search(r"whsec_[A-Za-z0-9+/=]+", answer.text)[0]
    [row] = rows(WebhookEndpoint)
    assert row.pattern_list == ["account.*", "session.ended"]
    for path in ("/admin/webhooks", f"/admin/webhooks/{row.id}"):
        shown = console.get(path)
        assert shown.status == 200
        assert "hooks.example.com/in" in shown.text
        assert secret not in shown.text
        assert "key=abc" not in shown.text
    assert [event.name for event in rows(Event) if "webhook" in event.name] == [
        "webhook.created",
        "admin.webhook_created",
    ]


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"url": "ftp://hooks.example.com"}, "webhook_url_invalid"),
        ({"url": ""}, "required"),
        ({"events": ""}, "webhook_events_missing"),
        ({"events": " , "}, "webhook_events_missing"),
        ({"events": "nothing.*"}, "webhook_event_unknown"),
    ],
)
def test_invalid_webhook_endpoint_is_rejected(add, rows, fields, code):
    answer = add(**fields)
    assert (answer.status, answer.codes) == (400, [code])
    assert rows(WebhookEndpoint) == []


def test_webhook_events_may_be_a_json_list(json_wire, console, add, rows):
    if console.language == "json":
        assert add(events=["account.created", "session.*"]).status == 200
        assert rows(WebhookEndpoint)[0].pattern_list == ["account.created", "session.*"]


def test_webhook_endpoint_can_be_disabled_enabled_and_deleted(console, place, rows):
    assert console.post(f"{place}/disable").ok
    assert rows(WebhookEndpoint)[0].disabled_reason == "operator"
    assert console.post(f"{place}/enable").ok
    assert rows(WebhookEndpoint)[0].disabled_at is None
    assert console.post(f"{place}/delete").codes == ["person_unsure"]
    assert console.post(f"{place}/delete", sure=True).ok
    assert console.get(place).status == 404
    acts = [event.name for event in rows(Event) if event.name.startswith("admin.webhook")]
    assert acts == [f"admin.webhook_{act}" for act in ("created", "disabled", "enabled", "deleted")]


def test_rotating_the_webhook_secret_creates_a_new_one(console, add, rows):
    secrets = re.findall(r"whsec_[A-Za-z0-9+/=]+", add().text)
    place = f"/admin/webhooks/{rows(WebhookEndpoint)[0].id}"
    secrets += re.findall(r"whsec_[A-Za-z0-9+/=]+", console.post(f"{place}/rotate-secret").text)
    assert len(set(secrets)) == 2
    assert rows(WebhookEndpoint)[0].old_secret_until is not None


def test_webhook_test_is_queued_and_listed(console, place, rows):
    assert console.post(f"{place}/test").ok
    assert "webhook.test" in console.get(f"{place}?state=waiting").text
    assert '<code class="breakable">webhook.test' not in console.get(f"{place}?state=abandoned").text
    [row] = rows(WebhookDelivery)
    assert row.state == "waiting"
    assert console.post(f"{place}/retry").ok


@pytest.mark.parametrize("query", ["?state=x", "?before=x", "?before=-1", "?before=9999999999999999999", "?state=%00"])
def test_invalid_delivery_filter_is_rejected(console, place, query):
    assert console.get(place + query).status == 400


@pytest.mark.parametrize("endpoint_id", ["x", "0" * 32, "%00", "A" * 5000])
def test_unknown_webhook_endpoint_returns_404(console, endpoint_id):
    assert console.get(f"/admin/webhooks/{endpoint_id}").status == 404
    assert console.post(f"/admin/webhooks/{endpoint_id}/disable").status == 404


def test_webhook_deliveries_are_paginated(json_wire, console, place, monkeypatch):
    monkeypatch.setattr("app.admin.webhook_views.SHOWN", 2)
    for _ in range(5):
        console.post(f"{place}/test")
    if console.language == "json":
        seen, before = [], ""
        for _ in range(4):
            answer = console.get(f"{place}?before={before}").json
            seen += [row["id"] for row in answer["deliveries"]]
            before = answer["before"] or ""
            if not before:
                break
        assert seen == sorted(seen, reverse=True)
        assert len(seen) == 5
