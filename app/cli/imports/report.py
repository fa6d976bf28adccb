"""What an import says at its end."""

from __future__ import annotations

from collections import Counter

import click

from app.authenticators.presenters import title_of
from app.cli.imports.account import LEFT
from app.cli.imports.latchkey import Latchkey
from app.cli.imports.product import Choices, Product
from app.cli.imports.run import Tally
from app.extensions import settings

WITHOUT_GROUP = "Create them (flask groups create NAME), or import with --create-groups."

SHOWN = 20
"""Reasons that are counted one by one; what is left of them is counted together."""


def say(tally: Tally, product: Product, choices: Choices) -> None:
    """Print what became of an export."""
    if choices.dry_run or not isinstance(product, Latchkey):
        _say_reasons("refused", tally.reasons)
        _say_reasons("left out of accounts that come", tally.skipped)
        _say_reasons("passed over", tally.passed)
        for key, count in tally.left.most_common():
            click.echo(f"{_accounts(count)}: {LEFT[key]}")
        _say_settings(tally)
    if tally.orphans:
        click.echo(f"{tally.orphans:,} rows belong to no account in these files.", err=True)
    if tally.made_groups:
        verb = "Would create" if choices.dry_run else "Created"
        click.echo(f"{verb} groups: {', '.join(sorted(tally.made_groups))}.")
    if tally.unknown_groups:
        click.echo(f"Unknown groups: {', '.join(sorted(tally.unknown_groups))}. {WITHOUT_GROUP}", err=True)
    click.echo(f"Dry run, nothing was written: {tally}." if choices.dry_run else f"{tally}.")


def _say_reasons(what: str, reasons: Counter[str]) -> None:
    for reason, count in reasons.most_common(SHOWN):
        click.echo(f"{count:,} {what}: {reason}")
    if others := sum(count for _, count in reasons.most_common()[SHOWN:]):
        click.echo(f"{others:,} {what}: other reasons")


def _say_settings(tally: Tally) -> None:
    """Say which settings keep from working what has come."""
    unused = {title_of(name): count for name, count in tally.methods.items() if name not in settings.methods}
    for title, count in unused.items():
        click.echo(
            f"{_accounts(count)} with {title.lower()}: LATCHKEY_METHODS does not name it, so it works nowhere yet."
        )
    if tally.seconds and settings.second_factor == "off":
        click.echo(
            f"{_accounts(tally.seconds)} with a second step: LATCHKEY_SECOND_FACTOR is off, so none is asked for it."
        )
    if tally.unverified:
        click.echo(f"{_accounts(tally.unverified)} not verified: the owner proves an address at the first sign-in.")


def _accounts(count: int) -> str:
    return f"{count:,} account{'' if count == 1 else 's'}"
