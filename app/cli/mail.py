"""``flask mail``: preview every message, send a test email, and manage suppressions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
from markupsafe import Markup

from app import i18n
from app.cli.group import OperatorGroup
from app.cli.message_samples import samples, unsent
from app.command_language import N_, gettext, ngettext, table
from app.extensions import db, settings
from app.notifications.challenge_emails import write_email
from app.outbox import EmailMessage, TextMessage, suppressions
from app.outbox.channels import mail as mail_channel
from app.outbox.channels import smtp
from app.outbox.channels.attempt import Failed
from app.outbox.channels.failover import FALLBACK, PRIMARY
from app.users import identifiers

mail = OperatorGroup("mail", help=N_("Preview emails and text messages, and send a test email."))

HEADS = (N_("ADDRESS"), N_("WHY"), N_("CODE"), N_("REPORTED BY"), N_("SINCE (UTC)"), N_("UNTIL (UTC)"))
ROOMS = (36, 9, 6, 11, 16, 0)
SHOWN = ("masked", "kind", "code", "provider", "since", "until")

PAGE = Markup("""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{brand}: messages</title>
<style>body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 sans-serif }}
table {{ width: 100%; border-collapse: collapse }} td {{ padding: .5rem; border-top: 1px solid; vertical-align: top }}
td:last-child {{ white-space: pre-wrap }}</style>
<h1>{brand}: messages</h1>
{tables}
</html>
""")
TABLE = Markup('<h2 lang="{tag}">{language}</h2>\n<table lang="{tag}" dir="{direction}">\n{rows}</table>\n')
EMAIL_ROW = Markup('<tr><td>{name}<td><a href="{tag}/{name}.html">HTML</a> <a href="{tag}/{name}.txt">text</a>')
TEXT_ROW = Markup('<tr><td>{name}<td><a href="{tag}/{name}.sms.txt">SMS</a>')
WORDS = Markup("<td>{words}</tr>\n")


@dataclass(frozen=True)
class Written:
    """A rendered message in one language."""

    name: str
    words: EmailMessage | TextMessage

    @property
    def files(self) -> dict[str, str]:
        """Its content by file name."""
        if isinstance(self.words, TextMessage):
            return {f"{self.name}.sms.txt": self.words.body}
        return {f"{self.name}.html": self.words.html or "", f"{self.name}.txt": self.words.text}

    def row(self, tag: str) -> Markup:
        is_text = isinstance(self.words, TextMessage)
        summary = self.words.body if isinstance(self.words, TextMessage) else self.words.subject
        return (TEXT_ROW if is_text else EMAIL_ROW).format(name=self.name, tag=tag) + WORDS.format(words=summary)


@mail.command("preview")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def preview(folder: Path) -> None:
    """Write every email and text message to FOLDER, in each language of LATCHKEY_LANGUAGES, with an index page.

    Their contents are made up, and their links don't work. Files of an earlier preview are replaced.
    """
    try:
        count = sum(_write_language(folder, tag) for tag in settings.languages)
        tables = Markup().join(_table(tag) for tag in settings.languages)
        (folder / "index.html").write_text(PAGE.format(brand=settings.brand_name, tables=tables), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(
            gettext("{path} can't be written to: {reason}.", path=folder, reason=error.strerror)
        ) from error
    summary = ngettext(
        "Wrote {count} message. Open {path}", "Wrote {count} messages. Open {path}", count, path=folder / "index.html"
    )
    click.echo(summary)


def written(tag: str) -> Iterator[Written]:
    """Yield every message, rendered in one language."""
    with i18n.use_language(tag):
        for sample in samples():
            yield Written(sample.name, sample.written())


def _write_language(folder: Path, tag: str) -> int:
    (folder / tag).mkdir(parents=True, exist_ok=True)
    count = 0
    for message in written(tag):
        count += 1
        for name, text in message.files.items():
            (folder / tag / name).write_text(text, encoding="utf-8")
    return count


def _table(tag: str) -> Markup:
    rows = Markup().join(message.row(tag) for message in written(tag))
    return TABLE.format(tag=tag, language=i18n.language_name(tag), direction=i18n.direction(tag), rows=rows)


@mail.command("test")
@click.argument("address")
@click.option("--language", help=N_("Language; default: the first of LATCHKEY_LANGUAGES."))
@click.option("--fallback", is_flag=True, help=N_("Use the second mail server, LATCHKEY_MAIL_FALLBACK_URL."))
def test(address: str, language: str | None, fallback: bool) -> None:
    """Send a test email to ADDRESS now, and print what the mail server answered."""
    if language is not None and language not in settings.languages:
        raise click.UsageError(gettext("Choose a language from {languages}.", languages=", ".join(settings.languages)))
    if fallback and not settings.mail_fallback_url:
        raise click.UsageError(gettext("There is no second mail server. Set LATCHKEY_MAIL_FALLBACK_URL."))
    try:
        message = unsent("test", "mail", identifiers.email(address))
    except identifiers.InvalidIdentifier:
        raise click.UsageError(gettext("{address} isn't an email address.", address=repr(address))) from None
    with i18n.use_language(language or i18n.default_language()):
        words = write_email(message, {})
    try:
        _, answer = mail_channel.send(message, words, only=FALLBACK if fallback else PRIMARY)
    except Failed as failure:
        summary = gettext("Not sent: {reason}.", reason=failure.reason)
        answer = smtp.response_in(failure.__cause__)  # may be shown: the mail is the operator's own
        if answer:
            summary += " " + gettext("The mail server answered: {answer}", answer=answer)
        click.echo(summary, err=True)
        if failure.remedy:
            click.echo(failure.remedy, err=True)
        sys.exit(1)
    finally:
        mail_channel.quit_connection()
    facts = {"recipient": message.to, "sender": settings.mail_sender}
    click.echo(gettext("Sent to {recipient} from {sender}. The mail server answered: {answer}", answer=answer, **facts))


@mail.group("suppressions", cls=OperatorGroup)
def suppressed() -> None:
    """Addresses that get no mail, because it bounced or was reported as spam."""


@suppressed.command("list")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help=N_("Only the newest ones, this many."),
)
@click.option("--json", "as_json", is_flag=True, help=N_("As JSON."))
def list_suppressed(limit: int, as_json: bool) -> None:
    """List addresses that get no mail now, masked, newest first."""
    rows = suppressions.newest(limit)
    if as_json:
        facts = [{name: getattr(row, name) for name in SHOWN} for row in rows]
        click.echo(json.dumps(facts, default=lambda moment: moment.isoformat(), indent=2))
        return
    if not rows:
        click.echo(gettext("No address is suppressed."))
        return
    shown = table(HEADS, ROOMS)
    click.echo(shown.head())
    for row in rows:
        times = [f"{moment:%Y-%m-%d %H:%M}" for moment in (row.since, row.until)]
        click.echo(shown.line(row.masked, row.kind, row.code, row.provider, *times))


@suppressed.command("lift")
@click.argument("address")
def lift_suppression(address: str) -> None:
    """Send mail to ADDRESS again. If it comes back again, the address is suppressed again."""
    try:
        canonical = identifiers.email(address)
    except identifiers.InvalidIdentifier:
        raise click.UsageError(gettext("{address} isn't an email address.", address=repr(address))) from None
    if not suppressions.lift(canonical, "operator"):
        raise click.ClickException(gettext("{address} isn't suppressed.", address=address))
    db.session.commit()
    click.echo(gettext("{address} gets mail again.", address=canonical))
