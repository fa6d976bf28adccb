"""Requirements of passwords, and how they are stored."""

import pytest

from app.authenticators import password
from app.errors import Rejected

pytestmark = pytest.mark.one_database

GOOD = "seven quiet herons"


@pytest.fixture(autouse=True)
def _forget_the_list():
    password._blocked.cache_clear()
    yield
    password._blocked.cache_clear()


def refusal(app, text):
    with app.app_context(), pytest.raises(Rejected) as refused:
        password.hash_password(text)
    return refused.value.code


@pytest.mark.slow_hashes
def test_password_is_stored_as_argon2id(app):
    with app.app_context():
        kept = password.hash_password(GOOD)
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("x2 4 6 8 0 2 4", "password_invalid_length"),
        ("ab" * 65, "password_too_long"),
        ("2 4 6", "password_invalid_length"),
    ],
)
def test_password_of_invalid_length_is_rejected(app, text, code):
    assert refusal(app, text) == code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("135791", "password_invalid_length"),
        ("1357913", "password_invalid_length"),
        ("13579135", "password_too_common"),
        ("１３５７９１３５", "password_too_common"),
        ("1357 9135", "password_too_common"),
        ("135-791-35", "password_too_common"),
        ("\u00a013579135", "password_too_common"),
        ("1 3 5 7 9 1 3 5", "password_too_common"),
    ],
)
def test_password_that_looks_like_a_code_is_rejected(make_app, text, code):
    assert refusal(make_app(password_length_min=8), text) == code


def test_password_with_more_digits_than_any_code_is_accepted(make_app):
    with make_app(password_length_min=8).app_context():
        assert password.hash_password("604815973")


def test_password_on_the_blocklist_is_rejected_case_insensitively(make_app, tmp_path):
    (tmp_path / "stolen.txt").write_text(f"something else\n{GOOD}\n", encoding="utf-8")
    app = make_app(password_blocklist=str(tmp_path / "stolen.txt"))
    assert refusal(app, GOOD.upper()) == "password_too_common"
