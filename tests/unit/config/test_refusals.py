"""Settings that production rejects: each error names the setting and a remedy, and shows no value."""

import base64
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from config import keys
from config.settings import ConfigurationError, Settings

pytestmark = pytest.mark.one_database

ROOT = Path(__file__).resolve().parents[3]
SAMPLE = "replace-this-sample-with-the-output-of-openssl-rand-hex-32"

REFUSED = [
    ("LATCHKEY_SECRET_KEYS", "", "is not set"),
    ("LATCHKEY_SECRET_KEYS", "5f1d9be2c07a4483a6e1d2b7f90c335", "shorter than 32 bytes"),
    ("LATCHKEY_SECRET_KEYS", "5f1d9be2c07a4483a6e1d2b7f90c3358,5f1d9be2c07a4483a6e", "shorter than 32 bytes"),
    ("LATCHKEY_SECRET_KEYS", "changeme" * 4, "sample key"),
    ("LATCHKEY_SECRET_KEYS", "secret" * 6, "sample key"),
    ("LATCHKEY_SECRET_KEYS", "SuperSecretKeyForMyApplication!!", "sample key"),
    ("LATCHKEY_SECRET_KEYS", SAMPLE, "sample key"),
    ("LATCHKEY_SECRET_KEYS", "x" * 32, "isn't random enough"),
    ("LATCHKEY_SECRET_KEYS", "0123456789abcdef" * 2, "isn't random enough"),
    ("LATCHKEY_SECRET_KEYS", "12345678901234567890123456789012", "isn't random enough"),
    ("LATCHKEY_SECRET_KEYS", "abcdefghijklmnopqrstuvwxyz012345", "isn't random enough"),
    ("LATCHKEY_PUBLIC_URL", "", "is not set"),
    ("LATCHKEY_PUBLIC_URL", "http://login.example.com", "does not begin with https://"),
    ("LATCHKEY_PUBLIC_URL", "http://127.0.0.1:8000", "does not begin with https://"),
    ("FLASK_DEBUG", "1", "is on"),
    ("FLASK_DEBUG", "off", "is on"),
    ("LATCHKEY_MAIL_URL", "", "people sign in by email"),
    ("LATCHKEY_MAIL_URL", "smtp://ada:s3same@mail.example.com", "without TLS"),
    ("LATCHKEY_MAIL_URL", "smtps://s3same@mail.example.com", "not both"),
    ("LATCHKEY_MAIL_URL", "smtp://127.0.0.1:25", "without TLS"),
    ("LATCHKEY_DATABASE_URL", "sqlite:///:memory:", "in memory"),
    ("LATCHKEY_DATABASE_URL", "sqlite:///", "in memory"),
    ("LATCHKEY_DATABASE_URL", "sqlite:///file::memory:?cache=shared&uri=true", "in memory"),
    ("LATCHKEY_DATABASE_URL", "sqlite:///file:latchkey?mode=memory&uri=true", "in memory"),
    ("LATCHKEY_SESSION_IDLE", "P31D", "is longer than LATCHKEY_SESSION_ABSOLUTE"),
    ("LATCHKEY_OAUTH_KEY_ROTATION", "172799", "shorter than two days"),
]


@pytest.mark.parametrize(("setting", "value", "what"), REFUSED)
def test_production_rejects_insecure_or_incomplete_setting(production, monkeypatch, setting, value, what):
    monkeypatch.setenv(setting, value)
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    (problem,) = refused.value.problems
    assert problem.setting == setting
    assert what in problem.what
    assert problem.remedy
    assert not value or value not in problem.what


def noticed() -> list[str]:
    """Return the warnings of the settings as they are set."""
    return [str(warning) for warning in Settings.load().warnings]


def test_minimal_production_settings_are_accepted(production):
    settings = Settings.load()
    assert settings.is_production
    assert noticed() == [
        "LATCHKEY_METHODS includes sms by default, but no SMS provider is set: sms is turned off. Set LATCHKEY_SMS_URL."
    ]


def test_sms_method_without_a_complete_provider_is_rejected(production, set_up):
    set_up(methods="email,sms")
    with pytest.raises(ConfigurationError, match="LATCHKEY_SMS_URL is incomplete"):
        Settings.load()
    set_up(sms_provider="twilio", twilio_account_sid="AC1", twilio_sender="+15005550006")
    with pytest.raises(ConfigurationError, match="LATCHKEY_TWILIO_AUTH_TOKEN is incomplete"):
        Settings.load()
    set_up(twilio_auth_token="5f1d9be2", sms_countries="GB")
    assert Settings.load().methods == ("email", "sms")


