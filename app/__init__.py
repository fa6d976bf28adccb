"""Latchkey: passwordless sign-in for every app behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask

if TYPE_CHECKING:
    from config.settings import Settings


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application, configured by ``settings`` (read from the environment if None).

    :raises ConfigurationError: when the settings are not safe to start with
    """
    from app import db, extensions, i18n, observability, own_templates, web
    from app.commands import LazyGroup
    from config.settings import Settings

    app = Flask(__name__)
    app.cli = LazyGroup()
    settings = settings or Settings.load()
    extensions.init_app(app, settings)
    observability.init_app(app)  # first, so that its hooks run first before and last after a request
    db.init_app(app)
    own_templates.init_app(app)
    i18n.init_app(app)
    web.init_app(app)
    for package in (*_domain(), *_features(in_production=settings.is_production), *_operations()):
        package.init_app(app)
    db.check_models()
    web.sub_path.reject_ambiguous_prefix(app)
    return app


def _domain() -> tuple[Any, ...]:
    """Return the packages with models and business logic."""
    from app import (
        audit,
        authenticators,
        challenges,
        groups,
        invitations,
        notifications,
        outbox,
        sessions,
        throttling,
        users,
        webhooks,
    )

    last = (throttling, challenges, notifications, webhooks)
    return users, groups, invitations, authenticators, sessions, audit, outbox, *last


def _features(*, in_production: bool) -> tuple[Any, ...]:
    """Return the packages with URLs."""
    from app import (
        account,
        bounces,
        branding,
        dev_inbox,
        forward_auth,
        identities,
        oidc,
        privacy,
        recovery,
        register,
        setup,
        signin,
        status,
    )

    for_people = (branding, signin, register, setup, account, identities, oidc, forward_auth, privacy, recovery)
    features = (*for_people, bounces, status)
    return features if in_production else (*features, dev_inbox)


def _operations() -> tuple[Any, ...]:
    """Return the packages for operators: console, metrics, commands and server."""
    from app import admin, cli, monitoring, serving

    return admin, monitoring, cli, serving
