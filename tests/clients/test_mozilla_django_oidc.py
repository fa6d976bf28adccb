"""PyPI mozilla-django-oidc in a Django project, following docs/integrate/django.md: RS256, client_secret_post."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.clients.origins import serve
from tests.clients.recipes import Recipe, follow
from tests.serving import free_port

pytestmark = pytest.mark.one_database


def settings_of(recipe: Recipe, database: Path) -> dict[str, Any]:
    """Return the settings of a new project with those of the recipe, and a backend for groups."""
    settings: dict[str, Any] = {
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
        ],
        "LOGGING_CONFIG": None,
        "DEFAULT_AUTO_FIELD": "django.db.models.BigAutoField",
        "OIDC_STORE_ID_TOKEN": True,
        "OIDC_OP_LOGOUT_URL_METHOD": "recipe_for_django.logout_url",
    }  # fmt: skip
    for_settings, for_logout = recipe.blocks
    exec(for_settings, settings)
    of_project = sys.modules["recipe_for_django"] = ModuleType("recipe_for_django")
    exec(for_logout, of_project.__dict__)
    settings["AUTHENTICATION_BACKENDS"] = ["tests.clients.django_backend.Backend"]
    return {name: value for name, value in settings.items() if name.isupper()}


def django_project(settings: dict[str, Any]) -> Any:
    """Return a project with one page, its database migrated. Once per process: Django's settings are global."""
    import django
    from django.conf import settings as of_process
    from django.core.management import call_command

    of_process.configure(**settings)
    django.setup()
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.template.context_processors import csrf
    from django.urls import include, path

    def home(request: Any) -> HttpResponse:
        names = ", ".join(request.user.groups.values_list("name", flat=True)) if request.user.is_authenticated else ""
        token = f'<input type="hidden" name="csrfmiddlewaretoken" value="{csrf(request)["csrf_token"]}">'
        button = f'<form method="post" action="/oidc/logout/">{token}<button>Sign out</button></form>'
        return HttpResponse(f"<h1>{getattr(request.user, 'email', 'Nobody')}</h1><p>{names}</p>{button}")

    of_process.ROOT_URLCONF = (path("", home), path("oidc/", include("mozilla_django_oidc.urls")))
    call_command("migrate", run_syncdb=True, verbosity=0)
    return get_wsgi_application()


@pytest.fixture(scope="session")
def project(issuer, register, tmp_path_factory):
    """The project, served and registered."""
    port = free_port()
    recipe = follow("django", f"http://127.0.0.1:{port}", issuer, register)
    settings = settings_of(recipe, tmp_path_factory.mktemp("django") / "django.db")
    with serve(apart(lambda: django_project(settings)), port=port) as origin:
        yield origin


@pytest.fixture
def signed_in(page, project, ada, session_here):
    """Ada's browser, signed in to the project."""
    page.goto(f"{project.url}/oidc/authenticate/")
    page.get_by_role("heading", name=ada.email).wait_for()
    return page


def test_user_gets_groups_and_session_is_renewed_with_prompt_none(page, project, ada, enter_code):
    page.goto(f"{project.url}/oidc/authenticate/")
    enter_code()
    page.get_by_role("heading", name=ada.email).wait_for()
    assert page.locator("p").inner_text() == "staff"
    project.requests.clear()
    apart(age_the_check)
    page.goto(project.url)  # SessionRefresh sends prompt=none
    page.get_by_role("heading", name=ada.email).wait_for()
    assert any("/oidc/callback/?code=" in path for path in project.requests)


def test_prompt_none_check_signs_out_a_user_without_provider_session(signed_in, project):
    signed_in.context.clear_cookies(domain="localhost")
    project.requests.clear()
    apart(age_the_check)
    signed_in.goto(project.url)
    signed_in.get_by_role("heading", name="Nobody").wait_for()
    assert any("/oidc/callback/?error=login_required" in path for path in project.requests)


def test_logout_ends_app_and_provider_session(signed_in, live_server):
    signed_in.get_by_role("button", name="Sign out").click()
    signed_in.get_by_role("heading", name="Nobody").wait_for()
    signed_in.goto(f"{live_server.url}/")
    signed_in.get_by_role("heading", name="Sign in").wait_for()


def age_the_check() -> None:
    """Let the 15 minutes pass after which the middleware checks a session again."""
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session

    for row in Session.objects.all():
        store = SessionStore(row.session_key)
        store["oidc_id_token_expiration"] = 0
        store.save()


def apart(work: Callable[[], Any]) -> Any:
    """Run it in a separate thread: Django's database rejects threads with an event loop, as Playwright's has."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()