def test_sms_method_is_enabled_by_default_with_a_provider(production, set_up):
    set_up(sms_url="https://sms.example.com/send", sms_countries="GB,de")
    assert "sms" in Settings.load().methods
    assert Settings.load().sms_countries == ("GB", "DE")


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"mail_url": "", "mail_fallback_url": "smtps://b.example"}, "MAIL_FALLBACK_URL is set, but LATCHKEY_MAIL_URL"),
        ({"sms_fallback_url": "https://b.example/send"}, "SMS_FALLBACK_URL is set, but LATCHKEY_SMS_URL isn't"),
        ({"mail_url": "smtps://b.example", "mail_fallback_url": "smtps://b.example"}, "FALLBACK_URL is the same as"),
        ({"mail_fallback_url": "smtps://ada@b.example"}, "MAIL_FALLBACK_URL has a user or a password, but not both"),
        ({"mail_fallback_url": "smtp://b.example"}, "MAIL_FALLBACK_URL sends mail without TLS"),
        ({"sms_fallback_provider": "twilio"}, "SMS_FALLBACK_PROVIDER is twilio, but its settings are incomplete"),
        ({"sms_provider": "twilio", "sms_fallback_provider": "twilio"}, "PROVIDER is the first provider as well"),
    ],
)
def test_useless_fallback_provider_is_rejected(production, set_up, changes, what):
    set_up(**changes)
    with pytest.raises(ConfigurationError, match=what):
        Settings.load()


def test_fallback_sms_provider_without_tls_causes_a_warning(production, set_up):
    set_up(sms_url="https://a.example/send", sms_countries="GB", sms_fallback_url="http://b.example/send")
    noticed = [f"{problem.setting} {problem.what}" for problem in Settings.load().warnings]
    assert "LATCHKEY_SMS_FALLBACK_URL sends codes without TLS" in noticed


def test_sms_method_without_countries_is_rejected(production, set_up):
    set_up(methods="email,sms", sms_url="https://sms.example.com/send")
    with pytest.raises(ConfigurationError, match=r"LATCHKEY_SMS_COUNTRIES is not set.* List the countries"):
        Settings.load()


def test_default_sms_method_without_countries_is_disabled_with_a_warning(production, set_up):
    set_up(sms_url="https://sms.example.com/send")
    assert "sms" not in Settings.load().methods
    assert any("LATCHKEY_SMS_COUNTRIES is not set" in each for each in noticed())


@pytest.mark.parametrize(
    ("changes", "is_warned_of"),
    [
        ({"sms_countries": "GB,DE"}, True),  # the default is US
        ({"sms_countries": "GB,DE", "phone_region_default": "UK"}, True),
        ({"sms_countries": "GB,DE", "phone_region_default": "DE"}, False),
        ({"sms_countries": "GB,DE", "methods": "email"}, False),
        ({}, False),
    ],
)
def test_default_phone_region_outside_the_sms_countries_causes_a_warning(production, set_up, changes, is_warned_of):
    set_up(sms_url="https://sms.example.com/send", **changes)
    said = "LATCHKEY_PHONE_REGION_DEFAULT is not in LATCHKEY_SMS_COUNTRIES"
    assert any(said in each for each in noticed()) == is_warned_of


def test_common_country_name_is_rejected_with_its_iso_code(set_up):
    set_up(sms_countries="DE,UK")
    with pytest.raises(ConfigurationError, match=r"LATCHKEY_SMS_COUNTRIES contains UK.* Use GB"):
        Settings.load()


@pytest.mark.parametrize("value", ["Germany", "D", "D1", "DE,DE", "DE;FR"])
def test_invalid_country_code_is_rejected(set_up, value):
    set_up(sms_countries=value)
    with pytest.raises(ConfigurationError, match="LATCHKEY_SMS_COUNTRIES"):
        Settings.load()


@pytest.mark.parametrize(
    ("setting", "value", "what"),
    [
        ("sms_url", "https://sms.example.com/nachrichten/für", "percent-encode"),
        ("sms_url", "https://sms.example.com/send?from=Müller", "percent-encode"),
        ("sms_url", "https://sms..example.com/send", "can't be looked up"),
        ("mail_url", f"smtps://{'a' * 64}.example.com", "can't be looked up"),
        ("twilio_url", "https://.example.com", "can't be looked up"),
        ("sms_success", "a{99999999999}", "regular expression"),
        ("sms_success", "(a+)+$", "repeats a group"),
    ],
)
def test_provider_setting_that_would_fail_on_every_message_is_rejected(set_up, setting, value, what):
    set_up(**{setting: value})
    with pytest.raises(ConfigurationError, match=f"LATCHKEY_{setting.upper()}(?s:.*){what}"):
        Settings.load()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("client_documents", "Staff"), ("client_documents", "a b"), ("client_documents", "staff,staff"),
        ("client_document_hosts", "https://agent.example.com"), ("client_document_hosts", "agent.example.com:8443"),
        ("client_document_hosts", "*"), ("client_document_hosts", "a.*.com"), ("client_document_hosts", "*.*.com"),
        ("client_document_hosts", "agent.example.com/x"),
    ],
)  # fmt: skip
def test_invalid_client_document_group_or_host_is_rejected(set_up, setting, value):
    set_up(**{setting: value})
    with pytest.raises(ConfigurationError, match=f"LATCHKEY_{setting.upper()}"):
        Settings.load()


def test_client_document_groups_and_hosts_are_parsed(production, set_up):
    set_up(client_documents="everyone, it.admins", client_document_hosts="*.Example.com, agent.example.org")
    assert Settings.load().client_documents == ("everyone", "it.admins")
    assert Settings.load().client_document_hosts == ("*.example.com", "agent.example.org")


