"""Webhooks of mail providers: correctly signed ones are processed once, others are rejected."""

from __future__ import annotations

import json
import threading

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.functional.bounces.conftest import (
    CERTIFICATE_URL,
    SENDGRID_PUBLIC,
    TOPIC,
    certificate,
    mailgun_failure,
    sendgrid_event,
    ses_bounce,
)


@pytest.fixture
def ada(people):
    return people.open(email="ada@example.com", methods=["email"])


@pytest.fixture
def kept(rows):
    """Returns what is stored: kinds and codes of reports, and the masked addresses that are suppressed."""

    def read():
        from app.outbox.models import Bounce, Suppression

        reports = [(row.kind, row.code, row.provider) for row in rows(Bounce)]
        return reports, [row.masked for row in rows(Suppression)]

    return read


NOTHING = ([], [])
SUPPRESSED = ["a...@example.com"]


# --- Postmark -----------------------------------------------------------------------------------


def test_postmark_hard_bounce_suppresses_the_address(ada, hooks, kept):
    assert hooks.postmark().status_code == 200
    assert kept() == ([("hard", "5.1.1", "postmark")], SUPPRESSED)


def test_postmark_secret_is_accepted_in_a_header(ada, hooks, kept):
    from tests.functional.bounces.conftest import POSTMARK_SECRET, postmark_bounce

    assert hooks.post("postmark", postmark_bounce(), {"X-Webhook-Secret": POSTMARK_SECRET}).status_code == 200
    assert kept()[1] == SUPPRESSED


@pytest.mark.parametrize(
    "secret", [None, "", "another-secret", "postmark-secret-of-test", "postmark-secret-of-testsx", "ü"]
)
def test_postmark_webhook_with_a_wrong_secret_returns_401(ada, hooks, kept, secret):
    with structlog.testing.capture_logs() as lines:
        answer = hooks.postmark(secret)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert kept() == NOTHING
    (line,) = [line for line in lines if line["event"] == "bounces.refused"]
    assert (line["provider"], line["log_level"]) == ("postmark", "warning")
    assert set(line) == {"event", "log_level", "provider", "reason", "status"}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"RecordType": "SpamComplaint", "Type": "SpamComplaint"}, "complaint"),
        ({"Type": "SpamComplaint"}, "complaint"),
        ({"Type": "BadEmailAddress", "Details": ""}, "hard"),
        ({"Type": "ManuallyDeactivated", "Details": ""}, "hard"),
        ({"Type": "SoftBounce", "Details": "452 4.2.2 Mailbox full"}, "soft"),
        ({"Type": "HardBounce", "Details": "554 5.7.1 Blocked by policy"}, "soft"),
        ({"Type": "Transient"}, "soft"),
        ({"Type": "AutoResponder"}, None),
        ({"Type": "Subscribe"}, None),
        ({"Type": "SomethingNew"}, None),
        ({"RecordType": "Delivery", "Recipient": "ada@example.com"}, None),
        ({"RecordType": "Open"}, None),
        (
            {"RecordType": "SubscriptionChange", "SuppressSending": True, "SuppressionReason": "HardBounce",
             "Recipient": "ada@example.com", "ChangedAt": "2026-02-01T10:53:34Z", "Email": None},
            "hard",
        ),
        ({"RecordType": "SubscriptionChange", "SuppressSending": False, "SuppressionReason": None}, None),
    ],
)  # fmt: skip
def test_postmark_events_map_to_bounce_kinds(ada, hooks, kept, changes, kind):
    assert hooks.postmark(**changes).status_code == 200
    assert [report[0] for report in kept()[0]] == ([kind] if kind else [])


# --- Mailgun ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "hard"),
        ({"severity": "temporary"}, "soft"),
        ({"reason": "suppress-bounce", "delivery-status": {"code": 605}}, "hard"),
        ({"reason": "suppress-complaint", "delivery-status": {"code": 607}}, "complaint"),
        ({"reason": "old", "delivery-status": {"code": 602}}, "soft"),
        ({"delivery-status": {"code": 550, "message": "5.7.1 Message rejected due to policy"}}, "soft"),
        ({"event": "complained"}, "complaint"),
        ({"event": "delivered"}, None),
        ({"event": "opened"}, None),
        ({"id": None}, None),
        ({"recipient": ["ada@example.com"]}, None),
    ],
)
def test_mailgun_events_map_to_bounce_kinds(ada, hooks, kept, changes, kind):
    assert hooks.mailgun(mailgun_failure(**changes)).status_code == 200
    assert [report[0] for report in kept()[0]] == ([kind] if kind else [])


