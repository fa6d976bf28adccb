"""One spelling per identity; look-alikes are normalized or rejected (OWASP cheat sheet on email validation)."""

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.users import identifiers
from app.users.identifiers import InvalidIdentifier

FOLDED = {
    "ada@example.com": "ada@example.com",
    "Ada.Lovelace@Example.COM": "ada.lovelace@example.com",
    " ada@mail.test ": "ada@mail.test",
    "\u00a0ada@mail.test": "ada@mail.test",
    "ada+news@example.org": "ada+news@example.org",
    "ada＠example.com": "ada@example.com",
    "ａｄａ@ｅｘａｍｐｌｅ.com": "ada@example.com",
    "\u212aarl@example.com": "karl@example.com",
    "ada@\u212aiosk.example": "ada@kiosk.example",
    "ada@Bücher.example": "ada@xn--bcher-kva.example",
    "ada@xn--bcher-kva.example": "ada@xn--bcher-kva.example",
    "o'brien@example.com": "o'brien@example.com",
    "a" * 64 + "@example.com": "a" * 64 + "@example.com",
    "ada@example.com\u200b": "ada@example.com",
    "a\u200bd\u00ada@exam\u2060ple.com": "ada@example.com",
    "\u202eada@example.com\u202c": "ada@example.com",
    "\r\nada@example.com\n": "ada@example.com",
    "\u3000ada@example.com\u202f": "ada@example.com",
    "ada@example.com.": "ada@example.com",
    "mailto:ada@example.com": "ada@example.com",
    "mailto://ada@example.com": "ada@example.com",
    "MAILTO:ada%40example.com?subject=Hello": "ada@example.com",
    "Ada <ada@example.com>": "ada@example.com",
    '"Lovelace, Ada" <ada@example.com>': "ada@example.com",
    "ada@example.com <Ada@example.com>": "ada@example.com",
    "<mailto:ada@example.com>": "ada@example.com",
    "\u201cada@example.com\u201d": "ada@example.com",
    "'ada@example.com'": "ada@example.com",
}
REFUSED = [
    "", "@", "ada", "ada@", "@example.com", "a@x@y.com", "a@@x.com", "a＠x@y.com",
    "mıke@example.com", "аda@example.com", "jürgen@example.com",
    "ada@example.com\r\nBcc: eve@example.com", "ada\x00@example.com", "ada@example.com..", "ada@exam\u2800ple.com",
    "mailto:", "mailto:ada@example.com,eve@example.com", "mailto:ada@example.com%0d%0aBcc:%20eve@example.com",
    "tel:ada@example.com", "eve@example.com <ada@example.com>", "<ada@example.com> <eve@example.com>",
    "ada@example.com\x7f", "a da@example.com", "ada@exam ple.com", "ada\t@example.com",
    "ada@example.com,eve@example.com", "ada,@example.com", "ada;eve@example.com", "Ada <ada>",
    '"a da"@example.com', '"ada"@example.com', "ada@[127.0.0.1]", "ada(x)@example.com",
    "ada@localhost", "ada@mail.local", "ada@x.onion", "ada@-x.com", "ada@x..com", ".ada@x.com", "a..a@x.com",
    "\ud800@example.com", "ada@\udfff.com",
    "a" * 65 + "@example.com", "a@" + "x" * 64 + ".com", "a@" + ".".join(["x" * 60] * 5) + ".com", "a" * 100_000,
]  # fmt: skip


@pytest.mark.parametrize(("typed", "stored"), FOLDED.items())
def test_email_is_normalized(typed, stored):
    assert identifiers.email(typed) == stored


@pytest.mark.parametrize("typed", REFUSED, ids=lambda typed: ascii(typed)[:40])
def test_ambiguous_or_invalid_email_is_rejected(typed):
    with pytest.raises(InvalidIdentifier) as refusal:
        identifiers.email(typed)
    assert refusal.value.kind == "email"


def test_email_is_limited_to_254_characters():
    longest = "a@" + ".".join(["x" * 61] * 3 + ["x" * 62]) + ".com"
    assert len(identifiers.email(longest)) == 254
    with pytest.raises(InvalidIdentifier):
        identifiers.email("a" + longest)


@given(st.one_of(st.emails(), st.text(), st.text("aK\u212a@＠.\u200b,; <ß", max_size=12)))
@example("ß@ß.example")
def test_email_is_rejected_or_normalized_idempotently(typed):
    try:
        stored = identifiers.email(typed)
    except InvalidIdentifier:
        return
    assert identifiers.email(stored) == stored
    assert stored.isascii()
    assert stored == stored.lower()
    assert stored.count("@") == 1
    assert not set(stored) & set(" ,;<>\r\n\t\x00")


@pytest.mark.parametrize(("typed", "region", "stored"), [
    ("+1 650 555 1234", "DE", "+16505551234"),
    ("(650) 555-1234", "US", "+16505551234"),
    ("650–555‑1234", "US", "+16505551234"),
    ("650.555.1234", "US", "+16505551234"),
    ("6505551234", "US", "+16505551234"),
    ("＋１ ６５０ ５５５ １２３４", "US", "+16505551234"),
    ("+٤٤٢٠٧٩٤٦٠٩٥٨", "US", "+442079460958"),
    ("020 7946 0958", "GB", "+442079460958"),
    ("+49 151 12345678", "US", "+4915112345678"),
    ("\u202d+49 1512 3456789\u202c", "US", "+4915123456789"),
    ("\u200e+49 1512 3456789\ufe0d", "US", "+4915123456789"),
    ("+1650\u200b5551234\n", "US", "+16505551234"),
    ("tel:+49-1512-3456789", "US", "+4915123456789"),
    ("sms:+4915123456789?body=hi", "US", "+4915123456789"),
    ("tel://+4915123456789", "US", "+4915123456789"),
    ("Tel:%2B16505551234", "US", "+16505551234"),
    ("+49\u202f1512\u30003456789", "US", "+4915123456789"),
])  # fmt: skip
def test_phone_is_normalized_to_e164(typed, region, stored):
    assert identifiers.phone(typed, region) == stored


