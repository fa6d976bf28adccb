"""Sentences of notices: stored as English text and values, translated when the notice is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app import i18n


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence whose values may be times or sentences themselves; ``many`` is its plural, or ""."""

    text: str
    many: str
    facts: Mapping[str, Any]

    def translated(self) -> str:
        """Return it in the reader's language."""
        facts = {name: _shown(value) for name, value in self.facts.items()}
        return i18n.ngettext(self.text, self.many, **facts) if self.many else i18n.gettext(self.text, **facts)

    def stored(self) -> dict[str, Any]:
        """Return it as JSON that ``read`` reads."""
        facts = {name: _stored(value) for name, value in self.facts.items()}
        return {"text": self.text, "many": self.many, "facts": facts}


def sentence(text: str, **facts: Any) -> Sentence:
    """Return a sentence with its values."""
    return Sentence(text, "", facts)


def plural_sentence(one: str, many: str, count: int, **facts: Any) -> Sentence:
    """Return a sentence that depends on a number."""
    return Sentence(one, many, {"count": count} | facts)


def read(stored: Mapping[str, Any]) -> Sentence:
    """Return the sentence that was stored."""
    return Sentence(stored["text"], stored["many"], {name: _read(value) for name, value in stored["facts"].items()})


def joined(sentences: Iterable[Sentence]) -> str:
    """Return sentences as one text in the reader's language."""
    return " ".join(each.translated() for each in sentences)


def _shown(value: Any) -> Any:
    if isinstance(value, Sentence):
        return value.translated()
    return i18n.datetime_text(value) if isinstance(value, datetime) else value


def _stored(value: Any) -> Any:
    if isinstance(value, Sentence):
        return value.stored()
    return {"at": value.isoformat()} if isinstance(value, datetime) else value


def _read(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return datetime.fromisoformat(value["at"]) if "at" in value else read(value)
