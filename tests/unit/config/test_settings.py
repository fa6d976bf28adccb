"""How settings are read: types, files, names, and immutability."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from config import environment
from config.display import ShownSetting, by_subject, masked_url, shown
from config.problems import variable
from config.senders import split_sender
from config.settings import ConfigurationError, Settings

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("600", 600), (" 600 ", 600), ("0.5", 0.5), ("PT10M", 600), ("pt10m", 600), ("P1DT2H", 93600), ("P1W", 604800)],
)
def test_duration_is_read_as_seconds_or_iso_8601(set_up, production, text, seconds):
    set_up(email_code_lifetime=text)
    assert Settings.load().email_code_lifetime == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["10 minutes", "00:10", "-5", "1e3", "nan", "inf", "P", "PT", "P1M", "²", "0", "9" * 400, "999999999"]
)
def test_invalid_duration_is_rejected(set_up, production, text):
    set_up(email_code_lifetime=text)
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert [problem.setting for problem in refused.value.problems] == ["LATCHKEY_EMAIL_CODE_LIFETIME"]


@pytest.mark.parametrize(("text", "is_on"), [("on", True), ("off", False), ("true", True), ("0", False), ("No", False)])
def test_boolean_setting_is_parsed(set_up, production, text, is_on):
    set_up(mail_unknown=text)
    assert Settings.load().mail_unknown is is_on


def test_list_is_split_at_commas(set_up, production):
    set_up(methods="password, email,", allowed_hosts="Other.example.com,[::1]:8443")
    settings = Settings.load()
    assert settings.methods == ("password", "email")
    assert settings.allowed_hosts == ("other.example.com", "[::1]:8443")


def test_empty_variable_counts_as_unset(set_up, production):
    set_up(methods="", brand_name="", trusted_proxies="", mail_url_file="")
    settings = Settings.load()
    assert settings.methods == ("email", "authenticator")
    assert (settings.brand_name, settings.trusted_proxies) == ("Latchkey", 0)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("environment", "staging"),
        ("database_url", "mysql://host/name"),
        ("public_url", "https://login.example.com/a b"),
        ("public_url", "https://login.example.com/../auth"),
        ("public_url", "https://login.example.com//auth"),
        ("public_url", "https://login.example.com/%61uth"),
        ("public_url", "https://login.example.com/auth;v=1"),
        ("public_url", "https://login.example.com/auth?a=b"),
        ("public_url", "https://login.example.com/auth#top"),
        ("public_url", "https://ada@login.example.com"),
        ("public_url", "login.example.com"),
        ("public_url", "https://login.example.com:99999"),
        ("allowed_hosts", "*.example.com"),
        ("mail_url", "smtp://user:pa/ss@host"),
        ("mail_url", "https://host"),
        ("mail_url", "smtps://mailer:%FF@host"),
        ("mail_sender", "nobody"),
        ("mail_sender", "Acme <a@acme.example>, Bcme <b@acme.example>"),
        ("mail_sender", "Acme\r\nBcc: eve@evil.example <a@acme.example>"),
        ("mail_answer_timeout", "601"),
        ("support_mail", "helpdesk"),
        ("support_mail", "hälp@acme.example"),
        ("support_mail", "(help)@acme.example"),
        ("sms_headers", "X-Api-Key"),
        ("sms_headers", "X-Api-Key: ü"),
        ("sms_headers", "X Api: key"),
        ("sms_headers", "Host: elsewhere.example"),
        ("sms_headers", "X-Key: one\nx-key: two"),
        ("twilio_auth_token", "5f1d9be2c07a4483\u00fc"),
        ("twilio_auth_token", "5f1d9be2c07a4483\n"),
        ("twilio_auth_token", "5f1d9be2\x7fc07a4483"),
        ("twilio_auth_token", "5f1d9be2\udcffc07a4483"),
        ("twilio_account_sid", "AC\u0661"),
        ("twilio_account_sid", "AC1:"),
        ("twilio_sender", "+1500555\udcff0006"),
        ("twilio_sender", "+15005550006\r\nX: y"),
        ("bounces_mailgun_key", "5f1d9be2c07a4483a6e1\udcff"),
        ("bounces_mailgun_key", "5f1d9be2c07a4483a6e1\u2026"),
        ("bounces_mailgun_key", "5f1d9be2c07a4483\na6e1"),
        ("bounces_postmark_secret", "5f1d9be2c07a4483a6e1\u20ac"),
        ("bounces_postmark_secret", " 5f1d9be2c07a4483a6e1"),
        ("sms_url", "https://sms.example.com/\x7f"),
        ("imported_password_salt", "pepper\udcff"),
        ("secret_keys", "5f1d9be2c07a4483a6e1d2b7f90c3358\udcff"),
        ("sms_success", "(queued"),
        ("methods", "email,email"),
        ("methods", "a pigeon"),
        ("email_code_digits", "5"),
        ("sms_code_digits", "9"),
        ("challenge_tries", "0"),
        ("challenge_tries", "many"),
        ("limits", "maybe"),
        ("post_login_url", "//elsewhere.example"),
        ("post_login_url", "javascript:alert(1)"),
        ("post_login_url", "/\\elsewhere.example"),
        ("totp_issuer", "a:b"),
    ],
)
def test_invalid_value_is_rejected_by_setting_name(set_up, production, field, text):
    set_up(**{field: text})
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert [problem.setting for problem in refused.value.problems] == [variable(field)]
    assert "docs/settings.md" in str(refused.value)


def test_all_problems_are_reported_together(set_up):
    set_up(email_code_digits="5", log_level="loud")
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert {problem.setting for problem in refused.value.problems} == {
        "LATCHKEY_EMAIL_CODE_DIGITS",
        "LATCHKEY_LOG_LEVEL",
    }


def test_every_setting_can_be_read_from_a_file(monkeypatch, tmp_path):
    file = tmp_path / "value"
    file.write_text(" the value\n")
    read = {}
    for field in Settings.model_fields:
        with monkeypatch.context() as alone:
            alone.setenv(f"{variable(field)}_FILE", str(file))
            read[field] = environment.read_files(Settings.model_fields)
    assert read == {field: {variable(field).lower(): "the value"} for field in Settings.model_fields}


def test_secret_keys_file_has_one_key_per_line(set_up, production, monkeypatch, tmp_path):
    monkeypatch.delenv("LATCHKEY_SECRET_KEYS")
    file = tmp_path / "keys"
    file.write_text("5f1d9be2c07a4483a6e1d2b7f90c3358\n77b0e94c1f2d4ea9b3c68d5a0e1f9246\n")
    set_up(secret_keys_file=str(file))
    assert Settings.load().key_texts == file.read_text().split()


@pytest.mark.parametrize(
    ("content", "what"), [(b"", "is empty"), (b"\xff\xfe", "UTF-8"), (b"a" * 70000, "64 KiB"), (None, "can't be read")]
)
def test_unusable_settings_file_is_rejected_by_name(set_up, production, tmp_path, content, what):
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    set_up(sms_url_file=str(file))
    with pytest.raises(ConfigurationError, match=f"LATCHKEY_SMS_URL_FILE points to a file that .*{what}"):
        Settings.load()


def test_setting_given_as_value_and_file_is_rejected(set_up, production, tmp_path):
    file = tmp_path / "url"
    file.write_text("smtps://mail.example.com")
    set_up(mail_url_file=str(file))
    with pytest.raises(ConfigurationError, match="LATCHKEY_MAIL_URL is set, and so is LATCHKEY_MAIL_URL_FILE"):
        Settings.load()


def test_unknown_setting_causes_a_warning(set_up, production):
    set_up(limit="off")
    assert any("LATCHKEY_LIMIT isn't a setting" in str(each) for each in Settings.load().warnings)


def test_second_factor_for_accepts_its_us_mfa_required_alias(set_up, production):
    set_up(us_mfa_required="password,email")
    settings = Settings.load()
    assert settings.second_factor_for == ("password", "email")
    assert not any("MFA_REQUIRED" in str(each) for each in settings.warnings)
    set_up(second_factor_for="sms")
    with pytest.raises(
        ConfigurationError, match="LATCHKEY_US_MFA_REQUIRED is set, and so is LATCHKEY_SECOND_FACTOR_FOR"
    ):
        Settings.load()


def test_directly_constructed_settings_ignore_the_environment(set_up):
    set_up(brand_name="From outside", limits="off")
    settings = Settings(environment="development", sms_timeout=4, methods="email")
    assert (settings.brand_name, settings.limits, settings.methods) == ("Latchkey", True, ("email",))
    assert settings.sms_timeout == timedelta(seconds=4)


def test_settings_are_immutable():
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.limits = False
    assert all(not isinstance(getattr(settings, field), list | dict | set) for field in Settings.model_fields)


def test_directly_constructed_settings_reject_unknown_names():
    with pytest.raises(ValidationError):
        Settings(limit=False)


def test_defaults_depend_on_environment_and_public_url():
    assert Settings(environment="development").public_url == "http://localhost:8000"
    assert Settings(environment="development").can_use_passkeys
    assert Settings(environment="development").mail_sender == '"Latchkey" <no-reply@localhost>'
    assert Settings().public_url == ""
    assert (Settings(environment="development").log_format, Settings().log_format) == ("text", "json")


@pytest.mark.parametrize("name", ["Acme", "Acme, Inc.", 'The "A" \\ B', "Müller @ Söhne, KG"])
def test_mail_sender_defaults_to_the_brand_name(name):
    sender = Settings(public_url="https://login.example.com", brand_name=name).mail_sender
    assert split_sender(sender) == (name, "no-reply@login.example.com")
    assert Settings(brand_name=name, mail_sender="codes@acme.example").mail_sender == "codes@acme.example"


def test_origin_omits_the_default_port_and_https_sets_the_cookie_prefix():
    settings = Settings(environment="development", public_url="https://Localhost:443/")
    assert (settings.origin, settings.cookie_prefix) == ("https://localhost", "__Host-")
    assert Settings(environment="development").cookie_prefix == ""
    assert Settings(environment="production").cookie_prefix == "__Host-"


def test_settings_repr_and_listing_mask_secrets():
    urls = dict.fromkeys(("mail_url", "sms_url", "queue_url", "redis_url", "database_url"))
    urls |= {"mail_url": "smtp://u:hush@h:25", "sms_url": "https://h/hush?k=hush", "queue_url": "redis://:hush@h/0"}
    urls |= {"redis_url": "rediss://u:hush@h", "database_url": "postgresql://u:hush@h/d?password=hush"}
    settings = Settings(
        secret_keys=("hush",),
        twilio_auth_token=SecretStr("hush"),
        sms_headers=SecretStr("K: hush"),
        sms_fallback_headers=SecretStr("K: hush"),
        mail_fallback_url="smtp://u:hush@i:25",
        sms_fallback_url="https://u:hush@i",
        imported_password_salt=SecretStr("hush"),
        **urls,
    )
    assert "hush" not in f"{settings!r} {settings} {shown(settings)}"
    assert shown(settings)["LATCHKEY_DATABASE_URL"] == "postgresql://***@h/***"
    assert shown(settings)["LATCHKEY_SESSION_ABSOLUTE"] == "2592000"


def test_url_password_with_a_slash_is_masked():
    assert masked_url("postgresql://u:hu/sh@h/d") == "postgresql://***"
    assert masked_url("postgresql://h1,h2/d") == "postgresql://h1,h2/***"


def test_source_of_each_setting_is_known(set_up, production, tmp_path):
    (tmp_path / "name").write_text("Acme")
    set_up(brand_name_file=str(tmp_path / "name"), pool_size="16")
    known = {
        each.variable: each for group in by_subject(Settings.load(), changed_only=False).values() for each in group
    }
    assert known["LATCHKEY_BRAND_NAME"].source == "file"
    assert (known["LATCHKEY_POOL_SIZE"].source, known["LATCHKEY_POOL_SIZE"].value) == ("environment", "16")
    assert known["LATCHKEY_HSTS"].source == "default"


def test_generated_development_key_is_not_listed_as_configured(set_up):
    set_up(environment="development")
    settings = Settings.load()
    assert settings.key_texts
    assert [name for group in by_subject(settings, changed_only=True).values() for name in group] == [
        ShownSetting(
            "LATCHKEY_ENVIRONMENT",
            "development",
            "environment",
            False,
            Settings.model_fields["environment"].description.replace("`", ""),
        )
    ]


def test_every_secret_setting_is_excluded_from_repr():
    hidden = {name for name, field in Settings.model_fields.items() if not field.repr}
    assert hidden == set(environment.SECRETS)
    assert all(field.description for field in Settings.model_fields.values())


def test_development_key_is_generated_once_with_mode_600(set_up):
    set_up(environment="development")
    first, second = Settings.load(), Settings.load()
    assert first.key_texts == second.key_texts
    assert len(first.key_texts[0]) == 64
    assert Path("var/dev-secrets").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in Path("var").iterdir()] == ["dev-secrets"]
