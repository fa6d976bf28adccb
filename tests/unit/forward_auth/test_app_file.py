"""The apps file: valid contents, errors, and reloading."""

from __future__ import annotations

import os
import time

import pytest

from app.forward_auth import app_file
from app.forward_auth.app_file import AppFile, read_apps
from config.problems import Problem
from tests.forward_auth import FILE

APP = '[apps.wiki]\nname = "Wiki"\nurl = "https://wiki.example.com"\n'

FAULTS = {
    "no name": ('[apps.wiki]\nurl = "https://a.example"', "line 1: apps.wiki.name: is missing"),
    "no URL": ('[apps.wiki]\nname = "x"', "line 1: apps.wiki.url: is missing"),
    "a path in it": (
        '[apps.wiki]\nname = "x"\nurl = "https://a.example/x"',
        "line 3: apps.wiki.url: it must be",
    ),
    "no https": ('[apps.wiki]\nname = "x"\nurl = "http://a.example"', "line 3: apps.wiki.url begins with http://"),
    "a level": (f'{APP}level = "open"', "line 4: apps.wiki.level: must be 'public', 'signed_in', 'aal2' or 'deny'"),
    "a field": (f"{APP}group = []", "line 4: apps.wiki.group isn't a field of an app"),
    "a group": (f'{APP}groups = ["A B"]', "line 4: apps.wiki.groups: 'A B' can't be a group name"),
    "a table": ("[clients.x]", "line 1: clients isn't a table of apps"),
    "an id": ('[apps."A b"]\nname = "x"\nurl = "https://a.example"', "apps.A b isn't a valid app ID"),
    "twice": (f'{APP}[apps.b]\nname = "B"\nurl = "https://WIKI.example.com"', "apps.b.url has the host of wiki"),
    "a header of ours": (f'{APP}headers = {{"Remote-User" = "user"}}', "Remote-User can't be sent to an app"),
    "a header of proxies": (f'{APP}headers = {{"X-Forwarded-For" = "user"}}', "X-Forwarded-For can't be sent"),
    "an underscore": (f'{APP}headers = {{"Remote_User" = "user"}}', "isn't a valid header name"),
    "a value": (f'{APP}headers = {{"X-User" = "id"}}', "must be 'user', 'email', 'name' or 'groups'"),
    "a path of a rule": (
        f'{APP}[[apps.wiki.rules]]\npaths = ["x"]',
        "apps.wiki.rules, rule 1: paths: a path",
    ),
    "a star": (f'{APP}[[apps.wiki.rules]]\npaths = ["/a*"]', "rule 1: paths: a path must begin with /"),
    "dots": (f'{APP}[[apps.wiki.rules]]\npaths = ["/a/../b"]', "rule 1: paths: a path must begin with /"),
    "encoded": (f'{APP}[[apps.wiki.rules]]\npaths = ["/a%20b"]', "rule 1: paths: a path must begin with /"),
    "a network": (f'{APP}[[apps.wiki.rules]]\nnetworks = ["10.0.0.1/8"]', "rule 1: networks: it is not a network"),
    "a method": (f'{APP}[[apps.wiki.rules]]\nmethods = ["get"]', "rule 1: methods: a method must be in capitals"),
    "HEAD": (f'{APP}[[apps.wiki.rules]]\nmethods = ["HEAD"]', "rule 1: methods: write GET, which includes HEAD"),
    "no paths": (f"{APP}[[apps.wiki.rules]]\npaths = []", "rule 1: paths: it is empty; leave it out to match all"),
    "no methods": (f"{APP}[[apps.wiki.rules]]\nmethods = []", "rule 1: methods: it is empty"),
    "no networks": (f"{APP}[[apps.wiki.rules]]\nnetworks = []", "rule 1: networks: it is empty"),
    "an open rule with groups": (
        f'{APP}level = "public"\n[[apps.wiki.rules]]\npaths = ["/admin/*"]\ngroups = ["admins"]',
        "apps.wiki.rules, rule 1: it has groups or max_age, but its level is public",
    ),
    "an open rule with an age": (
        f'{APP}[[apps.wiki.rules]]\n[[apps.wiki.rules]]\nlevel = "public"\nmax_age = 60',
        "apps.wiki.rules, rule 2: it has groups or max_age",
    ),
    "a field of a rule": (
        f'{APP}[[apps.wiki.rules]]\npath = "/x"',
        "path isn't a field of a rule. Did you mean paths?",
    ),
    "no TOML": ("[apps.wiki", "isn't valid TOML"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_problem_names_its_line(tmp_path, name):
    text, said = FAULTS[name]
    path = tmp_path / "apps.toml"
    path.write_text(text)
    _, problems = read_apps(str(path), needs_https=True)
    assert said in "\n".join(map(str, problems))


def test_valid_file_has_no_problems(tmp_path):
    path = tmp_path / "apps.toml"
    path.write_text(FILE)
    apps, problems = read_apps(str(path), needs_https=True)
    assert problems == []
    assert sorted(apps) == ["board.example.org", "wiki.example.com"]


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file that is looked at with every request."""
    monkeypatch.setattr(app_file, "CHECK_INTERVAL", 0)
    path = tmp_path / "apps.toml"
    path.write_text(APP)
    return path, AppFile(str(path), needs_https=True)


def test_changed_file_is_reloaded(file):
    path, read = file
    assert list(read.by_host()) == ["wiki.example.com"]
    path.write_text(APP.replace("wiki.example.com", "notes.example.com"))
    assert list(read.by_host()) == ["notes.example.com"]


def test_invalid_file_keeps_the_last_valid_apps_and_reports_problems(file, capsys):
    path, read = file
    path.write_text("[apps.wiki")
    assert list(read.by_host()) == ["wiki.example.com"]
    assert "isn't valid TOML" in str(read.problems[0])
    path.unlink()
    assert list(read.by_host()) == ["wiki.example.com"]
    assert "can't be read" in str(read.problems[0])
    path.write_text(APP + '\n[apps.b]\nname = "B"\nurl = "https://b.example.com"\n')
    assert sorted(read.by_host()) == ["b.example.com", "wiki.example.com"]
    assert read.problems == []


def test_unchanged_file_is_not_reloaded(file, monkeypatch):
    _, read = file
    monkeypatch.setattr(read, "_read", None)
    assert list(read.by_host()) == ["wiki.example.com"]


def test_file_being_written_is_not_read_until_complete(file, monkeypatch):
    path, read = file
    whole = APP + '[[apps.wiki.rules]]\npaths = ["/admin/*"]\nlevel = "deny"\n'
    path.write_text(APP.replace("Wiki", "Half"))
    monkeypatch.setattr(app_file, "_was_just_written", lambda _state: True)
    assert [app.name for app in read.by_host().values()] == ["Wiki"]
    path.write_text(whole)
    assert [len(app.rules) for app in read.by_host().values()] == [1]
    assert [len(app.rules) for app in read.by_host().values()] == [2]


def test_file_is_reloaded_only_once_its_mtime_is_old_enough(file, monkeypatch):
    path, read = file
    monkeypatch.setattr(app_file, "CHECK_INTERVAL", 1.0)
    for age, names in ((0, ["Wiki"]), (5, ["Notes"])):
        path.write_text(APP.replace("Wiki", "Notes"))
        os.utime(path, (time.time() - age, time.time() - age))
        monkeypatch.setattr(read, "_checked_at", 0)
        assert [app.name for app in read.by_host().values()] == names


def test_file_is_reloaded_after_permissions_are_fixed(file, monkeypatch):
    path, read = file
    path.write_text(APP.replace("Wiki", "Notes"))
    reading = read._read

    def refused(_path):
        return {}, [Problem("LATCHKEY_APPS_FILE", "points to a file that can't be read (Permission denied)", "")]

    monkeypatch.setattr(read, "_read", refused)
    assert [app.name for app in read.by_host().values()] == ["Wiki"]
    monkeypatch.setattr(read, "_read", reading)
    path.chmod(0o640)
    assert [app.name for app in read.by_host().values()] == ["Notes"]


def test_swapped_symlinked_directory_is_reloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(app_file, "CHECK_INTERVAL", 0)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "apps.toml").write_text(APP.replace("Wiki", name.title()))
    (tmp_path / "..data").symlink_to("one")
    read = AppFile(str(tmp_path / "..data" / "apps.toml"), needs_https=True)
    (tmp_path / "..new").symlink_to("two")
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert [app.name for app in read.by_host().values()] == ["Two"]
