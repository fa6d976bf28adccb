"""``flask mail``: previews of every message in a folder, and a test email."""

from __future__ import annotations

import re

import pytest

from app.oidc.grant_ends import KIND as APP_LOGOUT
from app.outbox.renderers import _REGISTERED
from tests.databases import ROOT

pytestmark = pytest.mark.one_database


def written(folder) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.settings(languages=("en", "ar"), brand_name="Acme & Co", brand_color="#7a1fa2")
def test_preview_contains_every_message_in_every_language_and_an_index(operate, tmp_path):
    done = operate("mail", "preview", str(tmp_path / "new" / "folder"))
    assert done.exit_code == 0, done.output
    folder = tmp_path / "new" / "folder"
    files = written(folder)
    index = (folder / "index.html").read_text()
    for kind in {path.name.partition(".")[0] for path in (ROOT / "app/templates/mail").iterdir()} - {"layout", "facts"}:
        assert any(re.fullmatch(rf"ar/{kind}(-\w+)?\.html", name) for name in files), kind
        assert any(re.fullmatch(rf"en/{kind}(-\w+)?\.txt", name) for name in files), kind
    for path in (ROOT / "app/templates/sms").iterdir():
        assert any(re.fullmatch(rf"en/{path.stem}(-\w+)?\.sms\.txt", name) for name in files), path.stem
    assert set(re.findall(r'href="([^"]+)"', index)) == files - {"index.html"}
    assert "Acme &amp; Co" in index
    assert 'dir="rtl"' in (folder / "ar" / "sign_in.html").read_text()
    assert "#7a1fa2" in (folder / "en" / "sign_in.html").read_text()


@pytest.mark.settings(languages=("en", "ar"))
def test_halves_of_a_code_keep_their_order_in_right_to_left_text(operate, tmp_path):
    operate("mail", "preview", str(tmp_path))
    for ending in ("html", "txt"):
        arabic, english = ((tmp_path / tag / f"sign_in.{ending}").read_text() for tag in ("ar", "en"))
        assert "1961\u00a06785" in arabic
        assert "1961 6785" not in arabic
        assert "1961 6785" in english


def test_preview_contains_every_registered_kind_of_message(operate, app, tmp_path):
    operate("mail", "preview", str(tmp_path))
    files = written(tmp_path)
    ours = [kind for kind, (render, _) in app.extensions[_REGISTERED].items() if render.__module__.startswith("app.")]
    assert len(ours) > 10
    to_people = [kind for kind in ours if kind != APP_LOGOUT]
    assert [kind for kind in to_people if not any(name.startswith(f"en/{kind}") for name in files)] == []


def test_preview_into_an_unwritable_folder_is_reported(operate, tmp_path):
    (tmp_path / "file").write_text("")
    done = operate("mail", "preview", str(tmp_path / "file" / "below"))
    assert done.exit_code == 1
    assert "can't be written to: Not a directory." in done.output


@pytest.mark.settings(brand_name="Acme")
def test_test_email_is_sent_immediately_and_prints_the_server_answer(operate, smtp):
    done = operate("mail", "test", "Ada@Example.com")
    assert done.exit_code == 0, done.output
    assert [mail.to for mail in smtp.mails] == [["ada@example.com"]]
    assert smtp.mails[0].subject == "Test email from Acme"
    assert re.search(
        r"Sent to ada@example\.com from .+ <no-reply@\S+>\. The mail server answered: 250 \S+", done.output
    )


@pytest.mark.parametrize(("mode", "said"), [("refuse", "550"), ("busy", "451")])
def test_rejected_test_email_prints_the_server_answer(operate, smtp, mode, said):
    smtp.mode = mode
    done = operate("mail", "test", "ada@example.com")
    assert done.exit_code == 1
    assert re.search(rf"Not sent: .*\. The mail server answered: {said} \S+", done.output)


@pytest.mark.settings(mail_url="")
def test_test_email_without_mail_server_names_the_setting(operate):
    done = operate("mail", "test", "ada@example.com")
    assert done.exit_code == 1
    assert "Set LATCHKEY_MAIL_URL." in done.output


@pytest.mark.parametrize("address", ["ada", "ada@example.com, eve@example.com", "ada@example.com\nBcc: e@example.com"])
def test_invalid_address_is_rejected(operate, smtp, address):
    assert operate("mail", "test", address).exit_code == 2
    assert smtp.mails == []


def test_unavailable_language_is_rejected(operate, smtp):
    done = operate("mail", "test", "ada@example.com", "--language", "tlh")
    assert done.exit_code == 2
    assert "Choose a language from en, de, fr, es, pt-BR, ja, ar, pl." in done.output