@pytest.mark.parametrize(
    ("how", "status"),
    [
        ({"key": "another-key"}, 403),
        ({"age": 25 * 3600}, 403),
        ({"age": -600}, 403),
        ({"signature": ""}, 401),
        ({"signature": "ü"}, 403),
        ({"timestamp": "1e9"}, 403),
        ({"timestamp": None}, 401),
    ],
)
def test_mailgun_webhook_with_an_invalid_or_old_signature_is_rejected(ada, hooks, kept, how, status):
    assert hooks.mailgun(mailgun_failure(), **how).status_code == status
    assert kept() == NOTHING


def test_mailgun_subaccount_webhook_is_verified_by_the_parent_signature(ada, hooks, kept, clock):
    import hashlib
    import hmac

    from tests.functional.bounces.conftest import MAILGUN_KEY

    time, token = str(int(clock.unix())), "9" * 50
    right = hmac.new(MAILGUN_KEY.encode(), (time + token).encode(), hashlib.sha256).hexdigest()
    more = {"signature": "0" * 64, "parent-signature": right}
    assert hooks.mailgun(mailgun_failure(), token=token, **more).status_code == 200
    assert kept()[1] == SUPPRESSED


def test_mailgun_signature_cannot_be_reused_for_another_body(ada, hooks, kept, people):
    people.open(email="grace@example.com")
    signed = {"token": "7" * 50, "at": hooks.clock.unix()}
    for _ in range(2):
        assert hooks.mailgun(mailgun_failure(), **signed).status_code == 200
    assert hooks.mailgun(mailgun_failure("grace@example.com", id="other"), **signed).status_code == 403
    assert kept() == ([("hard", "5.1.1", "mailgun")], SUPPRESSED)


# --- SendGrid -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "hard"),
        ({"type": "blocked", "status": "5.7.1"}, "soft"),
        ({"status": "5.2.2", "reason": "552 5.2.2 over quota"}, "soft"),
        ({"status": "", "reason": "550 unknown user"}, "hard"),
        ({"event": "spamreport"}, "complaint"),
        ({"event": "dropped", "reason": "Bounced Address"}, "hard"),
        ({"event": "dropped", "reason": "Spam Reporting Address"}, "complaint"),
        ({"event": "dropped", "reason": "Invalid SMTPAPI header"}, None),
        ({"event": "deferred"}, None),
        ({"event": "processed"}, None),
        ({"event": "unheard_of"}, None),
    ],
)
def test_sendgrid_events_map_to_bounce_kinds(ada, hooks, kept, changes, kind):
    assert hooks.sendgrid([sendgrid_event(**changes)]).status_code == 200
    assert [report[0] for report in kept()[0]] == ([kind] if kind else [])


@pytest.mark.both_databases
def test_batch_of_a_thousand_sendgrid_events_takes_few_statements(people, hooks, kept, statements):
    addresses = [f"user{number}@example.com" for number in range(1000)]
    for address in addresses[:5]:
        people.open(email=address)
    events = [sendgrid_event(each, sg_event_id=f"event-{each}") for each in addresses]
    events = [each | {"custom": "x" * 300} for each in events]
    with statements() as seen:
        assert hooks.sendgrid(events).status_code == 200
    assert len(kept()[0]) == 5, "of addresses that nobody has nothing is kept"
    assert len(seen) < 15


@pytest.mark.parametrize(
    "how",
    [
        {"key": ec.generate_private_key(ec.SECP256R1())},
        {"age": 49 * 3600},
        {"age": -600},
        {"tampered": json.dumps([sendgrid_event("grace@example.com")]).encode()},
        {"tampered": b"[]"},
    ],
)
def test_sendgrid_webhook_with_an_invalid_or_old_signature_is_rejected(ada, hooks, kept, how):
    assert hooks.sendgrid([sendgrid_event()], **how).status_code == 403
    assert kept() == NOTHING


def test_published_sendgrid_signature_verifies():
    """One that SendGrid publishes for trying libraries (sendgrid-python, test_eventwebhook.py)."""
    from app.bounces import sendgrid
    from app.bounces.payloads import WebhookRejected

    key = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eN"
        "Ec6wEA3F+g=="
    )
    signature = "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM="
    event = {
        "email": "hello@world.com", "event": "dropped", "reason": "Bounced Address",
        "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
        "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
        "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>", "timestamp": 1600112492,
    }  # fmt: skip
    body = json.dumps([event], sort_keys=True, separators=(",", ":")).encode() + b"\r\n"
    sendgrid.check(key, signature, "1600112502", body)
    for wrong in (("1600112503", body), ("1600112502", body.strip())):
        with pytest.raises(WebhookRejected):
            sendgrid.check(key, signature, *wrong)


