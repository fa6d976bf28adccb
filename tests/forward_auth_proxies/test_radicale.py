"""Radicale, which trusts the name in a header, behind each proxy: everyone gets only their own calendar."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection

import pytest

from tests.forward_auth_proxies.recipes import RECIPES, WIKI, Places, running
from tests.forward_auth_proxies.visitor import PROGRAM, Visitor
from tests.requirements import program
from tests.serving import free_port

pytestmark = pytest.mark.one_database

NAMED = {
    "nginx": (
        "proxy_set_header Remote-User $latchkey_user;",
        "proxy_set_header Remote-User $latchkey_user; proxy_set_header X-Remote-User $latchkey_user;",
    ),
    "caddy": ("copy_headers Remote-User ", "copy_headers X-Remote-User Remote-User "),
    "haproxy": ('local IDENTITY = { "remote-user",', 'local IDENTITY = { "x-remote-user", "remote-user",'),
    "traefik": ("authResponseHeaders: [Remote-User,", "authResponseHeaders: [X-Remote-User, Remote-User,"),
    "traefik, too": ('          Remote_User: ""', '          X_Remote_User: ""\n          Remote_User: ""'),
    "envoy": ("- {exact: remote-user}", "- {exact: x-remote-user}"),
}
"""What the recipes say to change for an app that reads a header of another name."""


@pytest.fixture(scope="module")
def radicale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Radicale that believes ``X-Remote-User``."""
    folder, port = tmp_path_factory.mktemp("radicale"), free_port()
    (folder / "config").write_text(
        f"[server]\nhosts = 127.0.0.1:{port}\n[auth]\ntype = http_x_remote_user\n[rights]\ntype = owner_only\n"
        f"[storage]\nfilesystem_folder = {folder}/collections\n"
    )
    home = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    with (folder / "output").open("wb") as output:
        command = [program("radicale"), "--config", str(folder / "config")]
        process = subprocess.Popen(command, env=home, stdout=output, stderr=output)
    deadline = time.monotonic() + 15
    while not answers(port):
        assert process.poll() is None, (folder / "output").read_text()
        assert time.monotonic() < deadline, (folder / "output").read_text()
        time.sleep(0.02)
    make_calendar(port, "bob")
    yield port
    process.terminate()
    process.wait(10)


def answers(port: int) -> bool:
    """Return whether something is there."""
    with suppress(OSError):
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    return False


def make_calendar(port: int, owner: str) -> None:
    """Make someone a calendar, past the proxy."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("MKCALENDAR", f"/{owner}/calendar/", headers={"X-Remote-User": owner})
    assert connection.getresponse().status == 201


@pytest.mark.parametrize("kind", RECIPES)
def test_each_user_sees_only_their_own_calendars(kind, latchkey, radicale, tmp_path, app_cookie, api_token):
    places = Places(free_port(), latchkey.port, radicale, tmp_path)
    with running(kind, places, *[change for name, change in NAMED.items() if name.startswith(kind)]):
        ada, stranger = Visitor(places.port, WIKI, app_cookie), Visitor(places.port, WIKI)
        program = {"Authorization": f"Bearer {api_token}", "Depth": "1"}
        assert ada.ask(f"/ada/{kind}/", PROGRAM, method="MKCALENDAR").status == 201
        for visitor, headers in ((ada, {"Depth": "1"}), (stranger, program)):
            for spoofed in ({}, {"X-Remote-User": "bob"}, {"X_Remote_User": "bob"}):
                listed = visitor.ask("/ada/", headers | spoofed, method="PROPFIND")
                assert listed.status == 207, listed.body
                assert f"/ada/{kind}/" in listed.body
                assert visitor.ask("/bob/", headers | spoofed, method="PROPFIND").status == 403
                root = visitor.ask("/", headers | spoofed, method="PROPFIND")
                assert "bob" not in root.body
        for spoofed in ({}, {"X-Remote-User": "bob"}):
            assert stranger.ask("/bob/", PROGRAM | spoofed, method="PROPFIND").status == 401
            assert "bob" not in stranger.ask("/public/", {"Depth": "1"} | spoofed, method="PROPFIND").body
