"""How a Django project takes over groups from an ID provider: the hooks that mozilla-django-oidc has for it.

A module of its own, because Django wants its settings before any of its models is imported.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from mozilla_django_oidc.auth import OIDCAuthenticationBackend


class Backend(OIDCAuthenticationBackend):
    """Gives people the Django groups that their claims name."""

    def create_user(self, claims: dict[str, Any]) -> Any:
        return self.update_user(super().create_user(claims), claims)

    def update_user(self, user: Any, claims: dict[str, Any]) -> Any:
        user.groups.set([Group.objects.get_or_create(name=name)[0] for name in claims["groups"]])
        return user
