"""Catalogs: every text is translated, with the same placeholders and tags, and compiled."""

import importlib.util
from pathlib import Path

import pytest
from babel.messages import Catalog

from config.languages import LANGUAGES

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("messages", ROOT / ".ci" / "messages.py")
messages = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(messages)

pytestmark = pytest.mark.one_database


def test_every_language_has_a_catalog():
    assert {tag.replace("-", "_") for tag in LANGUAGES} == {"en", *messages.LANGUAGES}
    assert {path.name for path in messages.FOLDER.iterdir() if path.is_dir()} == set(messages.LANGUAGES)


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_translations_keep_the_placeholders_and_tags(language):
    catalog = messages.read(messages.FOLDER / language / "LC_MESSAGES" / "messages.po", language)
    assert list(messages.problems_of(catalog)) == []


@pytest.fixture(scope="module")
def texts():
    """Every text that is marked in app/."""
    return messages.extract()


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_every_text_is_translated(language, texts):
    catalog = messages.updated(messages.FOLDER / language / "LC_MESSAGES" / "messages.po", language, texts)
    missing = [text.id for text in catalog if text.id and (text.fuzzy or not messages.is_translated(text))]
    assert missing == [], "translate these, then make messages"


@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_compiled_catalog_is_up_to_date(language):
    path = messages.FOLDER / language / "LC_MESSAGES" / "messages.po"
    assert path.with_suffix(".mo").read_bytes() == messages.compiled(messages.read(path, language)), "make messages"


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("Sent to {email}.", "Gesendet an {mail}."),
        ("Sent to {email}.", "Gesendet."),
        ("Gone.", "{code} ist weg."),
        ("<b>Now</b>", "<i>Jetzt</i>"),
        ("<b>Now</b>", "Jetzt"),
    ],
)
def test_translation_with_other_placeholders_or_tags_is_detected(text, translation):
    catalog = Catalog(locale="de")
    catalog.add(text, translation)
    assert len(list(messages.problems_of(catalog))) == 1


def test_plural_may_omit_the_count_but_needs_all_forms():
    catalog = Catalog(locale="pl")
    catalog.add(("{count} code", "{count} codes"), ("jeden kod", "{count} kody", "{count} kodów"))
    assert list(messages.problems_of(catalog)) == []
    catalog.add(("{count} day", "{count} days"), ("{count} dzień", "{count} dni"))
    assert len(list(messages.problems_of(catalog))) == 1
