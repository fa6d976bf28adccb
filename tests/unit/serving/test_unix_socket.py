"""The socket of ``flask serve --unix``, which is claimed before anything starts."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from app.serving import startup
from config.settings import Settings

BEHIND_ONE = Settings(environment="production", trusted_proxies=1)


def refusal(capsys, settings, path) -> tuple[int, str]:
    with pytest.raises(SystemExit) as end:
        startup.claim_socket(settings, str(path))
    return end.value.code, capsys.readouterr().err


@pytest.fixture
def path(tmp_path):
    return tmp_path / "web.sock"


def test_claiming_an_unused_socket_path_creates_nothing(path):
    startup.claim_socket(BEHIND_ONE, str(path))
    assert not path.exists()


def test_stale_socket_is_removed(path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert path.is_socket()
    startup.claim_socket(BEHIND_ONE, str(path))
    assert not path.exists()


def test_socket_in_use_is_refused_and_kept(path, capsys):
    with socket.socket(socket.AF_UNIX) as alive:
        alive.bind(str(path))
        alive.listen()
        status, said = refusal(capsys, BEHIND_ONE, path)
    assert status == startup.UNAVAILABLE
    assert f"another server listens at {path}" in said
    assert path.is_socket()


def test_regular_file_is_never_replaced(path, capsys):
    path.write_text("kept")
    status, said = refusal(capsys, BEHIND_ONE, path)
    assert (status, path.read_text()) == (startup.NOT_CONFIGURED, "kept")
    assert "is not a socket" in said


def test_missing_socket_directory_is_reported(path, capsys):
    status, said = refusal(capsys, BEHIND_ONE, path.parent / "missing" / "web.sock")
    assert status == startup.UNAVAILABLE
    assert f"{path.parent / 'missing'} does not exist" in said


def test_unwritable_socket_directory_is_reported(path, capsys, monkeypatch):
    def refuse(*_rest):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(startup, "remove_stale_socket", refuse)
    status, said = refusal(capsys, BEHIND_ONE, path)
    assert status == startup.UNAVAILABLE
    assert f"can't listen at {path} (Permission denied)" in said


def test_unix_socket_in_production_requires_a_trusted_proxy(path, capsys):
    status, said = refusal(capsys, Settings(environment="production"), path)
    assert status == startup.NOT_CONFIGURED
    assert "LATCHKEY_TRUSTED_PROXIES=1" in said
    startup.claim_socket(Settings(environment="development"), str(path))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--unix", "/tmp/deploy.sock", "--port", "8001"), "leave out --port"),
        (("--unix", "/tmp/deploy.sock", "--host", "127.0.0.1"), "leave out --host"),
        (("--unix", "web.sock"), "absolute path"),
        (("--unix", "/tmp/" + "a" * 100), "at most 100 bytes"),
    ],
)
def test_invalid_unix_option_combination_is_a_usage_error(app, words, said, monkeypatch):
    monkeypatch.setattr(startup, "allow_many_connections", lambda: pytest.fail("it starts"))
    done = app.test_cli_runner().invoke(args=["serve", *words])
    assert done.exit_code == 2
    assert said in done.output


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        (("0.0.0.0", 8000), ("127.0.0.1", 8000), ("port", "8000")),
        (("127.0.0.1", 9464), ("127.0.0.1", 8000), None),
        ("/run/latchkey/web.sock", "/run/latchkey/web.sock", ("socket", "/run/latchkey/web.sock")),
        ("/run/latchkey/metrics.sock", "/run/latchkey/web.sock", None),
        (("127.0.0.1", 9464), "/run/latchkey/web.sock", None),
        ("/run/latchkey/metrics.sock", ("127.0.0.1", 8000), None),
    ],
)
def test_shared_port_or_socket_of_two_listeners_is_detected(one, other, shared):
    assert startup.shared_listener(one, other) == shared
