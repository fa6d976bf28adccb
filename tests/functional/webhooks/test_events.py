"""Events are posted: minimal, signed, once per subscribed endpoint, and not after a rollback."""

from __future__ import annotations

import re
import threading
from datetime import datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.audit import Event
from app.webhooks import event_types
from app.webhooks.models import WebhookDelivery
from tests.signed_in import sign_in
from tests.wire import Wire

pytestmark = pytest.mark.both_databases


@pytest.fixture
def ada(people):
    return people.open(email="ada@example.com", methods=["email"])


@pytest.fixture
def handle(rows):
    """Returns the handle of the newest account."""
    from app.users import User

    return lambda: rows(User)[-1].handle


def test_sign_in_event_verifies_with_the_standard_webhooks_library(wire, ada, add, receiver, posted, handle, mail_to):
    endpoint = add(receiver, "sign_in.*")
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    code = re.search(r"\b(\d{4}) ?(\d{4})\b", mail_to(ada.email).text)
    assert wire.post("/us-signin", identity=ada.email, passcode="".join(code.groups())).ok
    (hook,) = posted()
    event = Webhook(endpoint.secret).verify(hook.body, hook.headers)
    assert event["type"] == "sign_in.succeeded"
    assert event["data"].pop("support_id")
    assert event["data"] == {"id": hook.id, "user": handle(), "method": "email", "browser": "new"}
    assert abs(datetime.fromisoformat(event["timestamp"]).timestamp() - int(hook.headers["webhook-timestamp"])) < 30
    assert hook.headers["content-type"] == "application/json"
    assert hook.path == "/hooks?key=k"


@pytest.mark.parametrize("part", ["webhook-id", "webhook-timestamp", "webhook-signature", "body", "secret"])
def test_tampered_webhook_fails_verification(app, people, add, receiver, posted, part):
    endpoint = add(receiver, "sign_in.*")
    sign_in(Wire(app, "form"), people.open(email="ada@example.com", methods=["email"]))
    (hook,) = posted()
    headers, body, secret = dict(hook.headers), hook.body, endpoint.secret
    Webhook(secret).verify(body, headers)
    if part == "body":
        body = body.replace(b"succeeded", b"failed")
    elif part == "secret":
        secret = add(receiver).secret
    elif part == "webhook-timestamp":
        headers[part] = str(int(headers[part]) - 1)
    elif part == "webhook-signature":
        headers[part] = "v1," + "A" * 43 + "="
    else:
        headers[part] += "x"
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(body, headers)


def test_subscription_matches_single_types_and_wildcards(app, ada, add, receiver, other_receiver, posted):
    add(receiver, "session.*")
    add(other_receiver, "sign_in.succeeded", "account.*")
    browser = sign_in(Wire(app, "form"), ada)
    assert browser.post("/logout").status == 302
    posted()
    assert receiver.types == ["session.ended"]
    assert receiver.hooks[0].event["data"]["reason"] == "signed_out"
    assert other_receiver.types == ["sign_in.succeeded"]


def test_event_has_the_same_id_at_every_endpoint(app, ada, add, receiver, other_receiver, posted):
    add(receiver)
    add(other_receiver)
    sign_in(Wire(app, "form"), ada)
    posted()
    assert [hook.id for hook in receiver.hooks] == [hook.id for hook in other_receiver.hooks]
    assert receiver.hooks[0].body == other_receiver.hooks[0].body
    assert receiver.hooks[0].headers["webhook-signature"] != other_receiver.hooks[0].headers["webhook-signature"]


@pytest.mark.settings(generic_responses=True)
def test_failed_sign_in_event_contains_no_untrusted_or_personal_text(wire, ada, add, receiver, posted):
    add(receiver)
    text = "Your account is locked http://evil.example"
    wire.post("/us-signin", identity="nobody@example.com", passcode="12345678", headers={"User-Agent": text})
    wire.post("/us-signin", identity=ada.email, passcode="12345678", headers={"User-Agent": text})
    hooks = posted()
    assert [hook.type for hook in hooks] == ["sign_in.failed", "sign_in.failed"]
    assert [hook.event["data"]["user"] is None for hook in hooks] == [True, False]
    for hook in hooks:
        assert set(hook.event["data"]) <= {"id", "user", "support_id", "reason", "purpose", "method"}
        assert not re.search(rb"evil|example|12345678|127\.0\.0\.1", hook.body)


def test_thin_event_drops_untrusted_and_invalid_facts():
    """Of a document its host: the path is what a stranger has written."""
    app, group = event_types.BY_NAME["app.allowed"], event_types.BY_NAME["group.deleted"]
    facts = {"client": "https://agent.example.com/your-account-is-locked.json", "app": "Name", "scopes": "openid"}
    assert event_types.select_facts(app, facts) == {"client": "agent.example.com", "scopes": "openid"}
    assert event_types.select_facts(group, {"group": "x" * 256, "members": 3, "by": ["a"]}) == {"members": 3}