def test_loopback_client_documents_are_rejected_in_production(production, set_up):
    set_up(client_documents_loopback="on")
    with pytest.raises(ConfigurationError, match=r"LATCHKEY_CLIENT_DOCUMENTS_LOOPBACK is on in production"):
        Settings.load()


def test_explicitly_allowed_plaintext_mail_causes_a_warning(production, set_up):
    set_up(mail_url="smtp://127.0.0.1:25", mail_allow_plaintext="on")
    assert Settings.load().mail_allow_plaintext
    assert any("LATCHKEY_MAIL_ALLOW_PLAINTEXT is on" in each for each in noticed())


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("limits", "off"),
        ("generic_responses", "off"),
        ("freshness_strength", "any"),
        ("hsts", "off"),
        ("email_code_lifetime", "PT11M"),
        ("sms_code_lifetime", "301"),
        ("challenge_tries", "6"),
        ("sms_url", "http://sms.example.com"),
        ("apps_file", "/etc/latchkey/apps.toml"),
        ("forward_auth_cookie_domain", "example.com"),
    ],
)
def test_setting_that_weakens_production_causes_a_warning(production, set_up, setting, value):
    set_up(**{setting: value})
    assert any(each.startswith(f"LATCHKEY_{setting.upper()} ") for each in noticed())


@pytest.mark.parametrize(
    "address", ["http://localhost:8000", "http://127.0.0.9", "http://[::1]:8000", "https://a.localhost"]
)
def test_development_accepts_a_localhost_public_url(set_up, address):
    set_up(environment="development", public_url=address)
    assert Settings.load().public_url == address


def test_development_rejects_a_non_local_public_url(set_up):
    set_up(environment="development", public_url="http://192.0.2.1:8000")
    with pytest.raises(ConfigurationError, match="LATCHKEY_PUBLIC_URL points to another machine"):
        Settings.load()


def test_random_keys_are_not_considered_weak():
    # The same keys in each run, since one in a few million contains a sample word.
    source = random.Random(17)
    drawn = [source.randbytes(16).hex() for _ in range(2000)]
    drawn += [base64.urlsafe_b64encode(source.randbytes(32)).decode().rstrip("=") for _ in range(2000)]
    assert [key for key in drawn if keys.weakness(key)] == []


@pytest.mark.parametrize(("setting", "value", "what"), [REFUSED[3], REFUSED[12], REFUSED[14], REFUSED[17]])
def test_refused_start_exits_quickly_without_showing_values(production, monkeypatch, setting, value, what):
    monkeypatch.setenv(setting, value)
    program = "from config.settings import Settings; Settings.load_or_exit()"
    begun = time.monotonic()
    end = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (end.returncode, end.stdout) == (78, "")
    assert setting in end.stderr
    assert what in end.stderr
    assert "Traceback" not in end.stderr
    assert len(value) == 1 or value not in end.stderr
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("passkey_rp_id", "example.org", "is not the domain of"),
        ("passkey_rp_id", "ogin.example.com", "is not the domain of"),
        ("passkey_origins", "https://shop.example.com", "doesn't include"),
        ("passkey_origins", "https://login.example.com,http://login.example.com", "without TLS"),
    ],
)
def test_passkey_settings_that_cannot_work_are_rejected(production, set_up, name, value, said):
    set_up(**{name: value})
    with pytest.raises(ConfigurationError, match=said):
        Settings.load()


@pytest.mark.parametrize("value", ["login.example.com", "example.com"])
def test_passkey_rp_id_may_be_a_parent_domain(production, set_up, value):
    set_up(passkey_rp_id=value)
    assert Settings.load().rp_id == value


@pytest.mark.parametrize(
    ("url", "can"), [("http://localhost:8000", True), ("http://127.0.0.1:8000", False), ("http://[::1]:8000", False)]
)
def test_passkeys_require_a_host_name(url, can):
    assert Settings(environment="development", public_url=url).can_use_passkeys is can


@pytest.mark.parametrize("name", ["X SRF", "xsrf;", "\u00fc", "latchkey_session", "__Host-latchkey_browser", "x" * 61])
def test_invalid_or_reserved_csrf_cookie_name_is_rejected(set_up, name):
    set_up(csrf_cookie_name=name)
    with pytest.raises(ConfigurationError, match="LATCHKEY_CSRF_COOKIE_NAME"):
        Settings.load()


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("forward_auth_proxies", "0.0.0.0/0", "contains every address"),
        ("forward_auth_proxies", "10.0.0.2,::/0", "contains every address"),
        ("forward_auth_proxies", "10.0.0.1/8", "it is not an address or network"),
        ("forward_auth_proxies", "proxy.example.com", "it is not an address or network"),
        ("forward_auth_cookie_domain", "com", "is a top-level domain"),
    ],
)
def test_overbroad_or_invalid_forward_auth_setting_is_rejected(production, set_up, setting, value, said):
    set_up(**{setting: value})
    with pytest.raises(ConfigurationError, match=said):
        Settings.load()
