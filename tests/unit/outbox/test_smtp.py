"""How a mail is handed to a mail server, over a real socket whose other end says what a test wants."""

from __future__ import annotations

import smtplib
import socket
import threading

import pytest

from app.outbox.channels import smtp

ENVELOPE = [b"mail FROM:<us@x.test>\r\n", b"rcpt TO:<ada@x.test>\r\n", b"data\r\n"]
MAIL = b"Subject: x\r\n\r\n.\r\n.hidden\r\nlast\r\n"
YES = [b"250 ok\r\n", b"250 ok\r\n", b"354 go on\r\n", b"250 taken\r\n"]


class Peer:
    """A mail server that answers with the given lines and then hangs up; ``heard`` holds what came before each."""

    def __init__(self, *answers):
        self.heard = []
        ours, self.socket = socket.socketpair()
        self.client = smtplib.SMTP()
        self.client.sock, self.client.does_esmtp = ours, True
        ours.settimeout(5)
        self.thread = threading.Thread(target=self._converse, args=(answers,), daemon=True)
        self.thread.start()

    def _converse(self, answers):
        with self.socket:
            for answer in answers:
                self.heard.append(self.socket.recv(65536))
                if not self.heard[-1]:
                    return
                self.socket.sendall(answer)

    def take(self, recipient="ada@x.test"):
        """Let the client hand over the mail; return whatever it was refused with."""
        try:
            smtp.hand_over(self.client, "us@x.test", recipient, MAIL)
        except Exception as error:
            return error
        finally:
            self.client.close()
            self.thread.join(5)


@pytest.fixture(params=[True, False], ids=["in a row", "one by one"])
def peer(request):
    """Makes a server that takes commands in a row, or one by one; the answers are given one by one."""

    def make(*answers):
        if request.param:
            answers = (b"".join(answers[:3]), *answers[3:])
        made = Peer(*answers)
        if request.param:
            made.client.esmtp_features["pipelining"] = ""
        return made

    return make


def test_commands_go_in_one_piece_to_a_server_that_offers_it():
    peer = Peer(b"".join(YES[:3]), YES[3])
    peer.client.esmtp_features["pipelining"] = ""
    assert peer.take() is None
    assert peer.heard[0] == b"".join(ENVELOPE)


def test_commands_go_one_by_one_to_a_server_that_does_not():
    peer = Peer(*YES)
    assert peer.take() is None
    assert peer.heard[:3] == ENVELOPE


def test_lines_that_begin_with_a_dot_arrive(peer):
    server = peer(*YES)
    assert server.take() is None
    assert server.heard[-1] == b"Subject: x\r\n\r\n..\r\n..hidden\r\nlast\r\n.\r\n"


def test_the_size_is_told_to_a_server_that_wants_it(peer):
    server = peer(*YES)
    server.client.esmtp_features["size"] = "1000"
    assert server.take() is None
    assert server.heard[0].startswith(b"mail FROM:<us@x.test> size=%d\r\n" % len(MAIL))


@pytest.mark.parametrize(
    ("place", "error"),
    [(0, smtplib.SMTPSenderRefused), (1, smtplib.SMTPRecipientsRefused), (2, smtplib.SMTPDataError)],
)
def test_a_refusal_is_told_and_nothing_is_given(peer, place, error):
    answers = [*YES[:place], b"550 no\r\n", *YES[place + 1 : 3]]
    server = peer(*answers)
    assert isinstance(server.take(), error)
    assert MAIL not in b"".join(server.heard)


def test_a_refusal_of_the_mail_itself_is_told(peer):
    refused = peer(*YES[:3], b"550 no\r\n").take()
    assert isinstance(refused, smtplib.SMTPDataError)
    assert refused.smtp_code == 550


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_server_that_goes_away_before_the_mail_was_given_nothing(peer, place):
    assert isinstance(peer(*YES[:place], b"421 bye\r\n").take(), smtp.Lost)


def test_a_server_that_is_gone_was_given_nothing(peer):
    assert isinstance(peer().take(), smtp.Lost)


def test_nobody_knows_what_became_of_a_mail_whose_answer_is_lost(peer):
    assert isinstance(peer(*YES[:3], b"").take(), smtplib.SMTPServerDisconnected)


def test_an_address_with_a_line_break_is_no_command(peer):
    server = peer(*YES)
    assert isinstance(server.take("ada@x.test>\r\nrcpt TO:<eve@x.test"), ValueError)
    assert server.heard == [b""]
