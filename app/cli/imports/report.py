"""What an import says at its end."""

from __future__ import annotations

from collections import Counter

import click

from app.cli.imports.account import LEFT
from app.cli.imports.latchkey import Latchkey
from app.cli.imports.product import Choices, Product
from app.cli.imports.run import Tally
from app.command_language import N_, gettext, ngettext, ngettext_noop
from app.extensions import settings

SHOWN = 20
"""Reasons that are counted one by one; what is left of them is counted together."""


REFUSED = N_("{count} refused: {reason}")
LEFT_OUT = N_("{count} left out of accounts that come: {reason}")
PASSED_OVER = N_("{count} passed over: {reason}")
ORPHANS = ngettext_noop(
    "{count} row belongs to no account in these files.", "{count} rows belong to no account in these files."
)
UNKNOWN_GROUPS = N_("Unknown groups: {names}. Create them (flask groups create NAME), or import with --create-groups.")


def say(tally: Tally, product: Product, choices: Choices) -> None:
    """Print what became of an export."""
    if choices.dry_run or not isinstance(product, Latchkey):
        _say_reasons(REFUSED, tally.reasons)
        _say_reasons(LEFT_OUT, tally.skipped)
        _say_reasons(PASSED_OVER, tally.passed)
        for key, count in tally.left.most_common():
            click.echo(f"{_accounts(count)}: {gettext(LEFT[key])}")
        _say_settings(tally)
    if tally.orphans:
        click.echo(ngettext(*ORPHANS, tally.orphans), err=True)
    if tally.made_groups:
        said = N_("Would create groups: {names}.") if choices.dry_run else N_("Created groups: {names}.")
        click.echo(gettext(said, names=", ".join(sorted(tally.made_groups))))
    if tally.unknown_groups:
        click.echo(gettext(UNKNOWN_GROUPS, names=", ".join(sorted(tally.unknown_groups))), err=True)
    dry = gettext("Dry run, nothing was written: {result}.", result=str(tally))
    click.echo(dry if choices.dry_run else f"{tally}.")


def _say_reasons(what: str, reasons: Counter[str]) -> None:
    for reason, count in reasons.most_common(SHOWN):
        click.echo(gettext(what, count=count, reason=reason))
    if others := sum(count for _, count in reasons.most_common()[SHOWN:]):
        click.echo(gettext(what, count=others, reason=gettext("other reasons")))


def _say_settings(tally: Tally) -> None:
    """Say which settings keep from working what has come."""
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
