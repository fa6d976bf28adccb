"""Names of groups here, made of those of groups and roles elsewhere."""

from __future__ import annotations

import re
import unicodedata

from app.cli.account_drafts import NotUsable
from app.groups.models import NAME_LENGTH
from app.groups.service import is_name


class GroupNames:
    """What each group and role of an export is called here, the same in the whole run.

    "/Sales/North West" is "sales.north-west". Two that would get one name are not made one: apps would then give the
    members of either what was meant for the other.
    """

    def __init__(self) -> None:
        self._sources: dict[str, str] = {}

    def of(self, kind: str, source: str) -> str:
        """Return the name of a group or role.

        :raises NotUsable: when it can have none, or another one has it
        """
        said = f"{kind} {source}"
        folded = unicodedata.normalize("NFKD", source).encode("ascii", "ignore").decode().lower()
        path = [re.sub(r"[^a-z0-9._-]+", "-", part.strip()).strip("-._") for part in folded.strip("/").split("/")]
        name = ".".join(path)[:NAME_LENGTH].rstrip("-._")
        if not all(path) or not is_name(name):
            raise NotUsable(f"groups: {said[:100]!r} makes no name of a group here; import with --no-groups")
        if self._sources.setdefault(name, said) != said:
            both = f"{self._sources[name][:100]!r} and {said[:100]!r}"
            raise NotUsable(f"groups: {both} would both be {name}; rename one, or import with --no-groups")
        return name
