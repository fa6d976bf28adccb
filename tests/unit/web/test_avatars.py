"""Avatars: which letters represent a person, and their contrast."""

import re

import pytest

from app.web.pages import COLORS, avatar_of, initials_of
from config import colors
from tests.databases import ROOT

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        ("Ada Lovelace", "AL"), ("ada", "A"), ("Łucja Żak", "ŁŻ"), ("Άννα Ωμέγα", "ΆΩ"), ("Ada 愛子", "A"),
        ("佐藤 愛子", "佐"), ("أحمد علي", "أ"), ("ß-Weber Öl", "SÖ"), ("(Ada) - Lovelace", "AL"), ("नमिता राव", "न"),
        ("3 Musketeers", "3"), ("ნინო ბერიძე", "ნბ"),
    ],
)  # fmt: skip
def test_initials_follow_the_script_of_the_name(name, letters):
    assert initials_of(name) == letters


@pytest.mark.parametrize(
    ("name", "label", "letters"),
    [
        (None, "ada@example.com", "A"), (None, "+16502530000", ""), (None, "", ""), (None, None, ""),
        (None, "7of9@example.com", "7"), (None, "_.-@例え.jp", "例"), ("Grace Hopper", "ada@example.com", "GH"),
    ],
)  # fmt: skip
def test_avatar_without_a_name_uses_the_first_letter_of_the_address(name, label, letters):
    assert avatar_of(name, label, "x").letters == letters


def test_avatar_color_is_stable_per_account_and_all_colors_are_used():
    found = {f"{number:032x}": avatar_of("Ada", "", f"{number:032x}").color for number in range(200)}
    assert set(found.values()) == set(range(1, COLORS + 1))
    assert all(avatar_of(None, "else@example.com", handle).color == color for handle, color in found.items())


def test_avatar_colors_have_enough_contrast():
    css = (ROOT / "app/static/app.css").read_text()
    assert re.search(r"\.avatar \{[^}]*background: var\(--person\);\s*color: #fff;", css)
    shades = dict(re.findall(r"\.avatar-(\d) \{ --person: (#[0-9a-f]{6}); \}", css))
    assert sorted(map(int, shades)) == list(range(1, COLORS + 1))
    for shade in shades.values():
        assert colors.contrast("#ffffff", shade) >= 4.5


def test_avatar_clips_a_letter_with_many_combining_marks():
    assert len(initials_of("X" + "\u0903" * 40)) == 41  # so the page has to clip it
    assert ".app-letter, .avatar { overflow: hidden; }" in (ROOT / "app/static/app.css").read_text()
