"""The command ``flask users import``: its options and output."""

from __future__ import annotations

import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import click
from flask.cli import with_appcontext

from app.cli.imports import files
from app.cli.imports.account import NOT_IMPORTED
from app.cli.imports.auth0 import Auth0
from app.cli.imports.django import Django
from app.cli.imports.flask_security import FlaskSecurity
from app.cli.imports.keycloak import Keycloak
from app.cli.imports.kratos import Kratos
from app.cli.imports.latchkey import Latchkey
from app.cli.imports.product import Choices, Fault, Place, Product, Row
from app.cli.imports.rows import rows_of
from app.cli.imports.run import Tally, run
from app.cli.imports.spool import written
from app.cli.imports.supabase import Supabase
from app.cli.imports.values import mapping
from app.command_language import N_, TranslatedCommand, gettext, ngettext, ngettext_noop
from app.extensions import settings
from app.terminal import counted

SHOWN = 20
"""Number of reasons counted separately. The others are counted together."""

REFUSED = N_("{count} refused: {reason}")
OMITTED = N_("{count} left out of imported accounts: {reason}")
SKIPPED = N_("{count} skipped: {reason}")
ORPHANS = ngettext_noop(
    "{count} row belongs to no account in these files.", "{count} rows belong to no account in these files."
)
UNKNOWN_GROUPS = N_("Unknown groups: {names}. Create them (flask groups create NAME), or import with --create-groups.")

PRODUCTS: tuple[type[Product], ...] = (Auth0, Keycloak, Supabase, Kratos, Django, FlaskSecurity)
"""Products that accounts can be imported from, besides Latchkey."""

PATH = click.Path(exists=True, allow_dash=True, path_type=Path)


@click.command("import", cls=TranslatedCommand)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=PATH)
@click.option(
    "--from", "name", type=click.Choice([each.name for each in PRODUCTS]), help=N_("The product that wrote FILE.")
)
@click.option("--dry-run", is_flag=True, help=N_("Show what would happen, and write nothing."))
@click.option(
    "--refused", type=click.Path(path_type=Path), help=N_("File for what couldn't be imported, with reasons.")
)
@click.option("--create-groups", is_flag=True, help=N_("Create groups that don't exist yet."))
@click.option("--no-groups", is_flag=True, help=N_("Don't import groups and roles."))
@click.option("--unverified", is_flag=True, help=N_("Addresses are unverified unless FILE says otherwise."))
@click.option("--skip-unreadable", is_flag=True, help=N_("Don't import passwords and apps that can't be read."))
@click.option("--single-hash", is_flag=True, help=N_("Flask-Security: passwords weren't hashed with an HMAC."))
@click.option("--totp-secrets", type=click.File("rb"), help=N_("Flask-Security: SECURITY_TOTP_SECRETS, as JSON."))
@with_appcontext
def import_(
    paths: tuple[Path, ...],
    name: str | None,
    refused: Path | None,
    totp_secrets: BinaryIO | None,
    single_hash: bool,
    **flags: bool,
) -> None:
    """Create accounts from an export or JSON lines.

    Without --from, each line of FILE is a JSON object. Its fields: email, phone, username (at least one of them),
    more_emails (a list), methods (a list), password or password_hash, password_hmac, authenticator (base32 or otpauth),
    second_factor (a list), groups (a list), disabled, confirmed (true unless said otherwise).

    With --from, FILE is what that product exports; docs/import.md says how to get it. Pass all files of one export
    together. FILE is "-" for standard input, and can be compressed with gzip.

    A password of 6 to 8 digits is read as a code and signs no one in. A hash doesn't tell: its owner signs in by
    email, and sets another password.

    Existing accounts aren't changed: if the import was interrupted, run it again. Fix what --refused wrote, and import
    that.
    """
    product = next((each() for each in PRODUCTS if each.name == name), Latchkey())
    secrets = _secrets(totp_secrets)
    choices = Choices(hmac=not single_hash, totp_secrets=secrets, **flags)
    given = files.in_order(paths)
    with ExitStack() as stack:
        write_rejected = stack.enter_context(_rejects_file(refused, given)) if refused else None

        def reject(place: Place, what: dict[str, Any]) -> None:
            click.echo(f"{place}: {what['reason']}", err=True)
            if write_rejected:
                write_rejected(what)

        read, on_progress = stack.enter_context(_progress(given))
        joins = product.joins == "always" or (product.joins == "files" and len(given) > 1)
        tally = run(_rows(given, product, read), product, choices, reject, on_progress, join=joins)
    if not tally.total:
        names = ", ".join(map(str, given))
        raise click.ClickException(
            gettext("There is no account of {product} in {files}.", product=product.title, files=names)
        )
    _print_result(tally, product, choices)
    sys.exit(1 if tally.rejected else 0)


