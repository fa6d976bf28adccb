"""``flask webhooks``, and webhook endpoints in ``flask doctor`` and ``flask keys``."""

from __future__ import annotations

import base64
import json
import re

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.audit import Event
from app.webhooks import cleanup
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from tests.databases import KEY
from tests.signed_in import sign_in
from tests.wire import Wire

SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{43}=")


@pytest.fixture
def ada(people):
    return people.open(email="ada@example.com", methods=["email"])


@pytest.fixture
def created(operate, receiver):
    """An endpoint that was added by the command: its id and secret."""
    found = json.loads(operate("create", receiver.url, "--event", "sign_in.*", "--event", "account.created", "--json"))
    return found["id"], found["secret"]


def test_create_prints_the_secret_only_once(operate, receiver, rows):
    printed = operate("create", receiver.url, "--event", "session.*")
    secret = SECRET.search(printed)[0]
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    (row,) = rows(WebhookEndpoint)
    for again in (operate("list"), operate("show", row.id), operate("show", row.id, "--json"), row.secret):
        assert "whsec_" not in again
        assert secret.removeprefix("whsec_") not in again
    assert [event.facts for event in rows(Event, name="webhook.created")] == [{"endpoint": row.id, "by": "operator"}]


@pytest.mark.both_databases
def test_list_and_show_print_the_endpoint_without_its_url_query(operate, created, receiver):
    endpoint_id, _ = created
    listed = operate("list")
    assert endpoint_id in listed
    assert "key=k" not in listed  # receivers put secrets of theirs there
    facts = json.loads(operate("show", endpoint_id, "--json"))
    assert (facts["url"], facts["events"], facts["state"]) == (
        receiver.url,
        ["sign_in.*", "account.created"],
        "enabled",
    )
    assert "session.ended" in operate("events")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://example.com/", "LATCHKEY_WEBHOOK_NETWORKS"),
        ("https://10.0.0.7/", "LATCHKEY_WEBHOOK_NETWORKS"),
        ("https://169.254.169.254/latest", "LATCHKEY_WEBHOOK_NETWORKS"),
        ("https://[::ffff:10.0.0.7]/", "LATCHKEY_WEBHOOK_NETWORKS"),
        ("https://user:password@example.com/", "without a username"),
        ("https://example.com/#part", "fragment"),
        ("ftp://example.com/", "https://"),
        ("example.com/hooks", "https://"),
        ("https:///hooks", "https://"),
        ("https://example.com/ a", "https://"),
        ("https://example.com:99999/", "https://"),
        ("https://" + "a" * 64 + ".example/", "https://"),
        ("https://example.com/" + "a" * 2000, "https://"),
        ("https://example..com/", "https://"),
    ],
)
def test_invalid_endpoint_url_is_rejected_with_a_remedy(operate, rows, url, says):
    assert says in operate("create", url, "--event", "*", fails=1)
    assert rows(WebhookEndpoint) == []


@pytest.mark.parametrize("event", ["session.*.x", "sesion.*", "session", "", "**", "SESSION.*", "webhook.test", ".*"])
def test_unknown_event_pattern_is_rejected(operate, receiver, rows, event):
    assert "There's no event" in operate("create", receiver.url, "--event", event, fails=1)
    assert rows(WebhookEndpoint) == []


def test_internationalized_host_is_stored_as_punycode(operate, rows):
    operate("create", "https://Bücher.example/Hooks", "--event", "*")
    assert rows(WebhookEndpoint)[0].url == "https://xn--bcher-kva.example/Hooks"


@pytest.mark.parametrize("command", ["show", "rotate-secret", "disable", "enable", "test", "deliveries"])
def test_unknown_endpoint_id_is_reported(operate, command):
    assert "There's no such endpoint." in operate(command, "nobody", fails=1)


