"""Two mail servers and two SMS providers: the fallback takes over, and nothing is sent twice."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.functional.delivery.test_mail_answers import MailServer
from tests.sinks import SmsStub, SmtpSink


@pytest.fixture(scope="module")
def other_smtp_server():
    sink = SmtpSink()
    yield sink
    sink.down()


@pytest.fixture
def other_smtp(other_smtp_server):
    other_smtp_server.reset()
    yield other_smtp_server
    other_smtp_server.reset()


@pytest.fixture(scope="module")
def other_sms_provider():
    stub = SmsStub()
    yield stub
    stub.down()


@pytest.fixture
def other_sms(other_sms_provider):
    other_sms_provider.reset()
    yield other_sms_provider
    other_sms_provider.reset()


@pytest.fixture
def settings_values(settings_values, other_smtp, other_sms):
    return settings_values | {"mail_fallback_url": other_smtp.url, "sms_fallback_url": other_sms.url}


@pytest.fixture
def first_says(app):
    """Makes the first mail server give these responses: ``first_says(MAIL="550 No")``."""
    servers, before = [], app.extensions["latchkey.settings"]

    def start(**said):
        servers.append(MailServer(said))
        app.extensions["latchkey.settings"] = before.model_copy(update={"mail_url": servers[-1].url})
        return servers[-1]

    yield start
    app.extensions["latchkey.settings"] = before
    for each in servers:
        each.close()


@pytest.fixture
def operate(app):
    """Runs a command: ``operate("doctor")``."""
    return lambda *words: app.test_cli_runner().invoke(args=words)


def how(row):
    return row.state, row.provider, row.attempts


def seconds_to_wait(row, clock):
    return (row.next_attempt_at - clock.now()).total_seconds()


# --- mail ---------------------------------------------------------------------------------------


def test_primary_mail_server_is_used_while_it_works(post, attempt, smtp, other_smtp, row):
    message_id = post()
    assert attempt(message_id)
    assert (len(smtp.mails), len(other_smtp.mails)) == (1, 0)
    assert how(row(message_id)) == ("sent", "primary", 1)


def test_unreachable_primary_fails_over_within_the_same_attempt(post, attempt, smtp, other_smtp, row):
    smtp.down()
    message_id = post()
    assert attempt(message_id)
    assert len(other_smtp.mails) == 1
    assert how(row(message_id)) == ("sent", "fallback", 1)


@pytest.mark.parametrize(
    "said",
    [
        {"MAIL": "454 4.7.0 Throttling failure: Maximum sending rate exceeded"},
        {"MAIL": "550 5.7.1 Account suspended"},
        {"MAIL": "530 5.7.0 Authentication required"},
        {"RCPT": "550 5.7.1 Relaying denied"},
        {"RCPT": "452 4.5.3 Too many recipients"},
        {"DATA": "421 4.3.2 Shutting down"},
        {".": "451 4.3.0 Try again later"},
        {".": "550 5.7.1 Blocked by policy"},
        {".": "554 5.3.0 Sending quota exceeded"},
    ],
    ids=lambda said: " ".join(f"{verb} {words}" for verb, words in said.items()),
)
def test_rejection_specific_to_the_primary_fails_over_immediately(post, attempt, first_says, other_smtp, row, said):
    first_says(**said)
    message_id = post()
    assert attempt(message_id)
    assert len(other_smtp.mails) == 1
    assert how(row(message_id)) == ("sent", "fallback", 1)


@pytest.mark.parametrize(
    "said",
    [
        {"RCPT": "550 5.1.1 No such mailbox"},
        {"RCPT": "550 No such user here"},
        {"RCPT": "550 5.1.10 Recipient not found"},
        {"RCPT": "552 5.2.2 Mailbox full"},
        {"RCPT": "550 5.2.1 Mailbox disabled"},
        {".": "550 5.1.1 No such mailbox"},
        {".": "554 5.6.0 Content not accepted"},
    ],
    ids=lambda said: " ".join(f"{verb} {words}" for verb, words in said.items()),
)
def test_permanently_rejected_recipient_is_not_tried_at_the_fallback(post, attempt, first_says, other_smtp, row, said):
    first_says(**said)
    message_id = post()
    assert not attempt(message_id)
    assert other_smtp.attempts == 0
    assert how(row(message_id)) == ("abandoned", "", 1)


def test_mail_with_a_lost_response_is_not_sent_by_the_fallback(post, attempt, clock, smtp, other_smtp, row):
    smtp.mode = "drop"
    message_id = post()
    assert not attempt(message_id)
    assert (len(smtp.mails), other_smtp.attempts) == (1, 0)
    assert row(message_id).last_error == "mail server hung up before it answered"
    assert 115 < seconds_to_wait(row(message_id), clock) <= 120


@pytest.mark.settings(mail_answer_timeout=0.5)
def test_mail_with_a_response_timeout_is_not_sent_by_the_fallback(post, attempt, clock, smtp, other_smtp, row):
    smtp.mode, smtp.delay = "slow", 30
    message_id = post()
    assert not attempt(message_id)
    assert (smtp.attempts, other_smtp.attempts) == (1, 0)
    assert 115 < seconds_to_wait(row(message_id), clock) <= 120


@pytest.mark.settings(mail_timeout=0.5)
def test_primary_that_times_out_before_the_data_fails_over(post, attempt, smtp, other_smtp, row):
    smtp.hesitation = 5
    message_id = post()
    assert attempt(message_id)
    assert (len(smtp.mails), len(other_smtp.mails)) == (0, 1)
    assert row(message_id).provider == "fallback"


def test_primary_is_probed_once_a_minute_after_three_failures_until_it_recovers(
    post, attempt, clock, first_says, smtp, other_smtp, row
):
    first = first_says(MAIL="550 5.7.1 Account suspended")
    asked = []
    first.said = Counting(first.said, asked)
    for _ in range(6):
        assert attempt(post())
    assert len(asked) == 3
    clock.shift(59)
    assert attempt(post())
    assert len(asked) == 3
    clock.shift(2)
    assert attempt(post())
    assert attempt(post())
    assert len(asked) == 4, "one message tries it"
    clock.shift(61)
    first.said = {}
    taken_by = [post(), post()]
    assert all(map(attempt, taken_by))
    assert [row(each).provider for each in taken_by] == ["primary", "primary"]


class Counting(dict):
    """Answers, each noted when it begins a mail."""

    def __init__(self, said, asked):
        super().__init__(said)
        self.asked = asked

    def get(self, verb, otherwise=None):
        if verb == "MAIL":
            self.asked.append(verb)
        return super().get(verb, otherwise)


def test_rejected_recipients_do_not_count_as_primary_failures(post, attempt, smtp, other_smtp, row):
    smtp.modes["bad.example"] = "busy"
    for number in range(5):
        assert attempt(post(to=f"a{number}@bad.example"))
    good = post()
    assert attempt(good)
    assert row(good).provider == "primary"


def test_message_waits_while_both_mail_servers_are_down(post, attempt, clock, smtp, other_smtp, row):
    smtp.down()
    other_smtp.down()
    message_id = post(expires_at=clock.now() + timedelta(minutes=10))
    assert not attempt(message_id)
    assert how(row(message_id)) == ("waiting", "", 1)
    assert row(message_id).last_error == "mail server unreachable (ConnectionRefusedError)"
    other_smtp.up()
    clock.shift(2)
    assert attempt(message_id)
    assert len(other_smtp.mails) == 1


def test_message_is_not_attempted_while_both_mail_servers_are_paused(post, attempt, clock, smtp, other_smtp, row):
    smtp.down()
    other_smtp.down()
    for _ in range(3):
        attempt(post())
    message_id = post()
    assert not attempt(message_id)
    assert how(row(message_id)) == ("waiting", "", 0)
    assert 0 < seconds_to_wait(row(message_id), clock) <= 60


# --- SMS ----------------------------------------------------------------------------------------


def test_unreachable_primary_sms_provider_fails_over(post, attempt, sms, other_sms, row):
    sms.down()
    message_id = post("sms")
    assert attempt(message_id)
    assert len(other_sms.texts) == 1
    assert how(row(message_id)) == ("sent", "fallback", 1)


@pytest.mark.parametrize("status", [301, 401, 402, 403, 405, 408, 425, 429, 500, 501, 503])
def test_sms_error_specific_to_the_primary_fails_over_immediately(post, attempt, sms, other_sms, row, status):
    sms.refusals = [(status, {})]
    message_id = post("sms")
    assert attempt(message_id)
    assert (len(sms.texts), len(other_sms.texts)) == (0, 1)
    assert how(row(message_id)) == ("sent", "fallback", 1)


@pytest.mark.parametrize("status", [502, 504])
def test_text_message_with_a_gateway_error_is_not_sent_by_the_fallback(post, attempt, sms, other_sms, row, status):
    sms.refusals = [(status, {})]
    message_id = post("sms")
    assert not attempt(message_id)
    assert other_sms.attempts == 0
    assert row(message_id).state == "waiting"


def test_text_message_with_a_lost_response_is_not_sent_by_the_fallback(post, attempt, sms, other_sms, row):
    sms.mode = "drop"
    message_id = post("sms")
    assert not attempt(message_id)
    assert (len(sms.texts), other_sms.attempts) == (1, 0)


@pytest.mark.parametrize("status", [400, 404, 422])
def test_permanently_rejected_number_is_not_tried_at_the_fallback(post, attempt, sms, other_sms, row, status):
    sms.refusals = [(status, {})]
    message_id = post("sms")
    assert not attempt(message_id)
    assert other_sms.attempts == 0
    assert row(message_id).state == "abandoned"


def test_fallback_sends_until_the_retry_after_of_the_primary_has_passed(post, attempt, clock, sms, other_sms, row):
    sms.refusals = [(429, {"Retry-After": "120"})]
    ids = [post("sms"), post("sms")]
    assert all(map(attempt, ids))
    assert (sms.attempts, len(other_sms.texts)) == (1, 2)
    clock.shift(121)
    later = post("sms")
    assert attempt(later)
    assert row(later).provider == "primary"


def test_shorter_retry_after_counts_if_both_providers_are_busy(post, attempt, clock, sms, other_sms, row):
    sms.refusals, other_sms.refusals = [(429, {"Retry-After": "120"})], [(429, {"Retry-After": "30"})]
    message_id = post("sms")
    assert not attempt(message_id)
    assert how(row(message_id)) == ("waiting", "", 0)
    assert 25 < seconds_to_wait(row(message_id), clock) <= 30


@pytest.mark.settings(sms_fallback_headers="X-Api-Key: second", sms_headers="X-Api-Key: first")
def test_each_provider_receives_only_its_own_credentials(post, attempt, sms, other_sms):
    attempt(post("sms"))
    sms.down()
    attempt(post("sms"))
    assert sms.texts[0].headers["X-Api-Key"] == "first"
    assert other_sms.texts[0].headers["X-Api-Key"] == "second"


@pytest.mark.settings(sms_fallback_success='"queued"')
def test_fallback_provider_has_its_own_success_pattern(post, attempt, sms, other_sms, row):
    sms.down()
    message_id = post("sms")
    assert not attempt(message_id)
    assert row(message_id).state == "waiting"
    other_sms.body = '{"status": "queued"}'


# --- what operators see -------------------------------------------------------------------------


def health(app):
    from app.outbox import jobs, providers

    with app.app_context():
        jobs._run_once(providers.save_health, lambda task: task())
        return {(each.channel, each.name): each for each in providers.states()}


@pytest.mark.both_databases
def test_workers_record_provider_health(app, post, attempt, clock, smtp, sms):
    assert {each.state for each in health(app).values()} == {"unused"}
    smtp.down()
    assert attempt(post())
    assert attempt(post("sms"))
    found = health(app)
    assert {key: each.state for key, each in found.items()} == {
        ("mail", "primary"): "fails",
        ("mail", "fallback"): "works",
        ("sms", "primary"): "works",
        ("sms", "fallback"): "unused",
    }
    assert found["mail", "primary"].reason == "mail server unreachable (ConnectionRefusedError)"
    assert found["mail", "fallback"].sent_recently == 1
    smtp.up()
    clock.shift(1)
    assert attempt(post())
    assert (health(app)["mail", "primary"].state, health(app)["mail", "primary"].reason) == ("works", "")


@pytest.mark.both_databases
def test_older_provider_health_does_not_overwrite_newer(app, clock):
    from app.outbox.channels import mail

    mail.providers["primary"].health.sent_at = clock.now()
    newest = health(app)["mail", "primary"].sent_at
    mail.providers["primary"].health.sent_at = clock.now() - timedelta(minutes=5)
    assert health(app)["mail", "primary"].sent_at == newest


@pytest.mark.both_databases
def test_doctor_and_outbox_providers_report_the_failing_provider(operate, app, post, attempt, smtp, other_smtp):
    smtp.down()
    attempt(post())
    health(app)
    told = operate("doctor").output
    assert "fix   mail        primary: mail server unreachable" in told
    assert "LATCHKEY_MAIL_URL" in told
    assert "ok    mail        fallback: 127.0.0.1 answers by smtp" in told
    assert "note  providers   mail primary (127.0.0.1) fails: mail server unreachable" in told
    listed = operate("outbox", "providers").output.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [
        ["mail", "primary", "fails"],
        ["mail", "fallback", "works"],
        ["sms", "primary", "unused"],
        ["sms", "fallback", "unused"],
    ]
    assert "fallback" in operate("outbox", "list").output


def test_doctor_names_the_setting_of_the_second_mail_server(operate, other_smtp):
    other_smtp.down()
    told = operate("doctor").output
    assert "fallback: mail server unreachable" in told
    assert "LATCHKEY_MAIL_FALLBACK_URL" in told


def test_mail_test_uses_the_selected_mail_server(operate, smtp, other_smtp):
    assert operate("mail", "test", "ada@example.com").exit_code == 0
    assert operate("mail", "test", "--fallback", "ada@example.com").exit_code == 0
    assert (len(smtp.mails), len(other_smtp.mails)) == (1, 1)


@pytest.mark.settings(mail_fallback_url="")
def test_mail_test_reports_a_missing_fallback_setting(operate):
    assert "Set LATCHKEY_MAIL_FALLBACK_URL." in operate("mail", "test", "--fallback", "ada@example.com").output


@pytest.mark.settings(mail_fallback_url="", sms_fallback_url="")
def test_single_provider_is_never_paused(post, attempt, smtp, row):
    smtp.down()
    for _ in range(4):
        message_id = post()
        assert not attempt(message_id)
        assert row(message_id).attempts == 1
