"""LATCHKEY_REGISTRATION and the settings for mail domains."""

from __future__ import annotations

import pytest

from config.settings import ConfigurationError, Settings

pytestmark = pytest.mark.one_database
SMS = {"sms_url": "https://sms.example.com/send", "sms_countries": "GB"}


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("on", "open"), ("true", "open"), ("1", "open"), ("Yes", "open"), ("OPEN", "open"), ("invite", "invite"),
        ("off", "off"), ("false", "off"), ("0", "off"), ("No", "off"),
    ],
)  # fmt: skip
def test_registration_accepts_boolean_values_of_earlier_releases(set_up, production, text, mode):
    set_up(registration=text)
    settings = Settings.load()
    assert settings.registration == mode
    assert settings.can_register is (mode == "open")


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        ({"registration": "closed"}, "LATCHKEY_REGISTRATION"),
        ({"registration": "domains"}, "LATCHKEY_REGISTRATION_DOMAINS"),
        ({"registration_domains": "https://example.com"}, "LATCHKEY_REGISTRATION_DOMAINS"),
        ({"registration_denied_domains": "@example.com"}, "LATCHKEY_REGISTRATION_DENIED_DOMAINS"),
        ({"registration_denied_domains": "a.example,A.example"}, "LATCHKEY_REGISTRATION_DENIED_DOMAINS"),
        ({"disposable_domains_file": "/nowhere"}, "LATCHKEY_DISPOSABLE_DOMAINS_FILE"),
        ({"registration_by_phone": "on"}, "LATCHKEY_REGISTRATION_BY_PHONE"),  # nothing sends texts
        ({"registration_by_phone": "on", "methods": "email"}, "LATCHKEY_REGISTRATION_BY_PHONE"),
        ({"registration_by_phone": "on"} | SMS | {"identity_attributes": "email"}, "LATCHKEY_REGISTRATION_BY_PHONE"),
    ],
)
def test_invalid_registration_setting_refuses_the_start(set_up, production, wrong, names):
    set_up(**wrong)
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert [problem.setting for problem in refused.value.problems] == [names]


def test_invalid_line_in_the_domains_file_refuses_the_start(set_up, production, tmp_path):
    (tmp_path / "domains").write_text("a.example\nnot a domain\n")
    set_up(disposable_domains_file=str(tmp_path / "domains"))
    with pytest.raises(ConfigurationError) as refused:
        Settings.load()
    assert "line 2" in str(refused.value)


def test_registration_domains_are_normalized(set_up, production):
    set_up(registration="domains", registration_domains="Bücher.example, *.Example.com.")
    assert Settings.load().registration_domains == ("xn--bcher-kva.example", "*.example.com")


def test_registration_by_phone_is_off_by_default(set_up, production):
    set_up(**SMS)
    assert Settings.load().can_register_by_phone is False
    set_up(registration_by_phone="on", **SMS)
    assert Settings.load().can_register_by_phone is True