# --- Amazon SES ---------------------------------------------------------------------------------


@pytest.fixture
def amazon(app, clock, monkeypatch):
    """A stub of Amazon with responses by URL. ``amazon.fetch()`` runs the worker's fetches."""
    from app.bounces import ses
    from app.outbox.channels.guarded_http import Fetched, NotFetched

    class Amazon:
        def __init__(self):
            self.documents = {CERTIFICATE_URL: certificate(clock)}
            self.asked = []

        def fetch(self):
            with app.app_context():
                while ses.fetch_due(threading.Event()):
                    from app.extensions import db

                    db.session.commit()

    stand_in = Amazon()

    def fetch(url, **limits):
        stand_in.asked.append(url)
        if url not in stand_in.documents:
            raise NotFetched("status")
        return Fetched(stand_in.documents[url].encode(), None)

    monkeypatch.setattr(ses, "fetch", fetch)
    return stand_in


@pytest.mark.parametrize("version", ["1", "2"])
def test_ses_bounce_is_accepted_once_the_worker_fetched_the_certificate(ada, hooks, kept, amazon, version):
    first = hooks.ses(ses_bounce("ada@example.com"), version=version)
    assert (first.status_code, first.headers["Retry-After"]) == (503, "10")
    assert amazon.asked == [], "no request fetches anything"
    amazon.fetch()
    assert amazon.asked == [CERTIFICATE_URL]
    assert hooks.ses(ses_bounce("ada@example.com"), version=version).status_code == 200
    assert kept() == ([("hard", "5.1.1", "ses")], SUPPRESSED)


@pytest.fixture
def trusted(hooks, amazon):
    """The hooks, with Amazon's certificate fetched."""
    hooks.ses(ses_bounce("nobody@example.com"))
    amazon.fetch()
    return hooks


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (ses_bounce("ada@example.com", kind="Transient", code="4.2.2"), "soft"),
        (ses_bounce("ada@example.com", kind="Undetermined", code=""), "soft"),
        (ses_bounce("ADA@Example.com"), "hard"),
        ({"eventType": "Bounce", "bounce": ses_bounce("ada@example.com")["bounce"]}, "hard"),
        ({"notificationType": "Complaint", "complaint": {
            "complainedRecipients": [{"emailAddress": "ada@example.com"}], "feedbackId": "f-1",
            "complaintFeedbackType": "abuse"}}, "complaint"),
        ({"notificationType": "Complaint", "complaint": {
            "complainedRecipients": [{"emailAddress": "ada@example.com"}], "feedbackId": "f-1",
            "complaintFeedbackType": "not-spam"}}, None),
        ({"notificationType": "Complaint", "complaint": {
            "complainedRecipients": [{"emailAddress": "ada@example.com"}], "feedbackId": "f-1",
            "complaintFeedbackType": "auth-failure"}}, None),
        ({"notificationType": "Delivery", "delivery": {"recipients": ["ada@example.com"]}}, None),
        ({"notificationType": "AmazonSnsSubscriptionSucceeded"}, None),
        ("Successfully validated SNS topic for Amazon SES event publishing.", None),
        ({"notificationType": "Bounce", "bounce": {"bouncedRecipients": "ada@example.com", "feedbackId": "x"}}, None),
    ],
)  # fmt: skip
def test_ses_notifications_map_to_bounce_kinds(ada, trusted, kept, message, kind):
    assert trusted.ses(message).status_code == 200
    assert [report[0] for report in kept()[0]] == ([kind] if kind else [])


