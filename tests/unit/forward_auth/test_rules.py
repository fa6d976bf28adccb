"""Which rule applies: the first that matches, and the strictest if a path is ambiguous."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address

import pytest

from app.forward_auth.app_file import read_apps
from app.forward_auth.rules import decoded_path
from tests.forward_auth import FILE


@pytest.fixture(scope="module")
def wiki(tmp_path_factory):
    """The app of the file with the most rules."""
    path = tmp_path_factory.mktemp("apps") / "apps.toml"
    path.write_text(FILE)
    apps, problems = read_apps(str(path), needs_https=True)
    assert problems == []
    return apps["wiki.example.com"]


@pytest.mark.parametrize(
    ("method", "path", "level", "decided_by"),
    [
        ("GET", "/", "signed_in", "the app wiki"),
        ("GET", "/public/x", "public", "rule 1"),
        ("GET", "/public", "public", "rule 1"),
        ("GET", "/publicity", "signed_in", "the app wiki"),
        ("GET", "/health", "public", "rule 1"),
        ("GET", "/health/x", "signed_in", "the app wiki"),
        ("GET", "/a%64min/x", "aal2", "rule 2"),
        ("GET", "/%61dmin/x", "aal2", "rule 2"),
        ("GET", "/metrics", "deny", "rule 4"),
        ("POST", "/hook", "public", "rule 5"),
        ("GET", "/hook", "signed_in", "the app wiki"),
        ("GET", "/caf%C3%A9", "signed_in", "the app wiki"),
    ],
)
def test_first_matching_rule_decides(wiki, method, path, level, decided_by):
    requirements = wiki.requirements_for(method, path)
    assert (requirements.level, requirements.decided_by) == (level, decided_by)


@pytest.mark.parametrize(
    "path",
    [
        "/public%2f..%2fadmin", "/public/..%2Fadmin", "/public/../admin/x", "/public/%2e%2e/admin/x",
        "/admin/../public/x",
        "/public/./x", "/public/.%2e/x", "/public//admin", "//public/x", "/public;/../admin", "/public/x;a=b",
        "/public\\..\\admin", "/public%5c..%5cadmin", "/public%5C", "/public/%00", "/public/\x00",
        "/public/%252e%252e/admin", "/public/x#/../../admin", "/metrics#x",
        "/public/..%3b/admin/x", "/public/..%3B/admin/x", "/health%0a", "/health%1F",
        "/public/%7f",
        "/public/%zz", "/public/%", "/public/%ff", "/public/\xff", "/public/x,/admin", "/public/\x7f", "public/x", "",
        "/public/" + "x" * 8192,
    ],
)  # fmt: skip
def test_ambiguous_path_gets_the_strictest_rule(wiki, path):
    assert decoded_path(path) is None
    assert wiki.requirements_for("GET", path).level == "deny"


def test_unreachable_rule_does_not_affect_ambiguous_paths(tmp_path):
    path = tmp_path / "apps.toml"
    path.write_text(
        '[apps.a]\nname = "A"\nurl = "https://a.example.com"\n[[apps.a.rules]]\npaths = ["/*"]\nlevel = "public"\n'
        '[[apps.a.rules]]\npaths = ["/x"]\nlevel = "deny"\n'
    )
    [app] = read_apps(str(path), needs_https=True)[0].values()
    assert app.requirements_for("GET", "/a//b").level == "public"


@pytest.mark.parametrize(
    "path", ["/ADMIN/x", "/Admin/x", "/admIN", "/admin./x", "/admin%20/x", "/%EF%BD%81dmin/x", "/ADMIN.%20./x"]
)
def test_path_variant_gets_the_stricter_of_both_readings(wiki, path):
    requirements = wiki.requirements_for("GET", path)
    assert (requirements.level, requirements.groups) == ("aal2", (frozenset({"admins"}),))


@pytest.mark.parametrize("path", ["/metrics/", "/Metrics/", "/metrics.", "/metrics%20", "/metrics/.%20/"])
def test_deny_rule_also_covers_trailing_slash_and_case_variants(wiki, path):
    assert wiki.requirements_for("GET", path).level == "deny"


@pytest.mark.parametrize("path", ["/PUBLIC/x", "/health/", "/health.", "/Health"])
def test_public_rule_does_not_cover_path_variants(wiki, path):
    assert wiki.requirements_for("GET", path).level == "signed_in"


def test_rule_paths_match_across_unicode_normalization_forms(tmp_path):
    path = tmp_path / "apps.toml"
    path.write_text(
        '[apps.a]\nname = "A"\nurl = "https://a.example.com"\nlevel = "public"\n'
        '[[apps.a.rules]]\npaths = ["/caf\u00e9/*"]\nlevel = "deny"\n'
    )
    [app] = read_apps(str(path), needs_https=True)[0].values()
    assert [app.requirements_for("GET", each).level for each in ("/caf%C3%A9/x", "/cafe%CC%81/x")] == ["deny", "deny"]


def test_network_rule_applies_only_to_its_networks(wiki):
    assert wiki.requirements_for("GET", "/internal/x", ip_address("192.0.2.7")).level == "signed_in"
    assert wiki.requirements_for("GET", "/internal/x", ip_address("192.0.3.7")).level == "deny"
    assert wiki.requirements_for("GET", "/internal/x", None).level == "deny"


def test_head_counts_as_get(tmp_path):
    path = tmp_path / "apps.toml"
    rule = '[[apps.a.rules]]\npaths = ["/x"]\nmethods = ["GET"]\nlevel = "public"\n'
    path.write_text(f'[apps.a]\nname = "A"\nurl = "https://a.example.com"\n{rule}')
    [app] = read_apps(str(path), needs_https=True)[0].values()
    levels = [app.requirements_for(method, "/x").level for method in ("GET", "HEAD", "POST")]
    assert levels == ["public", "public", "signed_in"]


def test_rule_inherits_unset_fields_from_the_app(tmp_path):
    path = tmp_path / "apps.toml"
    path.write_text(
        '[apps.a]\nname = "A"\nurl = "https://a.example.com"\ngroups = ["staff"]\nmax_age = "PT1H"\nlevel = "aal2"\n'
        '[[apps.a.rules]]\npaths = ["/x"]\n[[apps.a.rules]]\npaths = ["/y"]\ngroups = []\nlevel = "signed_in"\n'
    )
    [app] = read_apps(str(path), needs_https=True)[0].values()
    x, y = app.requirements_for("GET", "/x"), app.requirements_for("GET", "/y")
    assert (x.level, x.groups, x.max_age) == ("aal2", (frozenset({"staff"}),), timedelta(hours=1))
    assert (y.level, y.groups) == ("signed_in", ())


def test_strictest_rule_combines_all_groups_and_the_shortest_max_age(tmp_path):
    path = tmp_path / "apps.toml"
    path.write_text(
        '[apps.a]\nname = "A"\nurl = "https://a.example.com"\ngroups = ["staff"]\nmax_age = "PT1H"\ncross_site = true\n'
        '[[apps.a.rules]]\npaths = ["/x"]\ngroups = ["admins"]\nmax_age = "PT5M"\ncross_site = false\n'
    )
    [app] = read_apps(str(path), needs_https=True)[0].values()
    requirements = app.requirements_for("GET", "/a//b")
    assert not requirements.admits({"staff"})
    assert not requirements.admits({"admins"})
    assert requirements.admits({"admins", "staff"})
    assert requirements.max_age == timedelta(minutes=5)
    assert not requirements.cross_site
