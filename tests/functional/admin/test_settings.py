"""/admin/settings: current settings, the release, keys and workers, and no secrets."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from pydantic import SecretStr

from app import clock as app_clock
from app.admin import settings_views
from app.version import VERSION
from config.environment import SECRETS
from config.problems import Problem, variable
from config.settings import Settings
from config.subjects import SUBJECTS
from tests.databases import KEY

HUSH = "hush-hush-hush"

URLS = {
    "mail_url": f"smtp://u:{HUSH}@mail.example.com:25",
    "mail_fallback_url": f"smtps://u:{HUSH}@other.example.com",
    "sms_url": f"https://u:{HUSH}@sms.example.com/{HUSH}?key={HUSH}",
    "sms_fallback_url": f"https://sms.example.com/?key={HUSH}",
    "twilio_url": f"https://u:{HUSH}@twilio.example.com",
    "post_logout_url": f"https://u:{HUSH}@www.example.com/out",
}
SECRET = {
    "sms_headers": SecretStr(f"X-Api-Key: {HUSH}"), "sms_fallback_headers": SecretStr(f"X-Api-Key: {HUSH}"),
    "twilio_auth_token": SecretStr(HUSH), "imported_password_salt": SecretStr(HUSH),
    "bounces_postmark_secret": SecretStr(f"{HUSH}-{HUSH}"), "bounces_mailgun_key": SecretStr(f"{HUSH}-{HUSH}"),
    "secret_keys": f"{KEY},{HUSH}-{HUSH}-{HUSH}-of-thirty-two-bytes",
}  # fmt: skip


def shown(console, query: str = "") -> dict[str, tuple[str, str]]:
    """Return value and source of each setting that is shown, by its variable."""
    answer = console.get(f"/admin/settings{query}")
    assert answer.status == 200
    if console.language == "json":
        return {
            each["variable"]: (each["value"], each["source"])
            for group in answer.json["subjects"]
            for each in group["settings"]
        }
    found = re.findall(
        r'<code class="breakable" dir="ltr">(\w+)</code> <span class="badge[^"]*">(\w+)</span></p>\s*'
        r"<p [^>]*>(?:<code>([^<]*)</code>)?",
        answer.text,
    )
    return {name: (value, source.lower()) for name, source, value in found}


def test_configured_settings_are_shown_with_value_and_source(console):
    found = shown(console)
    assert found["LATCHKEY_POOL_SIZE"] == ("4", "environment")
    assert "LATCHKEY_SESSION_ABSOLUTE" not in found


def test_all_settings_are_shown_on_request(console):
    found = shown(console, "?all=1")
    assert sorted(found) == sorted(map(variable, Settings.model_fields))
    assert found["LATCHKEY_SESSION_ABSOLUTE"] == ("2592000", "default")
    assert found["LATCHKEY_HSTS"] == ("on", "default")
    assert found["LATCHKEY_POOL_SIZE"] == ("4", "environment")


def test_invalid_all_parameter_is_rejected(console):
    assert console.get("/admin/settings?all=yes").status == 400


@pytest.mark.settings(**(URLS | SECRET))
def test_secrets_and_url_passwords_are_masked(console):
    answer = console.get("/admin/settings?all=1")
    assert answer.status == 200
    assert "mail.example.com" in answer.text
    assert HUSH not in answer.text
    assert KEY not in answer.text
    found = shown(console, "?all=1")
    assert found["LATCHKEY_MAIL_URL"][0] == "smtp://***@mail.example.com:25"
    assert found["LATCHKEY_POST_LOGOUT_URL"][0] == "https://***@www.example.com/out"
    assert found["LATCHKEY_SECRET_KEYS"][0] == "2 set"
    assert found["LATCHKEY_TWILIO_AUTH_TOKEN"] == ("set", "environment")
    assert set(SECRETS) - set(URLS) - set(SECRET) == {"database_url", "redis_url", "queue_url"}  # in tests/unit/config


def test_settings_page_shows_release_key_migration_and_workers(console, app):
    from app.extensions import db
    from app.outbox import jobs

    now = app_clock.now()
    with app.app_context():
        jobs.record_heartbeat("1" * 32, replica="worker-7", started_at=now - timedelta(hours=1), swept_at=now)
        jobs.record_heartbeat("2" * 32, replica="worker-8")
        db.session.commit()
    answer = console.get("/admin/settings")
    for text in (VERSION, "worker-7", "worker-8", app.extensions["latchkey.keyring"].kid):
        assert text in answer.text
    if console.language == "json":
        assert re.fullmatch("[0-9]{4}", answer.json["migration"])
        assert [each["replica"] for each in answer.json["workers"]] in (
            ["worker-7", "worker-8"],
            ["worker-8", "worker-7"],
        )


def test_encryption_keys_are_listed_by_id_including_missing_ones(console, app, monkeypatch):
    kid = app.extensions["latchkey.keyring"].kid
    monkeypatch.setattr(settings_views, "keys_in_use", lambda: {kid, "aaaaaaaa"})
    answer = console.get("/admin/settings")
    if console.language == "json":
        assert answer.json["keys"] == [
            {"id": kid, "current": True, "in_use": True, "missing": False},
            {"id": "aaaaaaaa", "current": False, "in_use": True, "missing": True},
        ]
    else:
        assert answer.text.index(kid) < answer.text.index("aaaaaaaa")
        assert answer.text.count("Missing") == 1


def test_startup_warnings_are_shown(console, monkeypatch):
    warning = Problem("LATCHKEY_LIMITS", "is off: guesses are not limited", "Turn it on.")
    assert "guesses are not limited" not in console.get("/admin/settings").text
    monkeypatch.setattr(Settings, "warnings", (warning,))
    answer = console.get("/admin/settings")
    assert "guesses are not limited" in answer.text
    assert "Turn it on." in answer.text


def test_each_settings_subject_has_a_title():
    assert list(settings_views.TITLES) == list(SUBJECTS)
