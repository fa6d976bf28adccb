"""``flask templates``: check templates of your own, and list what ours have."""

from __future__ import annotations

import sys

import click

from app.cli import template_check
from app.cli.group import OperatorGroup
from app.command_language import N_, gettext, ngettext
from app.extensions import settings

templates = OperatorGroup("templates", help=N_("Check templates of your own, and list what they can use."))


@templates.command("check")
def check() -> None:
    """Render every page and message with sample data, and report what is wrong with templates.

    Looks at those in LATCHKEY_TEMPLATES_FOLDER and at ours that use them. Exits with 1 when there is something to fix.
    """
    found = template_check.faults()
    for fault in found:
        click.echo(str(fault))
    if found:
        said = ngettext(
            "{count} to fix. The service uses its own templates in their place.",
            "{count} to fix. The service uses its own templates in their place.",
            len(found),
        )
        click.echo(said, err=True)
        sys.exit(1)
    rendered = len({name for name, _ in template_check.renderings()})
    folder = settings.templates_folder or gettext("no LATCHKEY_TEMPLATES_FOLDER is set")
    said = ngettext(
        "Rendered {count} template without a fault ({folder}).",
        "Rendered {count} templates without a fault ({folder}).",
        rendered,
        folder=folder,
    )
    click.echo(said)


@templates.command("list")
@click.argument("name", required=False)
def list_templates(name: str | None) -> None:
    """List our templates, or the blocks and values of the one called NAME."""
    if name is None:
        for each in template_check.built_in_names():
            click.echo(each)
        return
    if name not in template_check.built_in_names():
        raise click.UsageError(gettext("There is no template {name}. List them: flask templates list", name=repr(name)))
    blocks, values = template_check.blocks_of(name), template_check.variables_of(name)
    click.echo(gettext("Blocks: {names}", names=", ".join(sorted(blocks)) or gettext("none")))
    click.echo(gettext("Values: {names}", names=", ".join(sorted(values)) or gettext("none")))
