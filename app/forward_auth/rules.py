"""Rules: who may use which part of a protected app.

The first rule that matches a request decides, otherwise the app's own entry does. A path that the proxy and the app may
interpret differently gets the strictest of the rules, so that no one reaches a closed part through the rule for an open
one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Literal
from urllib.parse import unquote_to_bytes

Level = Literal["public", "signed_in", "aal2", "deny"]
LEVELS: tuple[Level, ...] = ("public", "signed_in", "aal2", "deny")
"""From least to most restrictive."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_PATH_LENGTH = 8192
"""Maximum length of a path. A longer one counts as ambiguous."""

_AMBIGUOUS = re.compile(r"%(?:2[5f]|3b|5c|[01].|7f)|[\\;#\x00-\x1f\x7f]|//|,/", re.IGNORECASE)
"""What some programs decode, cut off or merge, and others don't. Proxies that decode paths pass on ``;`` as it is."""

_DOT_SEGMENTS = re.compile(r"(?:^|/)(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_ESCAPE = re.compile(r"%(?![0-9a-f]{2})", re.IGNORECASE)
_TRAILING = re.compile(r"[. ]+(?=/|$)")
"""What Windows ignores at the end of a name."""


@dataclass(frozen=True, slots=True)
class Requirements:
    """Requirements for a request.

    :ivar groups: the user must be in one group of each of these
    :ivar max_age: how long an authentication counts; None for as long as the session
    :ivar cross_site: whether pages on other sites may send state-changing requests
    :ivar decided_by: name of the rule, for the operator
    """

    level: Level
    groups: tuple[frozenset[str], ...] = ()
    max_age: timedelta | None = None
    cross_site: bool = False
    decided_by: str = ""

    def admits(self, groups: Iterable[str]) -> bool:
        """Return whether a member of these groups may pass."""
        user_groups = frozenset(groups)
        return all(not user_groups.isdisjoint(each) for each in self.groups)


@dataclass(frozen=True, slots=True)
class Rule:
    """Requirements for a part of an app.

    :ivar paths: exact paths, or everything below a path that ends in ``/*``, including it; empty for all
    :ivar methods: in capitals; empty for all. HEAD counts as GET
    :ivar networks: networks of the visitor; empty for all
    """

    requirements: Requirements
    paths: tuple[str, ...] = ()
    methods: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    def applies(self, method: str, address: Address | None) -> bool:
        """Return whether the rule is for this method and address. An unknown address is in no network."""
        if self.methods and ("GET" if method == "HEAD" else method) not in self.methods:
            return False
        return not self.networks or (address is not None and any(address in each for each in self.networks))

    def matches(self, path: str) -> bool:
        """Return whether the rule is for this decoded path."""
        return not self.paths or any(_is_under(path, each) for each in self.paths)

    def matches_folded(self, folded: str) -> bool:
        """Return whether the rule is for this path, as returned by ``folded_path``."""
        return not self.paths or any(_is_under(folded, _folded_pattern(each)) for each in self.paths)


@dataclass(frozen=True, slots=True)
class ProtectedApp:
    """An app behind a proxy.

    :ivar id: as in the file: ``wiki`` for [apps.wiki]
    :ivar origin: where people open it, ``https://wiki.example.com``
    :ivar host: host of the origin, with its port unless that is the default
    :ivar rules: in order; the last one matches everything
    :ivar user_is: value of ``Remote-User``: ``username``, ``email`` or ``handle``
    :ivar headers: additional headers of an allowed request, by name: ``user``, ``email``, ``name`` or ``groups``
    """

    id: str
    name: str
    origin: str
    host: str
    rules: tuple[Rule, ...]
    user_is: str = "username"
    headers: dict[str, str] = field(default_factory=dict)
    is_listed: bool = True

    def requirements_for(self, method: str, path: str, address: Address | None = None) -> Requirements:
        """Return the requirements for a request.

        :param path: as the proxy received it, encoded, without the query
        """
        applicable = [rule for rule in self.rules if rule.applies(method, address)]
        plain = decoded_path(path)
        if plain is None:
            return strictest([rule.requirements for rule in _reachable_rules(applicable)])
        found = next(rule for rule in applicable if rule.matches(plain))
        folded = next(rule for rule in applicable if rule.matches_folded(folded_path(plain)))
        return found.requirements if folded is found else strictest([found.requirements, folded.requirements])


def decoded_path(path: str) -> str | None:
    """Return a path decoded once; None if it is ambiguous."""
    if len(path) > MAX_PATH_LENGTH or not path.startswith("/"):
        return None
    if _AMBIGUOUS.search(path) or _DOT_SEGMENTS.search(path) or _ESCAPE.search(path):
        return None
    try:
        return unquote_to_bytes(path.encode("latin-1")).decode("utf-8")
    except UnicodeError:
        return None


def folded_path(path: str) -> str:
    """Return a path as read by an app that ignores case, Unicode forms and trailing characters.

    Many apps serve ``/metrics/`` for ``/metrics``.
    """
    return _TRAILING.sub("", unicodedata.normalize("NFKC", path).casefold()).rstrip("/") or "/"


_folded_pattern = lru_cache(maxsize=1024)(folded_path)


def strictest(all_requirements: Sequence[Requirements]) -> Requirements:
    """Return requirements that satisfy all of these at once."""
    ages = [requirements.max_age for requirements in all_requirements if requirements.max_age is not None]
    groups = dict.fromkeys(each for requirements in all_requirements for each in requirements.groups)
    return Requirements(
        level=max((requirements.level for requirements in all_requirements), key=LEVELS.index),
        groups=tuple(groups),
        max_age=min(ages) if ages else None,
        cross_site=all(requirements.cross_site for requirements in all_requirements),
        decided_by=" + ".join(dict.fromkeys(requirements.decided_by for requirements in all_requirements)),
    )


def _is_under(path: str, pattern: str) -> bool:
    if pattern.endswith("/*"):
        return path.startswith(pattern[:-1]) or path == pattern[:-2]
    return path == pattern


def _reachable_rules(rules: Sequence[Rule]) -> list[Rule]:
    """Return the rules that can decide at all: those after a rule for all paths never do."""
    end = next(at for at, rule in enumerate(rules, 1) if not rule.paths or "/*" in rule.paths)
    return list(rules[:end])
