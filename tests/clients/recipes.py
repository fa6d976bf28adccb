"""Recipes of docs/integrate, followed by tests with real URLs and a registration."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.databases import ROOT

OURS = "https://login.example.com"
NAMED = r'(client_id="|CLIENT_ID = "|OIDCClientID )'
"""What stands before the client id in the configuration of an app."""


@dataclass(frozen=True)
class Recipe:
    """A recipe, with its values.

    :ivar blocks: of code for the app, in their order
    """

    blocks: list[str]

    @property
    def block(self) -> str:
        """The only block."""
        (block,) = self.blocks
        return block


def follow(name: str, url: str, issuer: str, register: Callable[..., Any]) -> Recipe:
    """Register the client of docs/integrate/``name``.md for an app at ``url``; return the app's values."""
    text = (ROOT / "docs" / "integrate" / f"{name}.md").read_text()
    (theirs,) = set(re.findall(r"https://(?!login\.)\w+\.example\.com", text))
    text = text.replace(OURS, issuer).replace(theirs, url)
    ours, _, rest = text.partition("## In the app")
    table = tomllib.loads(_blocks(ours)[0])["clients"][name]
    del table["secret_digest"]
    party = register(**table)
    given = re.sub(NAMED + re.escape(name), rf"\g<1>{party.id}", rest)
    assert given != rest, f"the recipe gives the app no client id {name}"
    return Recipe(_blocks(given.replace("<secret>", party.secret)))


def _blocks(text: str) -> list[str]:
    return re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
