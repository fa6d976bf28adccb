"""README.txt of an export: what it holds, for someone who opens it years later."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from datetime import datetime

from app.db.export import ExportPart
from app.extensions import settings
from app.i18n import datetime_text

WIDTH = 78


def readme(at: datetime, parts: Sequence[ExportPart], cut: Sequence[str]) -> str:
    """Return the text.

    :param cut: names of parts of which only the newest rows are there
    """
    told = [f"{part.name}.json, {part.name}.csv\n{_indented(part.says)}" for part in parts]
    more = [f"Only the newest rows are in: {', '.join(cut)}. There were too many for one archive."] if cut else []
    return "\n\n".join([*_about(at), *map(_filled, more), *told, ""])


def _about(at: datetime) -> list[str]:
    return [
        f"What {settings.brand_name} keeps about your account\n{settings.origin}\nMade {datetime_text(at)}",
        _filled(
            "Each kind of record is here twice: as JSON for programs, and as CSV for a spreadsheet (UTF-8, separated by"
            " commas). Times are in UTC. In the CSV files an apostrophe stands before a text that a spreadsheet would"
            " take for a formula; a telephone number begins with one, for example. The JSON files have it as it is."
        ),
        _filled(
            "Secrets are not in here: what signs you in, such as the key of an authenticator app or the token of a"
            " session, is kept sealed or only as a fingerprint, and nobody can take it out."
        ),
    ]


def _filled(text: str) -> str:
    return textwrap.fill(text, WIDTH)


def _indented(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="    ", subsequent_indent="    ")