@pytest.mark.both_databases
def test_unknown_ids_are_reported_by_delete_change_and_retry(operate):
    assert "There's no such endpoint." in operate("delete", "nobody", "--yes", fails=1)
    assert "There's no such endpoint." in operate("change", "nobody", "--event", "*", fails=1)
    assert "There's no such endpoint." in operate("retry", "--failed", "nobody", fails=1)
    assert "0 deliveries" in operate("retry", "12", "msg_unknown", "99999999999999999999", "²", fails=1)


def test_both_secrets_sign_during_the_rotation_overlap(app, operate, created, ada, receiver, posted, clock):
    endpoint_id, old = created
    new = SECRET.search(operate("rotate-secret", endpoint_id))[0]
    sign_in(Wire(app, "form"), ada)
    (hook,) = posted()
    assert len(hook.headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(hook.body, hook.headers)
    clock.shift(86401)
    sign_in(Wire(app, "form"), ada)
    (hook,) = posted()
    assert signs(new, hook)
    assert not signs(old, hook)


def signs(secret, hook) -> bool:
    """Return whether a receiver with this secret would accept it, ignoring the time, which tests shift."""
    from app.webhooks.signatures import signature

    key = base64.b64decode(secret.removeprefix("whsec_"))
    made = signature([key], hook.id, int(hook.headers["webhook-timestamp"]), hook.body)
    return made in hook.headers["webhook-signature"].split(" ")


@pytest.mark.both_databases
def test_rotation_without_overlap_drops_the_old_secret_at_once(app, operate, created, ada, receiver, posted):
    endpoint_id, old = created
    new = SECRET.search(operate("rotate-secret", endpoint_id, "--overlap", "0"))[0]
    sign_in(Wire(app, "form"), ada)
    (hook,) = posted()
    Webhook(new).verify(hook.body, hook.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(hook.body, hook.headers)


@pytest.mark.both_databases
def test_endpoint_secrets_are_reencrypted_by_key_rotation(app, make_app, operate, created, ada, receiver, post_due):
    new_key = "for-tests-alone-too-9c2e5d71a8f04b36b7d0c3e1f6a59824"
    endpoint_id, old = created
    new = SECRET.search(operate("rotate-secret", endpoint_id))[0]
    rotating = make_app(secret_keys=f"{new_key},{KEY}")
    result = rotating.test_cli_runner().invoke(args=["keys", "rotate"])
    assert result.exit_code == 0, result.output
    alone = make_app(secret_keys=new_key)
    with alone.app_context():
        from app.extensions import db
        from app.webhooks import endpoints, signatures

        row = endpoints.get_endpoint(endpoint_id)
        found = [signatures.encoded(secret) for secret in signatures.secrets_of(row, row.created_at)]
        db.session.remove()
    assert found == [new, old]


@pytest.mark.both_databases
def test_endpoint_can_be_disabled_enabled_changed_and_deleted(
    app, operate, created, ada, receiver, other_receiver, posted, rows
):
    endpoint_id, _ = created
    assert "disabled." in operate("disable", endpoint_id)
    assert "already disabled" in operate("disable", endpoint_id)
    sign_in(Wire(app, "form"), ada)
    assert posted() == []
    assert "enabled." in operate("enable", endpoint_id)
    assert "already enabled" in operate("enable", endpoint_id)
    assert posted() == []  # what happened meanwhile was not kept
    operate("change", endpoint_id, "--url", other_receiver.url, "--event", "session.*")
    browser = sign_in(Wire(app, "form"), ada)
    browser.post("/logout")
    assert posted() == []
    assert other_receiver.types == ["session.ended"]
    operate("delete", endpoint_id, "--yes")
    assert "There's no such endpoint." in operate("show", endpoint_id, fails=1)
    assert endpoint_id not in operate("list")
    (row,) = rows(WebhookEndpoint)
    assert (row.url, row.secret) == ("", "")
    with app.app_context():
        assert cleanup.prune_deleted_endpoints() == 0  # deleting the row would delete all its deliveries
        run_cleanups()
    assert (rows(WebhookEndpoint), rows(WebhookDelivery)) == ([], [])
    names = [event.name for event in rows(Event) if event.name.startswith("webhook.")]
    assert names == ["webhook.created", "webhook.disabled", "webhook.enabled", "webhook.changed", "webhook.deleted"]


def run_cleanups():
    """Run those of the endpoints as the worker does, until nothing is left."""
    from app.db.retention import registered_cleanups

    ours = [each for each in registered_cleanups() if "webhooks" in each.__module__]
    assert len(ours) == 4
    for each in ours:
        while each():
            pass


def test_change_without_options_is_rejected(operate, created):
    assert "--url or --event" in operate("change", created[0], fails=2)


@pytest.mark.both_databases
def test_test_command_posts_a_sample_once_and_reports_the_response(operate, created, receiver, rows):
    endpoint_id, secret = created
    assert "answered 204." in operate("test", endpoint_id)
    (hook,) = receiver.hooks
    assert Webhook(secret).verify(hook.body, hook.headers)["type"] == "webhook.test"
    receiver.answers = [404, 302]
    assert "answered 404. -> Check the path" in operate("test", endpoint_id, fails=1)
    operate("disable", endpoint_id)
    assert "redirects 302. -> Change its URL" in operate("test", endpoint_id, fails=1)
    assert [row.state for row in rows(WebhookDelivery)] == ["sent", "abandoned", "abandoned"]  # a sample is tried once


@pytest.mark.both_databases
def test_deliveries_are_listed_and_can_be_retried(app, operate, created, ada, receiver, posted, rows):
    assert "No deliveries." in operate("deliveries")
    receiver.answers = [400]
    sign_in(Wire(app, "form"), ada)
    (hook,) = posted()
    (line,) = operate("deliveries", created[0]).splitlines()[1:]
    assert re.search(rf"{hook.id} +sign_in.succeeded +waiting +1 +400 +20\S+Z +answered 400", line)
    (facts,) = map(json.loads, operate("deliveries", "--json").splitlines())
    assert (facts["webhook_id"], facts["last_status"]) == (hook.id, 400)
    assert "ada@example.com" not in json.dumps(facts)
    assert "1 delivery will" in operate("retry", str(facts["id"]))
    (again,) = posted()
    assert (again.id, again.body) == (hook.id, hook.body)
    assert "No deliveries." in operate("deliveries", "--state", "waiting")
    assert "1 delivery will" in operate("retry", hook.id)
    assert len(posted()) == 1
    assert "0 deliveries will" in operate("retry", "--failed", created[0])
    assert "by their IDs" in operate("retry", fails=2)


@pytest.mark.both_databases
def test_retry_failed_resends_all_failed_deliveries(app, operate, created, ada, receiver, posted, rows, clock):
    receiver.answers = [500]
    sign_in(Wire(app, "form"), ada)
    posted()
    assert "1 delivery will" in operate("retry", "--failed", created[0])
    assert len(posted()) == 1  # its rest is over as well


def doctor(app):
    printed = app.test_cli_runner().invoke(args=["doctor"]).output
    return [line for line in printed.splitlines() if " webhooks " in line]


@pytest.mark.both_databases
def test_doctor_reports_failing_and_disabled_endpoints(app, operate, created, ada, receiver, posted):
    assert [line.split()[0] for line in doctor(app)] == ["ok"]
    receiver.answers = [500, 410]
    sign_in(Wire(app, "form"), ada)
    posted()
    failing, _ = doctor(app)
    assert re.search(
        rf"note +webhooks +endpoint {created[0]} has accepted nothing since .* answered 500; 1 waiting", failing
    )
    operate("retry", "--failed", created[0])
    posted()
    gone, _ = doctor(app)
    assert f"fix   webhooks    endpoint {created[0]} was disabled (answered 410)" in gone


@pytest.mark.both_databases
def test_doctor_reports_webhooks_not_in_use(app):
    assert doctor(app) == ["ok    webhooks    not in use"]
