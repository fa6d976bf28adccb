"""Maps groups of an ID provider to Django groups, with the hooks of mozilla-django-oidc.

A module of its own, because Django wants its settings before any of its models is imported.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Group
from mozilla_django_oidc.auth import OIDCAuthenticationBackend


class Backend(OIDCAuthenticationBackend):
    """Gives users the Django groups in their claims."""

    def create_user(self, claims: dict[str, Any]) -> Any:
        return self.update_user(super().create_user(claims), claims)

    def update_user(self, user: Any, claims: dict[str, Any]) -> Any:
        user.groups.set([Group.objects.get_or_create(name=name)[0] for name in claims["groups"]])
        return user
