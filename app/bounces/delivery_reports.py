"""Reports sent by mail servers: delivery status (RFC 3464), and spam complaints (RFC 5965)."""

from __future__ import annotations

from email import message_from_bytes, policy
from email.message import Message as Part

from app.extensions import db
from app.outbox import return_paths, suppressions
from app.outbox.models import Message
from app.outbox.suppressions import COMPLAINT, HARD, NO_COMPLAINTS, SOFT, Report

NAME = "mail"
MAX_BYTES = 10 * 1024 * 1024
PARSED_BYTES = 256 * 1024
"""Bytes of a mail that are parsed. The report comes before the returned mail (RFC 3462, section 2), and parsing a mail
of 10 MB with very many parts could take half a minute.
"""


class ReportRejected(Exception):
    """A report was rejected. The message is a code for the log."""


def read(raw: bytes, recipient: str) -> Report | None:
    """Return the report in a mail sent to a return path; None if it doesn't report a failure.

    The address is taken from our own message, because the one in the report can't be trusted.

    :raises ReportRejected: when the return path was not signed here or has expired, or its message has been deleted
    """
    message_id = return_paths.message_in(recipient)
    if message_id is None:
        raise ReportRejected("return_path_forged")
    message = db.session.get(Message, message_id)
    if message is None:
        raise ReportRejected("message_forgotten")
    try:
        kind, code = _what(message_from_bytes(raw[:PARSED_BYTES], policy=policy.compat32))
    except RecursionError:  # nested deeper than any real report
        return None
    return Report(message.to, kind, NAME, message_id, code) if kind else None


def process_report(raw: bytes, recipient: str) -> int:
    """Store the report in a mail sent to a return path; return how many reports were new.

    :raises ReportRejected: as ``read``
    """
    report = read(raw, recipient)
    return suppressions.process_reports([report] if report else [])


def _what(mail: Part) -> tuple[str, str]:
    """Return kind and code of a report; empty strings if the mail is not one."""
    for part in mail.walk():
        if part.get_content_type() == "message/feedback-report":
            return ("", "") if _feedback_type(part) in NO_COMPLAINTS else (COMPLAINT, "")
        if part.get_content_type() == "message/delivery-status":
            return _failure(part)
    return "", ""


def _feedback_type(report: Part) -> str:
    """Return the type of a feedback report. Its fields are parsed as the headers of an embedded mail."""
    fields = report.get_payload()
    kind = fields[0].get("Feedback-Type", "") if isinstance(fields, list) and isinstance(fields[0], Part) else ""
    return str(kind).strip().lower()


def _failure(status: Part) -> tuple[str, str]:
    """Return kind and code from the per-recipient fields, which follow the per-message fields (section 2.1)."""
    blocks = status.get_payload()
    for block in blocks if isinstance(blocks, list) else []:
        if isinstance(block, Part) and str(block.get("Action", "")).strip().lower() == "failed":
            code = suppressions.code_in(block.get("Status"), block.get("Diagnostic-Code"))
            return (SOFT if code.startswith("4") else suppressions.kind_of(code, HARD)), code
    return "", ""