def test_rolled_back_event_is_not_posted(app, ada, add, receiver, posted, rows):
    from app.audit import record
    from app.extensions import db

    add(receiver)
    with app.app_context():
        record("account.disabled", ada.id, by="operator")
        db.session.rollback()
        record("account.enabled", ada.id, by="operator")
        db.session.commit()
    posted()
    assert receiver.types == ["account.enabled"]
    assert len(rows(WebhookDelivery)) == 1


def test_failed_commit_of_a_sign_in_posts_nothing(wire, ada, add, rows, monkeypatch):
    """Also of an event that would otherwise be a transaction of its own."""
    from app.extensions import db

    add("http://127.0.0.1:9/", "sign_in.failed")
    before = len(rows(Event))

    def fail(*_args):
        raise RuntimeError

    wire.fetch_csrf()
    with monkeypatch.context() as broken:
        broken.setattr(db.session, "commit", fail)
        assert wire.post("/us-signin", identity=ada.email, passcode="12345678").status >= 500
    assert rows(WebhookDelivery) == []
    assert [event.name for event in rows(Event)[before:] if event.name == "sign_in.failed"] == []


def test_operator_commands_are_posted(app, ada, add, receiver, posted, handle):
    add(receiver, "account.*", "group.*")
    run = app.test_cli_runner().invoke
    for words in (
        ["users", "disable", ada.email],
        ["users", "enable", ada.email],
        ["groups", "create", "staff"],
        ["groups", "add", "staff", ada.email],
        ["groups", "delete", "staff", "--yes"],
    ):
        assert run(args=words).exit_code == 0, run(args=words).output
    found = [(hook.type, hook.event["data"].get("group"), hook.event["data"]["user"]) for hook in posted()]
    mine = handle()
    assert found == [
        ("account.disabled", None, mine),
        ("account.enabled", None, mine),
        ("group.created", "staff", None),
        ("group.member_added", "staff", mine),
        ("group.member_removed", "staff", mine),
        ("group.deleted", "staff", None),
    ]


def test_import_posts_one_event_per_account(app, add, receiver, posted, rows):
    from app.users import User

    add(receiver, "account.created")
    lines = "".join(f'{{"email": "person{number}@example.com"}}\n' for number in range(3))
    result = app.test_cli_runner().invoke(args=["users", "import", "-"], input=lines)
    assert result.exit_code == 0, result.output
    assert {hook.event["data"]["user"] for hook in posted()} == {user.handle for user in rows(User)}
    assert len(receiver.hooks) == 3
    assert receiver.hooks[0].event["data"]["by"] == "operator"


def test_account_created_by_operator_is_posted_once(app, add, receiver, posted):
    add(receiver, "account.created")
    assert app.test_cli_runner().invoke(args=["users", "create", "eve@example.com"]).exit_code == 0
    assert [hook.event["data"]["by"] for hook in posted()] == ["operator"]


def test_registration_posts_account_created_then_address_confirmed(wire, add, receiver, posted, mail_to, handle):
    add(receiver, "account.*", "address.confirmed")
    wire.post("/register", email="new@example.com")
    assert [hook.type for hook in posted()] == ["account.created"]
    code = re.search(r"\b(\d{4}) ?(\d{4})\b", mail_to("new@example.com").text)
    wire.post("/confirm", email="new@example.com", passcode="".join(code.groups()))
    assert [hook.type for hook in posted()] == ["address.confirmed"]
    assert {hook.event["data"]["user"] for hook in receiver.hooks} == {handle()}


def test_expired_unconfirmed_account_posts_account_deleted(app, wire, add, receiver, posted, clock):
    from app.outbox import jobs

    add(receiver, "account.*")
    wire.post("/register", email="new@example.com")
    clock.shift(timedelta(days=8).total_seconds())
    with app.app_context():
        jobs.run_jobs(threading.Event())
    created, deleted = posted()
    assert (created.type, deleted.type) == ("account.created", "account.deleted")
    assert created.event["data"]["user"] == deleted.event["data"]["user"]


# --- what it costs ------------------------------------------------------------------------------


def statements_of_a_sign_in(app, people, statements, name):
    person = people.open(email=f"{name}@example.com", methods=["email"])
    browser = Wire(app, "json")
    browser.fetch_csrf()
    with statements() as seen:
        sign_in(browser, person)
    return [each.split()[:3] for each in seen if "webhook" in each], len(seen)


