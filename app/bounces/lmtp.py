"""LMTP server (RFC 2033) for bounces returned by mail servers.

No process has to be started for each mail, and while the database is unavailable, the mail server keeps it and retries.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import TYPE_CHECKING, Any

import structlog
from aiosmtpd.lmtp import LMTP

from app.bounces import delivery_reports
from app.db import unavailable
from app.extensions import db
from app.outbox import return_paths

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session
    from flask import Flask

log = structlog.get_logger()

ACCEPTED = "250 2.0.0 Taken"
UNKNOWN_RETURN_PATH = "550 5.1.1 No return path of ours"
ONE_RECIPIENT_ONLY = "452 4.5.3 One recipient at a time"
TRY_AGAIN_LATER = "451 4.3.0 Try again later"


class Server(LMTP):
    """One connection. Reports contain the original mail, whose lines may be longer than allowed."""

    line_length_limit = 64 * 1024


class BounceHandler:
    """aiosmtpd handler that accepts mail for return paths, one recipient each, since each return path is unique."""

    def __init__(self, app: Flask) -> None:
        self.app = app

    async def handle_RCPT(  # noqa: N802
        self, server: LMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Reject recipients that were not signed here before the mail is transmitted."""
        if envelope.rcpt_tos:
            return ONE_RECIPIENT_ONLY
        with self.app.app_context():
            if return_paths.message_in(address) is None:
                log.warning("bounces.refused", provider=delivery_reports.NAME, reason="return_path_forged")
                return UNKNOWN_RETURN_PATH
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: LMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Accept one mail, in a thread because the database may be slow."""
        (recipient,), raw = envelope.rcpt_tos, envelope.content
        return await asyncio.to_thread(self.process, raw if isinstance(raw, bytes) else b"", recipient)

    def process(self, raw: bytes, recipient: str) -> str:
        """Store the report in a mail; return the reply for the mail server."""
        with self.app.app_context():
            try:
                new = delivery_reports.process_report(raw, recipient)
                db.session.commit()
            except delivery_reports.ReportRejected as rejection:
                log.warning("bounces.refused", provider=delivery_reports.NAME, reason=str(rejection))
                return UNKNOWN_RETURN_PATH
            except Exception as error:
                db.session.rollback()
                if unavailable(error):
                    log.warning("bounces.postponed", error=type(error).__name__)
                else:
                    log.exception("bounces.failed")
                return TRY_AGAIN_LATER
        log.info("bounces.taken", provider=delivery_reports.NAME, new=new)
        return ACCEPTED


def serve(app: Flask, listening_socket: socket.socket, stop: threading.Event) -> None:
    """Accept mail on a bound socket until ``stop`` is set, then close it. Blocks."""
    handler = BounceHandler(app)

    def make_protocol() -> Any:
        return Server(handler, hostname="latchkey", ident="Latchkey", data_size_limit=delivery_reports.MAX_BYTES)

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        create_server = loop.create_unix_server if listening_socket.family == socket.AF_UNIX else loop.create_server
        server = await create_server(make_protocol, sock=listening_socket)
        await asyncio.to_thread(stop.wait)
        server.close()  # don't wait for open connections: unanswered mail is sent again

    asyncio.run(listen())
