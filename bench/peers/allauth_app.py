"""django-allauth, headless, set up as documented; runs in its own virtual environment.

``python -m bench.peers.allauth_app people N`` creates the tables and people. ``... ask N`` starts a sign-in for each
of N people, like a request for a code but without the email, and prints the session keys.
"""

import os
import sys
from datetime import timedelta

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from psycopg.conninfo import conninfo_to_dict

BATCH = 5000


def database(url: str) -> dict[str, object]:
    """Return Django's settings for a database, with one persistent connection per thread."""
    if url.startswith("sqlite:///"):
        durable = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL"  # the same durability as ours
        options = {"init_command": durable, "transaction_mode": "IMMEDIATE", "timeout": 5}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url[10:], "OPTIONS": options, "CONN_MAX_AGE": None}
    told = conninfo_to_dict(url)
    where = {"NAME": told["dbname"], "HOST": told["host"], "USER": told["user"], "PORT": told.get("port", "")}
    return {"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": None, **where}


settings.configure(
    SECRET_KEY=os.environ["PEER_KEY"],
    ALLOWED_HOSTS=["login.example.com"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": database(os.environ["PEER_DATABASE"])},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "allauth",
        "allauth.account",
        "allauth.headless",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
        "allauth.account.middleware.AccountMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
        }
    ],
    AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
    SESSION_COOKIE_SECURE=True,
    CSRF_COOKIE_SECURE=True,
    CSRF_HEADER_NAME="HTTP_X_CSRF_TOKEN",
    USE_TZ=True,
    EMAIL_HOST="127.0.0.1",
    EMAIL_PORT=int(os.environ["PEER_MAIL_PORT"]),
    DEFAULT_FROM_EMAIL="no-reply@login.example.com",
    HEADLESS_ONLY=True,
    HEADLESS_CLIENTS=["browser"],
    ACCOUNT_LOGIN_METHODS={"email"},
    ACCOUNT_SIGNUP_FIELDS=["email*"],
    ACCOUNT_EMAIL_VERIFICATION="mandatory",
    ACCOUNT_EMAIL_VERIFICATION_BY_CODE_ENABLED=True,
    ACCOUNT_LOGIN_BY_CODE_ENABLED=True,
    ACCOUNT_LOGIN_BY_CODE_MAX_ATTEMPTS=5,
    ACCOUNT_LOGIN_BY_CODE_TIMEOUT=600,
    ACCOUNT_RATE_LIMITS=False,
)
django.setup()

from allauth.account.internal.flows.login_by_code import LoginCodeVerificationProcess  # noqa: E402
from allauth.account.models import EmailAddress, Login  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.urls import include, path  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.utils.crypto import get_random_string  # noqa: E402

urlpatterns = [
    path("_allauth/", include("allauth.headless.urls")),
    path("healthz", lambda _request: HttpResponse("ok")),
]


def make_people(count: int) -> None:
    """Create the tables and people."""
    call_command("migrate", verbosity=0)
    for first in range(0, count, BATCH):
        numbers = range(first, min(first + BATCH, count))
        users = [User(username=f"person{number}", email=f"person{number}@example.com") for number in numbers]
        for user in users:
            user.set_unusable_password()
        User.objects.bulk_create(users)
        EmailAddress.objects.bulk_create(
            EmailAddress(user=user, email=user.email, verified=True, primary=True) for user in users
        )


def ask(count: int) -> None:
    """Store a session with a started sign-in for each of ``count`` people, and print its key."""
    until, sessions = timezone.now() + timedelta(days=1), []
    for user in User.objects.order_by("pk")[:count]:
        data = LoginCodeVerificationProcess.initial_state(user=user, email=user.email)
        data |= {"initiated_by_user": True, "code": "BCDF-GHJK"}
        state = {"stages": {"current": "login_by_code", "login_by_code": {"data": data}}}
        kept = {"account_login": Login(user=user, email=user.email, state=state).serialize()}
        key = get_random_string(32, "abcdefghijklmnopqrstuvwxyz0123456789")
        sessions.append(Session(session_key=key, session_data=Session.objects.encode(kept), expire_date=until))
    Session.objects.bulk_create(sessions, batch_size=BATCH)
    print("\n".join(session.session_key for session in sessions))


if __name__ == "__main__":
    {"people": make_people, "ask": ask}[sys.argv[1]](int(sys.argv[2]))
else:
    app = get_wsgi_application()
