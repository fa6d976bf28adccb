"""The operator's brand on pages and in emails, and how its files are served."""

from __future__ import annotations

import re

import pytest

from app import create_app
from config.colors import palettes
from config.settings import ConfigurationError, Settings
from tests.images import png, svg

pytestmark = pytest.mark.one_database

CACHED = "public, immutable, max-age=31536000"


@pytest.fixture
def files(tmp_path):
    """A logo for each background, an icon and an image."""
    data = {"logo": svg(), "dark": svg("<circle r='4'/>"), "icon": png(), "image": png(8, 8)}
    for name, content in data.items():
        (tmp_path / name).write_bytes(content)
    return {name: str(tmp_path / name) for name in data}


@pytest.fixture
def branded(make_app, files):
    """Return a client of the application with these settings, and with all images."""

    def client(**settings: str):
        images = {"brand_logo": "logo", "brand_logo_dark": "dark", "brand_icon": "icon", "brand_image": "image"}
        return make_app(**{name: files[file] for name, file in images.items()} | settings).test_client()

    return client


def addresses(page: str) -> list[str]:
    return re.findall(r'(?:src|srcset|href)="(/brand/[^"]+)"', page)


@pytest.mark.parametrize("path", ["/us-signin", "/register", "/nothing"])
def test_pages_use_the_configured_brand_files(branded, path):
    client = branded(brand_color="#7a1fa2")
    page = client.get(path).get_data(as_text=True)
    found = {re.sub(r"-[0-9a-f]{16}", "", each) for each in addresses(page)}
    common = {"/brand/logo-dark.svg", "/brand/icon.png", "/brand/style.css"}
    assert found == common | ({"/brand/logo.svg"} if path == "/nothing" else {"/brand/image.png"})
    assert all(client.get(each).status_code == 200 for each in addresses(page))
    assert 'class="mark"' not in page


def test_unbranded_page_shows_the_built_in_logo(client):
    page = client.get("/us-signin").get_data(as_text=True)
    assert addresses(page) == []
    assert 'class="mark"' in page
    assert "favicon.svg" in page
    assert 'class="foot"' not in page


def test_brand_file_is_cached_forever_under_a_content_hashed_url(branded, files, make_app, tmp_path):
    client = branded()
    icon = next(each for each in addresses(client.get("/us-signin").get_data(as_text=True)) if "icon" in each)
    answer = client.get(icon)
    assert answer.data == png()
    assert answer.headers["Cache-Control"] == CACHED
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers.getlist("Set-Cookie") == []
    (tmp_path / "other").write_bytes(png(5, 5))
    other = make_app(brand_icon=str(tmp_path / "other")).test_client()
    assert other.get(icon).status_code == 404
    assert icon not in other.get("/us-signin").get_data(as_text=True)


def test_svg_opened_directly_cannot_run_scripts(branded):
    client = branded()
    logo = next(each for each in addresses(client.get("/us-signin").get_data(as_text=True)) if each.endswith(".svg"))
    answer = client.get(logo)
    policy = answer.headers["Content-Security-Policy"]
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert "default-src 'none'" in policy
    assert "sandbox" in policy
    assert "script" not in policy


@pytest.mark.parametrize("name", ["nothing.png", "logo.svg", "..%2Fapp.py", "logo-0123456789abcdef.svg"])
def test_unknown_brand_file_returns_404(branded, name):
    assert branded().get(f"/brand/{name}").status_code == 404


def test_brand_style_sheet_has_the_accent_color_for_light_and_dark(branded):
    client = branded(brand_color="#7a1fa2")
    style = next(each for each in addresses(client.get("/us-signin").get_data(as_text=True)) if each.endswith(".css"))
    answer = client.get(style)
    day, night = answer.get_data(as_text=True).split("@media (prefers-color-scheme: dark)")
    assert "--main: #7a1fa2;" in day
    assert f"--main: {palettes('#7a1fa2')[1].main};" in night
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"


def test_branding_does_not_change_the_content_security_policy(branded, client):
    with_brand, without = (
        re.sub(r"nonce-[\w-]+", "nonce", each.get("/register").headers["Content-Security-Policy"])
        for each in (branded(brand_color="#7a1fa2", brand_line="Hello"), client)
    )
    assert with_brand == without


def test_side_panel_shows_the_escaped_brand_line(branded):
    page = branded(brand_line="Fish & chips for all.").get("/us-signin").get_data(as_text=True)
    assert "Fish &amp; chips for all." in page


LINKS = {"terms_url": "https://acme.example/terms?a=1&b=2", "privacy_url": "/privacy"}


@pytest.mark.settings(**LINKS, support_contact="help@acme.example")
@pytest.mark.parametrize("path", ["/us-signin", "/register", "/nothing"])
def test_footer_links_terms_privacy_and_support(client, path):
    page = client.get(path).get_data(as_text=True)
    foot = page[page.index('class="foot"') :]
    assert re.findall(r'<a href="([^"]+)">([^<]+)</a>', foot) == [
        ("https://acme.example/terms?a=1&amp;b=2", "Terms of service"),
        ("/privacy", "Privacy policy"),
        ("mailto:help@acme.example", "Support"),
    ]


@pytest.mark.settings(support_contact="+49 30 123456")
def test_support_contact_without_a_link_is_shown_as_text(client):
    assert "Support: <bdi>+49 30 123456</bdi>" in client.get("/us-signin").get_data(as_text=True)


@pytest.mark.parametrize("set_ones", [("terms_url", "privacy_url"), ("terms_url",), ("privacy_url",), ()])
def test_registration_page_shows_configured_terms_and_privacy_links(make_app, set_ones):
    page = make_app(**{name: LINKS[name] for name in set_ones}).test_client().get("/register").get_data(as_text=True)
    form = page[page.index('action="/register"') : page.index("</form>", page.index('action="/register"'))]
    assert ("you agree to the" in form) == ("terms_url" in set_ones)
    assert ("acme.example/terms" in form) == ("terms_url" in set_ones)
    assert ('"/privacy"' in form) == ("privacy_url" in set_ones)


@pytest.mark.settings(brand_color="#7a1fa2", support_contact="help@acme.example", brand_name="Acme")
def test_mail_has_the_accent_color_and_no_remote_content(browser_wire, people, mail_to):
    people.open(email="ada@example.com", methods=["email"])
    browser_wire.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email")
    mail = mail_to("ada@example.com")
    assert "#7a1fa2" in mail.html
    assert "#17503f" not in mail.html
    assert palettes("#7a1fa2")[1].main in mail.html
    assert re.findall(r"<img|url\(|<link|<script", mail.html) == []
    assert "Support: help@acme.example" in mail.text
    assert "Support: <bdi>help@acme.example</bdi>" in mail.html


@pytest.mark.settings(languages=("ar",), support_contact="+49 30 123456")
def test_phone_number_is_isolated_in_right_to_left_mail(browser_wire, people, mail_to):
    people.open(email="ada@example.com", methods=["email"])
    browser_wire.post("/us-signin/send-code", identity="ada@example.com", chosen_method="email")
    mail = mail_to("ada@example.com")
    assert "\u2068+49 30 123456\u2069" in mail.text
    assert "<bdi>+49 30 123456</bdi>" in mail.html


def test_start_with_a_brand_file_that_is_not_an_image_is_refused(settings_values, tmp_path):
    (tmp_path / "logo.png").write_bytes(b"no image")
    with pytest.raises(
        ConfigurationError, match="LATCHKEY_BRAND_LOGO points to a file that isn't a PNG, SVG or WEBP image"
    ):
        create_app(Settings(**settings_values, brand_logo=str(tmp_path / "logo.png")))
