"""``flask mail``: every message in a folder, and a test email that is sent now."""

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
def test_a_preview_has_every_message_in_every_language_and_an_index(operate, tmp_path):
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
def test_the_halves_of_a_code_keep_their_order_where_text_runs_from_right_to_left(operate, tmp_path):
    operate("mail", "preview", str(tmp_path))
    for ending in ("html", "txt"):
        arabic, english = ((tmp_path / tag / f"sign_in.{ending}").read_text() for tag in ("ar", "en"))
        assert "1961\u00a06785" in arabic
        assert "1961 6785" not in arabic
        assert "1961 6785" in english


def test_a_preview_has_a_sample_of_every_kind_that_is_sent(operate, app, tmp_path):
    operate("mail", "preview", str(tmp_path))
    files = written(tmp_path)
    ours = [kind for kind, (render, _) in app.extensions[_REGISTERED].items() if render.__module__.startswith("app.")]
    assert len(ours) > 10
    to_people = [kind for kind in ours if kind != APP_LOGOUT]
    assert [kind for kind in to_people if not any(name.startswith(f"en/{kind}") for name in files)] == []


def test_a_preview_that_cannot_be_written_says_so(operate, tmp_path):
    (tmp_path / "file").write_text("")
    done = operate("mail", "preview", str(tmp_path / "file" / "below"))
    assert done.exit_code == 1
    assert "can't be written to: Not a directory." in done.output


@pytest.mark.settings(brand_name="Acme")
def test_a_test_email_is_sent_now_and_the_answer_printed(operate, smtp):
    done = operate("mail", "test", "Ada@Example.com")
    assert done.exit_code == 0, done.output
    assert [mail.to for mail in smtp.mails] == [["ada@example.com"]]
    assert smtp.mails[0].subject == "Test email from Acme"
    assert re.search(
        r"Sent to ada@example\.com from .+ <no-reply@\S+>\. The mail server answered: 250 \S+", done.output
    )


@pytest.mark.parametrize(("mode", "said"), [("refuse", "550"), ("busy", "451")])
def test_a_test_email_that_is_refused_says_what_the_server_said(operate, smtp, mode, said):
    smtp.mode = mode
    done = operate("mail", "test", "ada@example.com")
    assert done.exit_code == 1
    assert re.search(rf"Not sent: .*\. The mail server answered: {said} \S+", done.output)


@pytest.mark.settings(mail_url="")
def test_without_a_mail_server_the_setting_is_named(operate):
    done = operate("mail", "test", "ada@example.com")
    assert done.exit_code == 1
    assert "Set LATCHKEY_MAIL_URL." in done.output


@pytest.mark.parametrize("address", ["ada", "ada@example.com, eve@example.com", "ada@example.com\nBcc: e@example.com"])
def test_what_is_no_address_is_refused(operate, smtp, address):
    assert operate("mail", "test", address).exit_code == 2
    assert smtp.mails == []


def test_a_language_that_is_not_offered_is_refused(operate, smtp):
    done = operate("mail", "test", "ada@example.com", "--language", "tlh")
    assert done.exit_code == 2
    assert "Choose a language from en, de, fr, es, pt-BR, ja, ar, pl." in done.output