@pytest.mark.parametrize(
    "changes",
    [
        {"tampered": {"Message": json.dumps(ses_bounce("grace@example.com"))}},
        {"tampered": {"Signature": "AAAA"}},
        {"tampered": {"Signature": "no base64!"}},
        {"tampered": {"Timestamp": "2026-11-29T10:00:00.000Z"}},
        {"TopicArn": "arn:aws:sns:eu-west-1:999999999999:bounces"},
        {"Timestamp": "2020-01-01T00:00:00.000Z"},
        {"Timestamp": "yesterday"},
        {"version": "3"},
        {"SigningCertURL": CERTIFICATE_URL.replace("https", "http")},
        {"SigningCertURL": CERTIFICATE_URL.replace("sns.eu-west-1.amazonaws.com", "evil.example")},
        {
            "SigningCertURL": CERTIFICATE_URL.replace(
                "sns.eu-west-1.amazonaws.com", "sns.eu-west-1.amazonaws.com.evil.example"
            )
        },
        {"SigningCertURL": CERTIFICATE_URL.replace("sns.eu-west-1.amazonaws.com", "sns.evil.amazonaws.com")},
        {"SigningCertURL": CERTIFICATE_URL.replace("sns.eu-west-1", "evil.s3.eu-west-1")},
        {"SigningCertURL": CERTIFICATE_URL.replace("amazonaws.com", "amazonaws.com:8443")},
        {"SigningCertURL": CERTIFICATE_URL.replace("https://", "https://a@")},
        {"SigningCertURL": CERTIFICATE_URL.replace("/Simple", "/bucket/Simple")},
        {"SigningCertURL": CERTIFICATE_URL + "?x=1"},
        {"SigningCertURL": "https://[sns"},
    ],
)
def test_forged_sns_notification_is_rejected_without_fetching_anything(ada, trusted, kept, amazon, changes):
    before = list(amazon.asked)
    assert trusted.ses(ses_bounce("ada@example.com"), **changes).status_code == 403
    amazon.fetch()
    assert amazon.asked == before, "nothing that a stranger names is fetched"
    assert kept() == NOTHING


@pytest.mark.parametrize(
    "wrong", [{"name": "evil.example"}, {"days": -1}, {"key": rsa.generate_private_key(65537, 2048)}]
)
def test_sns_certificate_not_valid_for_amazon_is_rejected(ada, hooks, kept, amazon, clock, wrong):
    amazon.documents[CERTIFICATE_URL] = certificate(clock, **wrong)
    hooks.ses(ses_bounce("ada@example.com"))
    amazon.fetch()
    assert hooks.ses(ses_bounce("ada@example.com")).status_code == 403
    assert kept() == NOTHING


@pytest.mark.both_databases
def test_failed_certificate_fetch_is_retried_on_the_next_notification(ada, hooks, amazon):
    pem = amazon.documents.pop(CERTIFICATE_URL)
    hooks.ses(ses_bounce("ada@example.com"))
    amazon.fetch()
    amazon.documents[CERTIFICATE_URL] = pem
    assert hooks.ses(ses_bounce("ada@example.com")).status_code == 503
    amazon.fetch()
    assert hooks.ses(ses_bounce("ada@example.com")).status_code == 200


@pytest.mark.both_databases
def test_number_of_queued_certificate_fetches_is_limited(hooks, rows):
    from app.bounces.models import SnsDocument
    from app.bounces.ses import MAX_WAITING

    for number in range(MAX_WAITING + 5):
        url = CERTIFICATE_URL.replace("9c6465fa", f"{number:08x}")
        assert hooks.ses(ses_bounce("ada@example.com"), SigningCertURL=url).status_code == 503
    assert len(rows(SnsDocument)) == MAX_WAITING


CONFIRM = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f37"


def confirmation(hooks, **changes):
    given = {"Type": "SubscriptionConfirmation", "Token": "2336412f37", "SubscribeURL": CONFIRM}
    return hooks.ses("You have chosen to subscribe to the topic.", **(given | changes))


def test_sns_subscription_to_our_topic_is_confirmed_by_the_worker(trusted, amazon, rows):
    from app.bounces.models import SnsDocument

    amazon.documents[CONFIRM] = "<ConfirmSubscriptionResponse/>"
    assert confirmation(trusted).status_code == 200
    assert amazon.asked == [CERTIFICATE_URL]
    amazon.fetch()
    assert amazon.asked == [CERTIFICATE_URL, CONFIRM]
    assert [row.url for row in rows(SnsDocument)] == [CERTIFICATE_URL]


@pytest.mark.parametrize(
    "changes",
    [
        {"TopicArn": "arn:aws:sns:eu-west-1:999999999999:bounces"},
        {"SubscribeURL": "https://evil.example/"},
        {"SubscribeURL": "https://169.254.169.254/latest"},
        {"tampered": {"SubscribeURL": CONFIRM.replace("2336412f37", "other")}},
    ],
)
def test_foreign_sns_subscription_is_not_confirmed(trusted, amazon, changes):
    assert confirmation(trusted, **changes).status_code == 403
    amazon.fetch()
    assert amazon.asked == [CERTIFICATE_URL]


