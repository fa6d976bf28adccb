"""Senders of emails: parsed as people write them, or rejected at startup."""

from __future__ import annotations

import pytest

from config.senders import check_sender, split_sender

pytestmark = pytest.mark.one_database

ADDRESS = "no-reply@acme.example"


@pytest.mark.parametrize(
    ("text", "name", "address"),
    [
        (ADDRESS, "", ADDRESS),
        (f"<{ADDRESS}>", "", ADDRESS),
        (f"Acme <{ADDRESS}>", "Acme", ADDRESS),
        (f"Acme<{ADDRESS}>", "Acme", ADDRESS),
        (f"Acme, Inc. <{ADDRESS}>", "Acme, Inc.", ADDRESS),
        (f"sales@acme <{ADDRESS}>", "sales@acme", ADDRESS),
        (f"Acme: Login <{ADDRESS}>", "Acme: Login", ADDRESS),
        (f"Acme (Login); [x] <{ADDRESS}>", "Acme (Login); [x]", ADDRESS),
        (f"Müller, Söhne <{ADDRESS}>", "Müller, Söhne", ADDRESS),
        (f'"Acme, Inc." <{ADDRESS}>', "Acme, Inc.", ADDRESS),
        (f'"The \\"A\\" \\\\ Team" <{ADDRESS}>', 'The "A" \\ Team', ADDRESS),
        (f'"a@b, c" <{ADDRESS}>', "a@b, c", ADDRESS),
        ("no-reply@localhost", "", "no-reply@localhost"),
        (f"Acme \U0001f469\u200d\U0001f52c <{ADDRESS}>", "Acme \U0001f469\u200d\U0001f52c", ADDRESS),
        ("Acme <no-reply@bücher.example>", "Acme", "no-reply@xn--bcher-kva.example"),
    ],
)
def test_sender_name_and_address_are_split_and_round_trip(text, name, address):
    assert split_sender(text) == (name, address)
    assert split_sender(check_sender(text)) == (name, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nobody",
        "Acme",
        "Acme <nobody>",
        "Acme <>",
        f'"Acme <{ADDRESS}>',
        f'Acme" <{ADDRESS}>',
        f'Ac"me <{ADDRESS}>',
        f'"Acme\\" <{ADDRESS}>',
        f"a@acme.example, {ADDRESS}",
        f"a@acme.example,{ADDRESS}",
        f"Acme <a@acme.example>, Acme <{ADDRESS}>",
        f"a@acme.example, Acme <{ADDRESS}>",
        f"Acme <{ADDRESS}> Inc.",
        f"Acme <a@acme.example,{ADDRESS}>",
        f"Acme <{ADDRESS}",
        f"Acme\r\nBcc: eve@evil.example <{ADDRESS}>",
        f"Acme <{ADDRESS}>\nBcc: eve@evil.example",
        f"Acme\x85Bcc: eve@evil.example <{ADDRESS}>",
        f"Acme\u2028Bcc: eve@evil.example <{ADDRESS}>",
        "müller@acme.example",
        "Acme <müller@acme.example>",
        '"no reply"@acme.example',
        "no-reply@[192.0.2.1]",
        "no-reply@acme..example",
        "no-reply@-acme.example",
        "no-reply@ü..example",
    ],
)
def test_sender_without_exactly_one_valid_address_is_rejected(text):
    with pytest.raises(ValueError, match=r"sender|address"):
        check_sender(text)
