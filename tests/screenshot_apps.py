"""Apps for screenshots: the pages that people see when they sign in to an app."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

APPS = {
    "Photos": 'logo = "photos.svg"\npolicy_url = "https://photos.example.com/privacy"',
    "Documents": "",
    "Git": "",
    "Dashboards": "",
    "Vault": 'level = "aal2"',
    "Machines": 'groups = ["admins"]',
    "Television": 'grant_types = ["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"]',
}
TABLE = """[clients.{id}]
name = "{name}"
auth_method = "none"
redirect_uris = ["https://{id}.example.com/callback"]
home_url = "https://{id}.example.com"
{more}
"""
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">
<rect width="64" height="64" rx="15" fill="#0b3a5b"/><circle cx="45" cy="20" r="7" fill="#ffd166"/>
<path d="M8 50 26 24l13 17 6-8 11 17z" fill="#7fd1ae"/></svg>"""


def write_clients(folder: Path) -> str:
    """Write a clients file with its logo; return its path."""
    (folder / "photos.svg").write_text(LOGO)
    path = folder / "clients.toml"
    path.write_text("".join(TABLE.format(id=name.lower(), name=name, more=more) for name, more in APPS.items()))
    return str(path)


def asked_by(client: str, **more: str) -> str:
    """Return the URL of an app's authorization request."""
    parameters = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": f"https://{client}.example.com/callback",
        "scope": "openid",
        "code_challenge_method": "S256",
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",  # of RFC 7636, appendix B
    }
    return f"/oauth/authorize?{urlencode(parameters | more)}"


def code_of_device(url: str) -> str:
    """Request a device code for a television; return the user code that it shows."""
    asked = urlencode({"client_id": "television", "scope": "openid email"}).encode()
    headers = {"User-Agent": "Mozilla/5.0 (Linux; Android 14; Smart TV) AppleWebKit/537.36 Chrome/120.0 Safari/537.36"}
    request = urllib.request.Request(f"{url}/oauth/device", asked, headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(json.load(answer)["user_code"])


def connect_device(walk: Any) -> None:
    """Enter the code that a device shows, and allow it to sign in; refuse another one.

    :param walk: see ``tests.screenshots``
    """
    walk.see("/device", "device")
    walk.page.fill("[name=user_code]", "BCDF-GHJK")
    walk.press("^Continue")
    walk.take("device-wrong")
    for button, name in (("^Allow", "device-connected"), ("^Don't allow", "device-refused")):
        walk.see(f"/device?user_code={code_of_device(walk.url)}", "device-code")
        walk.press("^Continue")
        walk.take("device-consent")
        walk.press(button)
        walk.take(name)


def use_apps(walk: Any) -> None:
    """Sign in to apps, view their access, and remove the access of one.

    :param walk: see ``tests.screenshots``
    """
    walk.elsewhere(asked_by("photos", login_hint=walk.email), "app-sign-in")
    walk.page.route("https://photos.example.com/**", lambda route: route.fulfill(body="<h1>Photos</h1>"))
    walk.see(asked_by("photos", scope="openid email"), "app-consent")
    walk.page.get_by_role("button", name="Allow", exact=True).click()
    walk.page.wait_for_url("https://photos.example.com/**")
    walk.see(asked_by("photos", scope="openid email groups offline_access"), "app-consent-more")
    walk.see(asked_by("photos", prompt="select_account"), "app-account")
    walk.see(asked_by("machines"), "app-not-allowed")
    walk.see(asked_by("vault"), "app-second-factor")
    connect_device(walk)
    walk.see("/apps", "apps")
    walk.press("^Remove access")
    walk.take("apps-removed")
