"""Reads the development mailbox by its JSON."""

from __future__ import annotations

import json
import re
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.sinks import until


@dataclass(frozen=True)
class InboxMessage:
    """An email or text message that the service has sent; ``page`` is its path in the inbox."""

    page: str
    subject: str
    text: str

    @property
    def code(self) -> str:
        """Its code, without spaces. Raises AssertionError unless there is exactly one."""
        found = re.findall(r"#(\d{6,8})\s*\Z|^[ \t]*(\d{3,4} \d{3,4})[ \t]*$", self.text, re.MULTILINE)
        codes = {"".join(parts).replace(" ", "") for parts in found}
        assert len(codes) == 1, f"one code was expected in:\n{self.text}"
        return codes.pop()

    @property
    def link(self) -> str:
        """Its link with a token. Raises AssertionError unless there is exactly one."""
        links = re.findall(r"https?://\S+(?:token=|/confirm/|/change-email/)\S+", self.text)
        assert len(links) == 1, f"one link was expected in:\n{self.text}"
        return links[0]


class Mailbox:
    """The mailbox of the service at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url

    def to(self, address: str) -> list[InboxMessage]:
        """Return the messages to an address or number, newest first."""
        request = urllib.request.Request(f"{self.url}/dev/inbox", headers={"Accept": "application/json"})
        with urllib.request.urlopen(request, timeout=5) as answer:
            messages: list[dict[str, Any]] = json.load(answer)["response"]["messages"]
        return [
            InboxMessage(f"/dev/inbox/{message['id']}", message["subject"], message["text"])
            for message in messages
            if message["to"] == address
        ]

    def newest(
        self, address: str, subject: str = "", after: InboxMessage | None = None, text: str = ""
    ) -> InboxMessage:
        """Wait for a message to an address whose subject contains ``subject``, and return the newest.

        :param after: an earlier message, which doesn't count
        :param text: text in the message, ignoring line breaks; to select one of several with the same subject
        """

        def arrived() -> list[InboxMessage]:
            mine = [letter for letter in self.to(address) if subject in letter.subject]
            mine = [letter for letter in mine if text in " ".join(letter.text.split())]
            return mine if mine and mine[0] != after else []

        found: InboxMessage = until(arrived)[0]
        return found
