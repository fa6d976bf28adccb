"""One mail over a connection of smtplib, and whether a lost connection can have cost anything.

Where the server takes commands in a row (PIPELINING, RFC 2920) the envelope is one round trip instead of three.
"""

from __future__ import annotations

import smtplib

GOING_AWAY = 421
"""The server closes this connection (RFC 5321, section 4.2.1)."""

GO_ON = 354


class Lost(Exception):
    """The connection ended before the server was given any mail. Its cause says how."""


def hand_over(client: smtplib.SMTP, sender: str, recipient: str, octets: bytes) -> None:
    """Give a mail to the server behind ``client``, which has been greeted.

    :param octets: lines that end with CRLF, the last one too
    :raises Lost: when the mail can go over another connection at once: this one was given nothing
    :raises smtplib.SMTPException: as ``smtplib.SMTP.sendmail`` does; the connection must not be used again
    """
    size = f" size={len(octets)}" if client.has_extn("size") else ""
    try:
        _announce(client, [f"mail FROM:<{sender}>{size}", f"rcpt TO:<{recipient}>", "data"], sender, recipient)
    except smtplib.SMTPServerDisconnected as error:
        raise Lost from error
    client.send(octets.replace(b"\r\n.", b"\r\n..") + b".\r\n")
    code, said = client.getreply()
    if code != 250:
        raise smtplib.SMTPDataError(code, said)


def _announce(client: smtplib.SMTP, commands: list[str], sender: str, recipient: str) -> None:
    if not "".join(commands).isprintable():
        raise ValueError("a line break or control character in an address")
    rows = [commands] if client.has_extn("pipelining") else [[command] for command in commands]
    replies: list[tuple[int, bytes]] = []
    for row in rows:
        client.send("".join(f"{command}\r\n" for command in row))
        replies += [client.getreply() for _ in row]
        _check(replies, sender, recipient)


def _check(replies: list[tuple[int, bytes]], sender: str, recipient: str) -> None:
    """Raise what the first reply that is no yes means. With commands in a row, later ones follow from it."""
    for (code, said), step in zip(replies, ("mail", "rcpt", "data"), strict=False):
        if code == (GO_ON if step == "data" else 250) or (step == "rcpt" and code == 251):
            continue
        refused: smtplib.SMTPException
        if step == "mail":
            refused = smtplib.SMTPSenderRefused(code, said, sender)
        elif step == "rcpt":
            refused = smtplib.SMTPRecipientsRefused({recipient: (code, said)})
        else:
            refused = smtplib.SMTPDataError(code, said)
        if code == GOING_AWAY:
            raise Lost from refused
        raise refused
