"""The account's pages, listed on each of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NavigationItem:
    """A page of the account.

    :ivar here: what its template sets ``here`` to, so that the entry is marked on it
    :ivar icon: a drawing of ``ui/icon.html``
    """

    here: str
    path: str
    title: str
    icon: str


ACCOUNT_PAGES = [
    NavigationItem("account", "/", "Overview", "overview"),
    NavigationItem("setup", "/us-setup", "Ways to sign in", "key"),
    NavigationItem("identities", "/identities", "Addresses", "addresses"),
    NavigationItem("devices", "/sessions", "Devices", "browser"),
    NavigationItem("programs", "/tokens", "Programs", "program"),
    NavigationItem("activity", "/activity", "Activity", "activity"),
    NavigationItem("mydata", "/my-data", "My data", "data"),
]
"""In the order shown. A page that joins is one line here; tests then look at it as at the others."""

PAGES_OF_FORMS = {"/wan-rename": "/wan-register", "/known-browsers": "/sessions"}
"""The pages of forms whose address is not below that of their page."""
