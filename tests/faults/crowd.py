"""Many people who keep signing in, and a record of the responses they got."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.faults.visitors import SESSION, UNANSWERED, Answer, Visitor, code_for, together
from tests.sinks import SmtpSink


@dataclass
class Ledger:
    """The responses of the server.

    :ivar asked: addresses for which a code was promised
    :ivar sessions: session cookies by address
    :ivar wrong: what should not have been answered, or did not come
    :ivar lost: how many requests got no answer, or were put off
    """

    asked: list[str] = field(default_factory=list)
    sessions: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    lost: int = 0


class Crowd:
    """Visitors that sign in by email, each address once; use it as ``with Crowd(...) as ledger: ...``.

    :param insisting: they repeat what was not answered until it is, and wait for their mail; otherwise the next
        one comes
    """

    def __init__(
        self, url: str, addresses: Sequence[str], smtp: SmtpSink, *, size: int = 6, insisting: bool = False
    ) -> None:
        self.url = url
        self.smtp = smtp
        self.insisting = insisting
        self.ledger = Ledger()
        self._addresses = iter(addresses)
        self._turn = threading.Lock()
        self._enough = threading.Event()
        self._threads = together(self._come_and_go, size)

    def __enter__(self) -> Ledger:
        self._threads.__enter__()
        return self.ledger

    def __exit__(self, *error: object) -> None:
        self._enough.set()
        self._threads.__exit__(None, None, None)

    def _come_and_go(self) -> None:
        while not self._enough.is_set():
            with self._turn:
                address = next(self._addresses, None)
            if address is None:
                return
            try:
                self._sign_in(address)
            except UNANSWERED:
                self.ledger.lost += 1
                time.sleep(0.2)  # nobody new comes while a server starts: addresses are limited

    def _sign_in(self, address: str) -> None:
        visitor, since = Visitor(self.url), len(self.smtp.mails)
        if not self._right(address, self._asked(visitor, "/us-signin/send-code", address, chosen_method="email")):
            return
        self.ledger.asked.append(address)
        code = code_for(address, self.smtp, since, 20 if self.insisting else 2)
        if code is None:
            if self.insisting:
                self.ledger.wrong.append(f"{address}: no mail")
            return
        if self._right(address, self._asked(visitor, "/us-signin", address, passcode=code)):
            self.ledger.sessions[address] = visitor.cookies.get(SESSION, "")

    def _asked(self, visitor: Visitor, path: str, address: str, **fields: str) -> Answer:
        until = time.monotonic() + 15
        while True:
            try:
                return visitor.post(path, identity=address, **fields)
            except UNANSWERED:
                if not self.insisting or time.monotonic() > until:
                    raise
                time.sleep(0.05)

    def _right(self, address: str, answer: Answer) -> bool:
        if answer.status == 503 and not self.insisting:
            self.ledger.lost += 1  # the server is unavailable, and has stored nothing
        elif answer.status != 200:
            self.ledger.wrong.append(f"{address}: {answer.status} {answer.body[:200]!r}")
        return answer.status == 200