def _print_result(tally: Tally, product: Product, choices: Choices) -> None:
    """Print the result of an import."""
    if choices.dry_run or not isinstance(product, Latchkey):
        _print_reasons(REFUSED, tally.reasons)
        _print_reasons(OMITTED, tally.omitted)
        _print_reasons(SKIPPED, tally.skipped)
        for key, count in tally.not_imported.most_common():
            click.echo(f"{_accounts(count)}: {gettext(NOT_IMPORTED[key])}")
        _print_missing_settings(tally)
    if tally.orphans:
        click.echo(ngettext(*ORPHANS, tally.orphans), err=True)
    if tally.created_groups:
        text = N_("Would create groups: {names}.") if choices.dry_run else N_("Created groups: {names}.")
        click.echo(gettext(text, names=", ".join(sorted(tally.created_groups))))
    if tally.unknown_groups:
        click.echo(gettext(UNKNOWN_GROUPS, names=", ".join(sorted(tally.unknown_groups))), err=True)
    dry = gettext("Dry run, nothing was written: {result}.", result=str(tally))
    click.echo(dry if choices.dry_run else f"{tally}.")


def _print_reasons(what: str, reasons: Counter[str]) -> None:
    for reason, count in reasons.most_common(SHOWN):
        click.echo(gettext(what, count=count, reason=reason))
    if others := sum(count for _, count in reasons.most_common()[SHOWN:]):
        click.echo(gettext(what, count=others, reason=gettext("other reasons")))


def _print_missing_settings(tally: Tally) -> None:
    """Print which settings prevent imported features from working."""
    for name, count in tally.methods.items():
        if name not in settings.methods:
            click.echo(ngettext(*UNUSED, count, method=name))
    if tally.seconds and settings.second_factor == "off":
        click.echo(ngettext(*WITHOUT_SECOND, tally.seconds))
    if tally.unverified:
        click.echo(ngettext(*UNVERIFIED, tally.unverified))


UNUSED = ngettext_noop(
    "{count} account with {method}: LATCHKEY_METHODS doesn't name it, so it works nowhere yet.",
    "{count} accounts with {method}: LATCHKEY_METHODS doesn't name it, so it works nowhere yet.",
)
WITHOUT_SECOND = ngettext_noop(
    "{count} account with a second step: LATCHKEY_SECOND_FACTOR is off, so none is asked for it.",
    "{count} accounts with a second step: LATCHKEY_SECOND_FACTOR is off, so none is asked for it.",
)
UNVERIFIED = ngettext_noop(
    "{count} account not verified: the owner proves an address at the first sign-in.",
    "{count} accounts not verified: the owner proves an address at the first sign-in.",
)


def _accounts(count: int) -> str:
    return ngettext("{count} account", "{count} accounts", count)


def _rows(given: list[Path], product: Product, read: Callable[[int], None]) -> Iterator[Row | Fault]:
    """Yield the rows of all files.

    :raises click.ClickException: when the first row of a file is from another product
    """
    for path in given:
        with files.opened(path, read) as stream:
            begin = stream.peek(files.CHUNK)[: files.CHUNK]
            found = rows_of(stream, product, str(path) if len(given) > 1 else "")
            first = next(found, None)
            if isinstance(first, Row) and product.lists and not product.knows(first.values):
                _require_other(path, first, product)
            elif isinstance(first, Fault) and not product.lists:
                _require_lines(path, begin)
            yield from chain([first] if first else [], found)


def _require_other(path: Path, row: Row, product: Product) -> None:
    """Abort if a file is from another product than the one chosen."""
    for each in PRODUCTS:
        if each.name != product.name and each().knows(row.values):
            text = gettext(
                "{file} looks like an export of {found}, not of {wanted}. Nothing of it was read: give {option}.",
                file=path,
                found=each.title,
                wanted=product.title,
                option="--from " + each.name,
            )
            raise click.ClickException(text)


def _require_lines(path: Path, begin: bytes) -> None:
    """Abort if a file given without --from isn't JSON lines but starts like a product's export."""
    for each in PRODUCTS:
        first = next(rows_of(io.BufferedReader(io.BytesIO(begin)), each(), ""), None)
        if isinstance(first, Row) and each().knows(first.values):
            text = gettext(
                "{file} looks like an export of {found}: give {option}.",
                file=path,
                found=each.title,
                option="--from " + each.name,
            )
            raise click.ClickException(text)


def _secrets(file: BinaryIO | None) -> dict[str, str]:
    if file is None:
        return {}
    found = mapping(file.read(files.CHUNK))
    if not found:
        raise click.ClickException(
            gettext("{option}: is no JSON object such as {sample}.", option="--totp-secrets", sample='{"1": "..."}')
        )
    return {str(tag): str(secret) for tag, secret in found.items()}


@contextmanager
def _rejects_file(path: Path, given: list[Path]) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Write rejected records to a file readable by its owner only, since they can contain hashes and secrets.

    :raises click.ClickException: when it can't be written, or is one of the input files
    """
    if any(each.exists() and path.exists() and path.samefile(each) for each in given):
        raise click.ClickException(
            gettext("{file} is read by this import: write what it refuses to another file.", file=path)
        )
    try:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise click.ClickException(f"--refused {path}: {error.strerror}.") from None
    with open(target, "wb") as stream:

        def write(what: dict[str, Any]) -> None:
            stream.write(written(what).encode() + b"\n")

        yield write


@contextmanager
def _progress(given: list[Path]) -> Iterator[tuple[Callable[[int], None], Callable[[Tally], None]]]:
    """Show how much of the files has been read, and the results so far, on standard error if it is a terminal."""
    with counted(gettext("Importing"), files.size_of(given)) as update:
        yield lambda count: update(count, None), lambda tally: update(0, str(tally))