@pytest.mark.both_databases
def test_failed_sns_confirmation_is_retried_for_an_hour(trusted, amazon, clock, rows):
    from app.bounces.models import SnsDocument

    confirmation(trusted)
    for seconds in (0, 61, 61):
        clock.shift(seconds)
        amazon.fetch()
    assert amazon.asked.count(CONFIRM) == 3
    clock.shift(3700)
    amazon.fetch()
    assert [row.kind for row in rows(SnsDocument)] == ["certificate"]


# --- all of them --------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_repeated_report_counts_once(ada, hooks, trusted, kept, rows):
    from app.audit import Event

    for _ in range(3):
        hooks.postmark()
        hooks.sendgrid([sendgrid_event(), sendgrid_event()])
        hooks.mailgun(mailgun_failure())
        trusted.ses(ses_bounce("ada@example.com"))
    assert len(kept()[0]) == 4
    assert len(rows(Event, name="address.bounced")) == 4
    (event,) = rows(Event, name="address.suppressed")
    assert event.user_id == ada.id
    assert event.facts == {"kind": "hard", "provider": "postmark", "code": "5.1.1"}


@pytest.mark.both_databases
def test_concurrent_copies_of_a_report_count_once(app, ada, clock, kept):
    from tests.functional.bounces.conftest import Hooks

    threads = [threading.Thread(target=Hooks(app.test_client(), clock).postmark) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert kept() == ([("hard", "5.1.1", "postmark")], SUPPRESSED)


def test_report_for_an_unknown_address_is_not_stored(hooks, kept):
    assert hooks.postmark().status_code == 200
    assert kept() == NOTHING


@pytest.mark.parametrize(
    "address", ["", "ada", "ada@example.com, b@example.com", "\x00@example.com", "a" * 9000, None, 7]
)
def test_report_with_an_invalid_address_is_ignored(hooks, kept, address):
    assert hooks.postmark(Email=address).status_code == 200
    assert kept() == NOTHING


@pytest.mark.settings(
    bounces_postmark_secret="", bounces_mailgun_key="", bounces_ses_topics=(), bounces_sendgrid_key=""
)
@pytest.mark.parametrize("provider", ["postmark", "mailgun", "ses", "sendgrid", "x"])
def test_unconfigured_provider_webhook_returns_404(hooks, provider):
    answer = hooks.post(provider, {}, {"Authorization": "Basic Og=="})
    assert (answer.status_code, answer.mimetype) == (404, "application/json")


def test_unknown_provider_webhook_returns_404(hooks):
    assert hooks.post("sparkpost", {}).status_code == 404
    assert hooks.client.get("/hooks/mail/postmark").status_code == 405


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 5000, b'{"a": NaN', b"null", b"[]", b"7", b'"x"'])
def test_malformed_webhook_body_causes_no_server_error(hooks, body):
    from tests.functional.bounces.conftest import POSTMARK_SECRET

    for provider in ("postmark", "mailgun", "ses", "sendgrid"):
        answer = hooks.post(provider, body, {"X-Webhook-Secret": POSTMARK_SECRET})
        assert answer.status_code in (200, 400, 401, 403), provider


def test_oversized_webhook_body_is_rejected(hooks):
    answer = hooks.post("postmark", b" " * (2 * 1024 * 1024 + 1))
    assert answer.status_code in (401, 413)
    assert hooks.post("mailgun", b" " * (2 * 1024 * 1024 + 1)).status_code == 413


@pytest.mark.both_databases
def test_remote_server_texts_and_addresses_are_not_stored(ada, hooks, database):
    hooks.postmark(Details="smtp;550 5.1.1 Visit http://evil.example now", Description="evil words")
    everything = [str(database.query(f'SELECT * FROM "{table}"')) for table in ("bounce", "suppression", "event")]
    assert "evil" not in " ".join(everything)
    assert "ada@example.com" not in " ".join(everything)


def test_sendgrid_key_setting_accepts_pem_with_line_breaks():
    from config.settings import Settings

    pem = f"-----BEGIN PUBLIC KEY-----\n{SENDGRID_PUBLIC[:64]}\n{SENDGRID_PUBLIC[64:]}\n-----END PUBLIC KEY-----\n"
    assert Settings(bounces_sendgrid_key=pem).bounces_sendgrid_key == SENDGRID_PUBLIC
    with pytest.raises(ValueError, match="verification key"):
        Settings(bounces_sendgrid_key="SG.abc")
