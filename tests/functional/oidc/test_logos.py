"""An app's logo, or the first letter of its name."""

from __future__ import annotations

import re

import pytest

from app.web.destinations import TINTS, letter_of, tint_of
from config.problems import ConfigurationError
from tests.images import png, svg
from tests.signed_in import sign_in
from tests.wire import Wire

FILE = """
[clients.grafana]
name = "Grafana"
auth_method = "none"
redirect_uris = ["https://grafana.example.com/callback"]
home_url = "https://grafana.example.com"
logo = "logos/grafana.svg"

[clients.gitea]
name = "gitea"
auth_method = "none"
redirect_uris = ["https://gitea.example.com/callback"]
home_url = "https://gitea.example.com"
"""
CACHED = "public, immutable, max-age=31536000"

pytestmark = pytest.mark.one_database


@pytest.fixture
def folder(tmp_path):
    """The clients file, with a logo beside it."""
    (tmp_path / "logos").mkdir()
    (tmp_path / "logos" / "grafana.svg").write_bytes(svg())
    (tmp_path / "clients.toml").write_text(FILE)
    return tmp_path


@pytest.fixture
def app(make_app, folder, clock):
    """The application with the clients of the file."""
    return make_app(clients_file=str(folder / "clients.toml"))


@pytest.fixture
def browser(app, people) -> Wire:
    """The browser of someone who is signed in."""
    return sign_in(Wire(app, "form"), people.open(email="ada@example.com", methods=["email"]))


def logo_on(page) -> str:
    """Return the address of the only logo on a page."""
    [address] = re.findall(r'<img class="app-logo[^"]*" src="([^"]+)" alt="">', page.text)
    return address


def test_launcher_shows_app_logo_or_letter(app, browser):
    page = browser.get("/apps")
    assert re.fullmatch(r"/apps/logo/[0-9a-f]{32}\.svg", logo_on(page))
    assert '<span class="app-logo app-letter' in page.text
    assert ">G</span>" in page.text
    wire = Wire(app, "json")
    wire.client = browser.client
    urls = {each["name"]: each["logo_url"] for each in wire.get("/apps").json["apps"]}
    assert urls == {"gitea": None, "Grafana": f"http://localhost{logo_on(page)}"}


def test_logo_is_public_cacheable_and_sandboxed(app, browser):
    answer = app.test_client().get(logo_on(browser.get("/apps")))
    assert (answer.status_code, answer.data, answer.mimetype) == (200, svg(), "image/svg+xml")
    assert answer.headers["Cache-Control"] == CACHED
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert "script-src" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["grafana", "grafana.svg", "..", "%2e%2e%2fclients.toml", "0" * 32 + ".svg"])
def test_unknown_logo_path_returns_404(app, name):
    assert app.test_client().get(f"/apps/logo/{name}").status_code == 404


def test_changed_logo_gets_a_new_url(make_app, folder, browser):
    before = logo_on(browser.get("/apps"))
    (folder / "logos" / "grafana.svg").write_bytes(png())
    (folder / "other.toml").write_text(FILE)
    other = Wire(make_app(clients_file=str(folder / "other.toml")), "form")
    other.client.set_cookie("latchkey_session", browser.client.get_cookie("latchkey_session").value)
    after = logo_on(other.get("/apps"))
    assert after.endswith(".png")
    assert after != before


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (svg("<script>alert(1)</script>"), "is an SVG with <script>"),
        (svg('<image href="https://spy.example/x.png"/>'), "is an SVG with a link"),
        (b"GIF89a", "isn't a PNG, SVG or WEBP image"),
        (svg() + b" " * 256 * 1024, "is larger than 256 KiB"),
    ],
)
def test_startup_with_invalid_logo_fails(make_app, folder, data, what):
    (folder / "logos" / "grafana.svg").write_bytes(data)
    (folder / "wrong.toml").write_text(FILE)
    with pytest.raises(ConfigurationError) as refused:
        make_app(clients_file=str(folder / "wrong.toml"))
    assert f"clients.grafana.logo points to a file that {what}" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "letter"),
    [
        ("Grafana", "G"), ("immich", "I"), ("1Password", "1"), ("«Über»", "Ü"), ("e\u0301tude", "E\u0301"),
        ("日本", "日"), ("ß", "S"), ("***", "*"),
    ],
)  # fmt: skip
def test_app_letter_is_the_first_letter_of_the_name(name, letter):
    assert letter_of(name) == letter


def test_app_tint_is_stable_and_covers_all_colors():
    found = {tint_of(f"app{number}") for number in range(50)}
    assert found == set(range(1, TINTS + 1))
    assert tint_of("grafana") == tint_of("grafana")
