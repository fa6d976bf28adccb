"""The development mailbox, read as a program does."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.sinks import until


@dataclass(frozen=True)
class Letter:
    """A mail or text message that the service has sent; ``page`` is where it stands."""

    page: str
    subject: str
    text: str

    @property
    def code(self) -> str:
        """The code in it, without blanks. Raises AssertionError when there is not one code."""
        found = re.findall(r"#(\d{6,8})\s*\Z|^[ \t]*(\d{3,4} \d{3,4})[ \t]*$", self.text, re.MULTILINE)
        codes = {"".join(parts).replace(" ", "") for parts in found}
        assert len(codes) == 1, f"one code was expected in:\n{self.text}"
        return codes.pop()

    @property
    def link(self) -> str:
        """The link in it that carries a token. Raises AssertionError when there is not one."""
        links = re.findall(r"https?://\S+(?:token=|/confirm/|/change-email/)\S+", self.text)
        assert len(links) == 1, f"one link was expected in:\n{self.text}"
        return links[0]


class Mailbox:
    """The mailbox of the service at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def to(self, address: str) -> list[Letter]:
        """Return the messages to an address or number, newest first."""
        request = urllib.request.Request(f"{self.url}/dev/inbox", headers={"Accept": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            messages: list[dict[str, Any]] = json.load(answer)["response"]["messages"]
        return [
            Letter(f"/dev/inbox/{message['id']}", message["subject"], message["text"])
            for message in messages
            if message["to"] == address
        ]

    def newest(self, address: str, subject: str = "", after: Letter | None = None, text: str = "") -> Letter:
        """Return the newest message to an address whose subject has ``subject`` in it, once there is one.

        :param after: one that is not waited for, as it was there before
        :param text: words of the message, however its lines are broken; for one of several with the same subject
        """

        def arrived() -> list[Letter]:
            mine = [letter for letter in self.to(address) if subject in letter.subject]
            mine = [letter for letter in mine if text in " ".join(letter.text.split())]
            return mine if mine and mine[0] != after else []

        found: Letter = until(arrived)[0]
        return found
