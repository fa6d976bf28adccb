"""``flask apps``: check the apps file, list its apps, and try which rule decides about a request."""

from __future__ import annotations

import ipaddress
import string
import sys
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import quote

import click
import orjson

from app import i18n
from app.cli.clients import known_groups
from app.cli.group import OperatorGroup, user_named
from app.command_language import N_, gettext, in_command_language, ngettext
from app.extensions import settings
from app.forward_auth.app_file import app_of, apps_by_host, own_hosts, read_apps
from app.forward_auth.dialects import URL
from app.forward_auth.rules import Address, ProtectedApp, Requirements, decoded_path
from app.groups.service import groups_of
from config.problems import variable

apps = OperatorGroup("apps", help=N_("Check and try the rules of apps behind a proxy (forward auth)."))

_ASCII = string.printable

LEVELS = {
    "public": N_("open to everyone"),
    "signed_in": N_("for everyone who is signed in"),
    "aal2": N_("for everyone who is signed in with two factors"),
    "deny": N_("closed to everyone"),
}


@apps.command("check")
@click.argument("file", required=False, type=click.Path())
def check(file: str | None) -> None:
    """Check the apps file.

    FILE is checked instead of LATCHKEY_APPS_FILE, as it would be at startup.
    """
    path = file or settings.apps_file
    if not path:
        click.echo(gettext("{setting} isn't set.", setting=variable("apps_file")))
        return
    own = own_hosts(settings)
    name = file or variable("apps_file")
    found, problems = read_apps(path, name, needs_https=settings.is_production, own=own)
    for problem in problems:
        click.echo(str(problem), err=True)
    for note in _notes(found.values()):
        click.echo(gettext("Note: {note}", note=note), err=True)
    message = ngettext("{count} app, {wrong} to fix.", "{count} apps, {wrong} to fix.", len(found), wrong=len(problems))
    click.echo(message)
    sys.exit(1 if problems else 0)


@apps.command("list")
@click.option("--json", "as_json", is_flag=True, help=N_("One JSON object per line."))
def list_apps(as_json: bool) -> None:
    """List the protected apps, and who may use each."""
    for app in sorted(apps_by_host().values(), key=lambda each: each.id):
        requirements = app.rules[-1].requirements
        if as_json:
            groups = sorted(requirements.groups[0]) if requirements.groups else []
            row = {"id": app.id, "name": app.name, "url": app.origin, "level": requirements.level}
            click.echo(orjson.dumps(row | {"rules": len(app.rules) - 1, "groups": groups}))
            continue
        rules = ngettext("{count} rule for its parts", "{count} rules for its parts", len(app.rules) - 1)
        click.echo(f"{app.id}  {app.origin}  {_in_words(requirements)}, {rules}")


@apps.command("try")
@click.argument("url")
@click.option("--as", "who", metavar="IDENTITY", help=N_("Who makes the request: an email, phone number or username."))
@click.option("--method", default="GET", show_default=True, help=N_("Of the request."))
@click.option("--from", "address", metavar="ADDRESS", help=N_("The visitor's IP address, for rules of networks."))
def try_url(url: str, who: str | None, method: str, address: str | None) -> None:
    """Show which rule applies to a request, and whether it may pass.

    URL is what the visitor requests, with scheme and host. Nothing is changed.
    """
    asked = URL.fullmatch(url)
    app = app_of(asked[1]) if asked else None
    if asked is None or app is None:
        raise click.ClickException(gettext("The apps file has no app at {url}: a proxy gets 403 for it.", url=url))
    path = (asked[2] or "/").partition("?")[0]
    path = quote(path, safe=_ASCII) if path.startswith("/") else "/"  # the encoding that browsers send
    requirements = app.requirements_for(method.upper(), path, _address(address))
    click.echo(f"{app.name}: {method.upper()} {path}")
    if decoded_path(path) is None:
        click.echo(gettext("The path can be read in two ways, so the strictest of the rules holds."))
    click.echo(gettext("Decided by {rule}: {need}.", rule=requirements.decided_by, need=_in_words(requirements)))
    if who:
        click.echo(_verdict(app, requirements, who))


def _verdict(app: ProtectedApp, requirements: Requirements, who: str) -> str:
    """Return the outcome of a request by a signed-in person."""
    user = user_named(who)
    if requirements.level == "public":
        return gettext("{identity} may pass, like everyone.", identity=who)
    if requirements.level == "deny":
        return gettext("{identity} gets 403.", identity=who)
    if not user.is_active:
        return gettext("{identity} can't sign in: the account is disabled or closed.", identity=who)
    mine = groups_of(user.id)
    if not requirements.admits(mine):
        return _not_in_groups(requirements, who, mine)
    said = [gettext("{identity} may pass once signed in at {host}.", identity=who, host=app.host)]
    if requirements.level == "aal2":
        said.append(gettext("A second factor is required if the session has only one."))
    if requirements.max_age:
        said.append(gettext("They have to confirm it's them again if their last verification is older."))
    return " ".join(said)


def _not_in_groups(requirements: Requirements, who: str, mine: Sequence[str]) -> str:
    with in_command_language():
        wanted = i18n.all_of([i18n.any_of(sorted(each)) for each in requirements.groups])
    if not mine:
        return gettext(
            "{identity} gets 403: the account is in no group, and {groups} is required.", identity=who, groups=wanted
        )
    return gettext(
        "{identity} gets 403: the account is in {mine}, and {groups} is required.",
        identity=who,
        mine=", ".join(mine),
        groups=wanted,
    )


def _in_words(requirements: Requirements) -> str:
    words = [gettext(LEVELS[requirements.level])]
    with in_command_language():
        choices = [i18n.any_of(sorted(each)) for each in requirements.groups]
    words += [gettext("in the group {groups}", groups=each) for each in choices]
    if requirements.max_age:
        words.append(gettext("verified within {seconds} s", seconds=int(requirements.max_age.total_seconds())))
    return ", ".join(words)


def _address(text: str | None) -> Address | None:
    try:
        return ipaddress.ip_address(text) if text else None
    except ValueError:
        raise click.ClickException(
            gettext("{option}: {text} isn't an IP address.", option="--from", text=text)
        ) from None


def _notes(found: Iterable[ProtectedApp]) -> Iterator[str]:
    """Yield things that are valid but may be mistakes."""
    if not settings.forward_auth_proxies:
        yield gettext(
            "{setting} is empty: no proxy is trusted, and each request gets 403.",
            setting=variable("forward_auth_proxies"),
        )
    known = known_groups()
    for app in found:
        named = {name for rule in app.rules for each in rule.requirements.groups for name in each}
        for name in sorted(named - known):
            yield gettext(
                "{app}: there is no group {group} yet; flask groups create {group}", app="apps." + app.id, group=name
            )