def test_sign_in_runs_one_more_query_only_with_subscribed_endpoints(app, people, statements, add, clock):
    ours, plain = statements_of_a_sign_in(app, people, statements, "one")
    assert ours == []
    add("http://127.0.0.1:9/", "group.*")
    statements_of_a_sign_in(app, people, statements, "first look")
    ours, of_other_events = statements_of_a_sign_in(app, people, statements, "two")
    assert (ours, of_other_events) == ([], plain)
    add("http://127.0.0.1:9/", "*")
    add("http://127.0.0.1:9/", "sign_in.*")
    statements_of_a_sign_in(app, people, statements, "look again")
    ours, subscribed = statements_of_a_sign_in(app, people, statements, "three")
    assert [each[0] for each in ours] == ["INSERT"]
    assert subscribed == plain + 1


def test_other_processes_soon_notice_a_new_endpoint(app, ada, add, monkeypatch, rows):
    from app.extensions import db
    from app.webhooks import subscriptions

    add("http://127.0.0.1:9/", "*")
    subscriptions.assume_none(app)  # as a process that looked before
    sign_in(Wire(app, "form"), ada)
    assert rows(WebhookDelivery) == []
    with app.app_context():
        subscriptions.refresh()
        db.session.remove()
    sign_in(Wire(app, "form"), ada)
    assert len(rows(WebhookDelivery)) == 1
    subscriptions.assume_none(app)
    monkeypatch.setattr(subscriptions, "MAX_AGE", -1.0)
    sign_in(Wire(app, "form"), ada)
    assert len(rows(WebhookDelivery)) == 2


def test_sign_in_succeeds_when_a_cached_endpoint_was_removed(app, ada, add, rows, monkeypatch):
    """A process may believe in one that was deleted or disabled a moment ago."""
    from app.extensions import db
    from app.webhooks import endpoints, subscriptions

    deleted, disabled = add("http://127.0.0.1:9/"), add("http://127.0.0.1:9/")
    sign_in(Wire(app, "form"), ada)
    assert len(rows(WebhookDelivery)) == 2
    with monkeypatch.context() as believing, app.app_context():
        believing.setattr(subscriptions, "invalidate", lambda: None)
        endpoints.delete(deleted.id, by="operator")
        endpoints.disable(disabled.id, by="operator")
        db.session.commit()
    sign_in(Wire(app, "form"), ada)
    assert len(rows(WebhookDelivery)) == 2


# --- a person's rights --------------------------------------------------------------------------


def test_erasing_an_account_posts_the_event_and_deletes_its_deliveries(
    app, ada, add, receiver, posted, rows, handle, clock
):
    add(receiver, "sign_in.succeeded", "account.*")
    mine = handle()
    sign_in(Wire(app, "form"), ada)
    posted()
    assert [row.user_id for row in rows(WebhookDelivery)] == [ada.id]
    sign_in(Wire(app, "form"), ada)  # this one waits
    result = app.test_cli_runner().invoke(args=["users", "delete", ada.email, "--now", "--yes"])
    assert result.exit_code == 0, result.output
    assert {row.user_id for row in rows(WebhookDelivery)} == {None}
    assert {row.state for row in rows(WebhookDelivery)} == {"waiting"}
    hooks = posted()
    assert {hook.type for hook in hooks} >= {"sign_in.succeeded", "account.deleted"}
    assert hooks[-1].type == "account.deleted"
    assert hooks[-1].event["data"] == {"id": hooks[-1].id, "user": mine}
    assert rows(WebhookDelivery) == []


def test_data_export_contains_the_users_webhook_deliveries(app, ada, people, add, receiver, posted):
    from app.db.export import read, registered_export
    from app.extensions import db

    add(receiver, "sign_in.*")
    sign_in(Wire(app, "form"), ada)
    sign_in(Wire(app, "form"), people.open(email="eve@example.com", methods=["email"]))
    posted()
    with app.app_context():
        (part,) = [part for part in registered_export().parts if part.name == "webhooks"]
        (given,) = list(read(db.session, part, ada.id))
    assert [(row["type"], row["state"]) for row in given] == [("sign_in.succeeded", "sent")]


def test_old_deliveries_are_pruned_unless_still_waiting(app, ada, add, receiver, posted, rows, clock):
    from app.webhooks.cleanup import prune_deliveries, prune_overdue

    add(receiver, "sign_in.*")
    sign_in(Wire(app, "form"), ada)
    posted()
    receiver.answers = [500]
    sign_in(Wire(app, "form"), ada)
    posted()
    clock.shift(timedelta(days=4).total_seconds())
    with app.app_context():
        assert prune_deliveries() == 0
    clock.shift(timedelta(days=4).total_seconds())
    with app.app_context():
        assert [prune_deliveries(), prune_deliveries()] == [1, 0]
        assert [prune_overdue(), prune_overdue()] == [1, 0]
        assert [prune_deliveries(), prune_deliveries()] == [1, 0]
    assert rows(WebhookDelivery) == []
