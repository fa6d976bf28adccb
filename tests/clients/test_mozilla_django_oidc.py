"""PyPI mozilla-django-oidc in a Django project: RS256, the secret in the form, userinfo for every sign-in."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.serving import free_port

pytestmark = pytest.mark.one_database


def settings_of(issuer: str, client_id: str, secret: str, database: Path) -> dict[str, Any]:
    """Return the settings of a project, as mozilla-django-oidc's documentation has them."""
    return {
        "SECRET_KEY": "of a test",
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(database)}},
        "INSTALLED_APPS": [
            "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "mozilla_django_oidc",
        ],
        "MIDDLEWARE": [
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "mozilla_django_oidc.middleware.SessionRefresh",
        ],
        "LOGGING_CONFIG": None,
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "AUTHENTICATION_BACKENDS": ["tests.clients.django_backend.Backend"],
        "LOGIN_REDIRECT_URL": "/",
        "OIDC_RP_CLIENT_ID": client_id,
        "OIDC_RP_CLIENT_SECRET": secret,
        "OIDC_RP_SIGN_ALGO": "RS256",
        "OIDC_RP_SCOPES": "openid email profile groups",
        "OIDC_USE_PKCE": True,
        "OIDC_OP_AUTHORIZATION_ENDPOINT": f"{issuer}/oauth/authorize",
        "OIDC_OP_TOKEN_ENDPOINT": f"{issuer}/oauth/token",
        "OIDC_OP_USER_ENDPOINT": f"{issuer}/oauth/userinfo",
        "OIDC_OP_JWKS_ENDPOINT": f"{issuer}/oauth/jwks",
    }  # fmt: skip


def django_project(settings: dict[str, Any]) -> Any:
    """Return a project of one page, its tables made. Once in a process: Django's settings are global."""
    import django
    from django.conf import settings as of_process
    from django.core.management import call_command

    of_process.configure(**settings)
    django.setup()
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import include, path

    def home(request: Any) -> HttpResponse:
        names = ", ".join(request.user.groups.values_list("name", flat=True)) if request.user.is_authenticated else ""
        return HttpResponse(f"<h1>{getattr(request.user, 'email', 'Nobody')}</h1><p>{names}</p>")

    of_process.ROOT_URLCONF = (path("", home), path("oidc/", include("mozilla_django_oidc.urls")))
    call_command("migrate", run_syncdb=True, verbosity=0)
    return get_wsgi_application()


@pytest.fixture
def app(issuer, register, served, tmp_path):
    """The project, served and registered."""
    port = free_port()
    party = register(name="Wiki", redirect_uris=[f"http://127.0.0.1:{port}/oidc/callback/"])
    settings = settings_of(issuer, party.id, party.secret, tmp_path / "django.db")
    return served(apart(lambda: django_project(settings)), port=port)


def test_a_person_signs_in_and_stays_signed_in_by_silent_checks(page, app, ada, enter_code):
    page.goto(f"{app.url}/oidc/authenticate/")
    enter_code()
    page.get_by_role("heading", name=ada.email).wait_for()
    assert page.locator("p").inner_text() == "staff"
    apart(age_the_check)
    page.goto(app.url)  # SessionRefresh asks with prompt=none
    page.get_by_role("heading", name=ada.email).wait_for()
    assert sum("/oidc/callback/?code=" in path for path in app.requests) == 2
    page.context.clear_cookies(domain="localhost")  # signed out at Latchkey
    apart(age_the_check)
    page.goto(app.url)
    page.get_by_role("heading", name="Nobody").wait_for()
    assert "error=login_required" in app.requests[-2]


def age_the_check() -> None:
    """Let the quarter of an hour pass after which the middleware checks a session again."""
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session

    for row in Session.objects.all():
        store = SessionStore(row.session_key)
        store["oidc_id_token_expiration"] = 0
        store.save()


def apart(work: Callable[[], Any]) -> Any:
    """Do it in a thread of its own: Django's database refuses one in which a loop runs, as Playwright's does."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
