"""Every setting is documented with its default."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.display import as_text
from config.problems import variable
from config.settings import Settings
from config.subjects import SUBJECTS

pytestmark = pytest.mark.one_database

ROOT = Path(__file__).resolve().parents[3]
ROW = re.compile(r"^\| `(LATCHKEY_[A-Z_]+)` \| (.*?) \| (.*?) \| (.*) \|$", re.MULTILINE)
ROWS = {
    name: (default, unit, text) for name, default, unit, text in ROW.findall((ROOT / "docs/settings.md").read_text())
}


def test_settings_page_documents_exactly_the_settings():
    assert sorted(ROWS) == sorted(map(variable, Settings.model_fields))


def test_setting_subjects_match_the_sections_of_the_settings_page():
    text = (ROOT / "docs/settings.md").read_text()
    parts = [part.partition("\n") for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]]
    sections = {title: [row[0] for row in ROW.findall(rest)] for title, _, rest in parts}
    assert {title: list(map(variable, names)) for title, names in SUBJECTS.items()} == {
        title: names for title, names in sections.items() if names
    }


def test_settings_page_states_default_unit_and_description():
    for field, known in Settings.model_fields.items():
        default, unit, text = ROWS[variable(field)]
        assert unit, field
        assert text.startswith(known.description), field
        if known.default_factory is None and known.annotation is not SecretStr:
            assert default.strip("`").replace("none", "") == as_text(known.default), field


def test_example_env_file_names_only_existing_settings():
    names = re.findall(r"^#? ?(LATCHKEY_[A-Z_]+?)(?:_FILE)?=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert names
    assert set(names) <= set(map(variable, Settings.model_fields))