@pytest.mark.parametrize("typed", [
    "", "+", "123", "+999 123 4567", "+1 555 555 5555", "555-1234", "+1 650 555 12345", "1-800-FLOWERS", "ada",
    "+1 650 555 1234 ext 5", "+16505551234;ext=5", "tel:+16505551234;ext=5", "mailto:+16505551234", "+1650\x005551234",
    "tel:", "\ud800", "+1 650 555 1234, +1 650 555 1235", "1" * 100_000,
], ids=lambda typed: ascii(typed)[:30])  # fmt: skip
def test_invalid_phone_number_is_rejected(typed):
    with pytest.raises(InvalidIdentifier):
        identifiers.phone(typed, "US")


@given(st.text("+0123456789()-. ٤４", max_size=20))
def test_phone_is_rejected_or_normalized_idempotently(typed):
    try:
        stored = identifiers.phone(typed, "US")
    except InvalidIdentifier:
        return
    assert identifiers.phone(stored, "DE") == stored


@pytest.mark.parametrize(("typed", "stored"), [
    ("Ada", "ada"), ("ＡＤＡ", "ada"), ("\u212aarl", "karl"), (" ada_l-1.0 ", "ada_l-1.0"),
    ("1ada", "1ada"), ("a" * 64, "a" * 64), ("Groß", "gross"), ("ada\n", "ada"), ("\u2060a\u200bda", "ada"),
])  # fmt: skip
def test_username_is_normalized(typed, stored):
    assert identifiers.username(typed) == stored


@pytest.mark.parametrize("typed", [
    "", "ad", "a" * 65, "ada@example.com", "ada＠x", ".ada", "-ada", "_ada", "a da",
    "a\nda", "mıke", "аda", "zz zz", "tel:ada", "ada/..", "6505551234", "\ud800ada",
], ids=lambda typed: ascii(typed)[:30])  # fmt: skip
def test_ambiguous_or_invalid_username_is_rejected(typed):
    with pytest.raises(InvalidIdentifier):
        identifiers.username(typed)


@given(st.text())
def test_username_is_rejected_or_stable_and_never_an_email_or_phone(typed):
    try:
        stored = identifiers.username(typed)
    except InvalidIdentifier:
        return
    assert identifiers.username(stored) == stored
    for another_kind in (identifiers.email, lambda text: identifiers.phone(text, "US")):
        with pytest.raises(InvalidIdentifier):
            another_kind(stored)


@pytest.mark.parametrize("read", [identifiers.email, identifiers.username, lambda text: identifiers.phone(text, "US")])
@pytest.mark.parametrize("value", [None, 5, b"ada@example.com", ["ada@example.com"]])
def test_non_text_identifier_is_rejected(read, value):
    with pytest.raises(InvalidIdentifier):
        read(value)


def test_error_does_not_repeat_the_input():
    with pytest.raises(InvalidIdentifier) as refusal:
        identifiers.email("<b>hunter2</b>@example.com")
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(("kind", "value", "masked"), [
    ("email", "jane.doe@example.com", "j...@example.com"),
    ("email", "j@example.com", "j...@example.com"),
    ("phone", "+16505551234", "...1234"),
    ("username", "ada", "a..."),
])  # fmt: skip
def test_mask_keeps_a_recognizable_part(kind, value, masked):
    assert identifiers.mask(kind, value) == masked


def test_heavy_libraries_are_loaded_on_first_use():
    program = (
        "import sys, app.users.identifiers, app.user_agents;"
        "print({'phonenumbers', 'email_validator', 'ua_parser'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout.strip() == "set()"


LOCAL_PARTS = st.text("aZ09.!#$%&'*+/=?^_`{|}~-@ \"(é", max_size=70)


DOMAINS = st.sampled_from(["example.com", "bücher.example", "-a.example", "a..b", "example", "[127.0.0.1]"])


@given(local=LOCAL_PARTS, domain=DOMAINS)
def test_fast_path_for_emails_agrees_with_the_library(local, domain):
    text = identifiers._folded("email", f"{local}@{domain}")
    whole = (
        identifiers._mailbox(text).lower() if text.count("@") == 1 and not identifiers._UNWANTED.search(text) else ""
    )
    try:
        assert identifiers.email(text) == whole
    except identifiers.InvalidIdentifier:
        assert whole == "" or len(whole) > identifiers.EMAIL_MAX


@pytest.mark.parametrize(("typed", "stored"), {"Ada": "ada", "\uff21da.L": "ada.l", " ada-1 ": "ada-1"}.items())
def test_new_username_is_normalized(typed, stored):
    assert identifiers.new_username(typed) == stored


@pytest.mark.parametrize(
    "typed",
    ["ab", "a" * 33, "Root", "ad.min", "a..b", "a-", "-a1", "12345", "a@b", "+165025", "\u0131da", "\u0430da"],
)  # fmt: skip
def test_invalid_or_reserved_new_username_is_rejected(typed):
    with pytest.raises(InvalidIdentifier) as refusal:
        identifiers.new_username(typed)
    assert refusal.value.kind == "username"
