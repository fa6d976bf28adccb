"""An environment without settings, and one that production accepts."""

import os

import pytest

SOUND = {
    "LATCHKEY_SECRET_KEYS": "5f1d9be2c07a4483a6e1d2b7f90c3358",
    "LATCHKEY_PUBLIC_URL": "https://login.example.com",
    "LATCHKEY_MAIL_URL": "smtp+starttls://ada:s3same@mail.example.com:587",
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch, tmp_path):
    """Ignore settings of the person who runs the tests, and create files in a temporary directory."""
    for name in [name for name in os.environ if name.startswith("LATCHKEY_") or name == "FLASK_DEBUG"]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def set_up(monkeypatch):
    """Return a function that sets variables, named without their prefix."""

    def set_variables(**texts: str) -> None:
        for name, text in texts.items():
            monkeypatch.setenv(f"LATCHKEY_{name.upper()}", text)

    return set_variables


@pytest.fixture
def production(monkeypatch):
    """Set what production needs, and no more."""
    for name, text in SOUND.items():
        monkeypatch.setenv(name, text)
