"""Host names in settings are normalized to what browsers send."""

from __future__ import annotations

import pytest

from config.settings import Settings


def load(**fields: str) -> Settings:
    return Settings(environment="development", **fields)


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("https://Zürich.localhost", "https://xn--zrich-kva.localhost"),
        ("https://zu\u0308rich.localhost", "https://xn--zrich-kva.localhost"),
        ("https://straße.localhost/", "https://xn--strae-oqa.localhost"),
        ("https://xn--zrich-kva.localhost", "https://xn--zrich-kva.localhost"),
        ("https://login.localhost.", "https://login.localhost"),
        ("https://login。localhost。", "https://login.localhost"),
        ("https://login.localhost.:8443", "https://login.localhost:8443"),
        ("https://LOGIN.localhost", "https://login.localhost"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
    ],
)
def test_public_url_is_normalized_like_browser_origins(public_url, origin):
    settings = load(public_url=public_url)
    assert settings.origin == origin
    assert settings.webauthn_origins == (origin,)
    assert settings.mail_sender.isascii()


@pytest.mark.parametrize(
    ("public_url", "kept", "sub_path"),
    [
        ("https://Login.localhost/auth/", "https://login.localhost/auth", "/auth"),
        ("https://login.localhost:443/id/v2.1", "https://login.localhost/id/v2.1", "/id/v2.1"),
        ("http://[::1]:8000/Auth", "http://[::1]:8000/Auth", "/Auth"),
        ("https://login.localhost/", "https://login.localhost", ""),
    ],
)
def test_public_url_may_have_a_path(public_url, kept, sub_path):
    settings = load(public_url=public_url)
    assert (settings.public_url, settings.sub_path) == (kept, sub_path)
    assert settings.origin == kept.removesuffix(sub_path)
    assert settings.webauthn_origins == (settings.origin,)


@pytest.mark.parametrize(
    ("field", "given", "kept"),
    [
        ("allowed_hosts", "Zürich.example:8443, other.example., [::1]:8000, [::1]",
         ("xn--zrich-kva.example:8443", "other.example", "[::1]:8000", "[::1]")),
        ("passkey_rp_id", "Zürich.example.", "xn--zrich-kva.example"),
        ("passkey_origins", "https://zürich.example.:443", ("https://xn--zrich-kva.example",)),
        ("post_login_url", "https://Zürich.example./für?a=b", "https://xn--zrich-kva.example/für?a=b"),
        ("post_login_url", "https://zürich.example:8443/", "https://xn--zrich-kva.example:8443/"),
        ("post_login_url", "http://[::1]:3000/x", "http://[::1]:3000/x"),
        ("post_login_url", "/für", "/für"),
    ],
)  # fmt: skip
def test_host_names_are_normalized_in_every_setting(field, given, kept):
    address = {"public_url": "https://zürich.example"} if field.startswith("passkey") else {}
    settings = Settings.model_validate({"environment": "development", field: given} | address)
    assert getattr(settings, field) == kept


def test_front_end_origins_are_normalized_like_browser_origins():
    settings = load(post_login_url="https://Zürich.example./x", login_error_url="http://app.example:3000/")
    assert settings.front_ends == ("http://app.example:3000", "https://xn--zrich-kva.example")


@pytest.mark.parametrize(
    "host",
    [
        "login..example.com",
        ".example.com",
        "a\u00adb..example",
        "ü" * 80 + ".example",
        "☃.example",
        "-ü.example",
        ".",
        "..",
        "ü..",
        "login.example.com..",
    ],
)
@pytest.mark.parametrize("field", ["public_url", "passkey_origins", "post_login_url", "allowed_hosts", "passkey_rp_id"])
def test_invalid_host_name_is_rejected(field, host):
    given = host if field in ("allowed_hosts", "passkey_rp_id") else f"https://{host}"
    with pytest.raises(ValueError):
        Settings.model_validate({"environment": "development", field: given})
