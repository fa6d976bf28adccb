"""Invalid input at the second step is rejected with an error, never a 500."""

from __future__ import annotations

import pytest

from tests.second import PENDING, first_step, taken

pytestmark = pytest.mark.one_database

NUMBERS = [True, 1.5, -12345, {"a": 1}, [], [[1]], None]
TEXTS = ["", " ", "123", "1234567", "１２３４５６", "²³⁴⁵⁶⁷", "a" * 4096, "\x00" * 6]


@pytest.mark.parametrize("code", NUMBERS + TEXTS, ids=repr)
def test_malformed_second_factor_code_returns_400(json_wire, bob, code_for, code):
    first_step(json_wire, bob, code_for)
    answer = json_wire.post("/tf-validate", code=code)
    assert answer.status == 400
    assert answer.codes
    assert json_wire.post("/tf-validate", code=bob.app_code()).ok, "and the right one still works"


def test_used_totp_code_in_other_digits_is_rejected(json_wire, bob, code_for):
    first_step(json_wire, bob, code_for)
    code = bob.app_code()
    assert json_wire.post("/tf-validate", code=f"{code[:3]} {code[3:]}").ok
    json_wire.post("/logout")
    first_step(json_wire, bob, code_for)
    wide = "".join(chr(0xFF10 + int(digit)) for digit in code)
    for again in (code, wide, int(code)):
        taken(json_wire.post("/tf-validate", code=again), False)


@pytest.mark.parametrize("token", ["x", "a" * 43, "é" * 43, "../../etc", "0" * 10_000])
def test_forged_pending_cookie_is_rejected(wire, bob, token):
    wire.client.set_cookie(PENDING, token)
    for path in ("/tf-validate", "/tf-select", "/tf-setup"):
        taken(wire.get(path), False)


@pytest.mark.parametrize("field", ["pending", "next", "remember"])
@pytest.mark.parametrize("value", [5, True, {"a": 1}, [1], "x" * 5000])
def test_malformed_second_step_fields_return_400(program, bob, field, value):
    assert program.post("/tf-validate", code="123456", **{field: value}).status == 400
    assert program.post("/tf-select", which="sms", **{field: value}).status == 400
    assert program.post("/tf-setup", setup="sms", **{field: value}).status == 400
    assert program.post("/us-signin", identity=bob.email, passcode="1", tf_validity_token=value).status == 400
