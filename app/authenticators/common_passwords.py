"""Detect easily guessed passwords: common ones, repetitions, keyboard runs, and names related to the account.

NIST SP 800-63B-4, section 3.1.1.2 and ASVS 6.2.4, 6.2.11. A password is split into parts that attackers have lists of.
Each such part scores one point, and so does every other character. The work is bounded by the length of the password.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

LIST = Path(__file__).with_name("common_passwords.txt")
MIN_SCORE = 5
"""Minimum score. A common password followed by a number and a symbol scores less."""

MIN_WORD_LENGTH, MAX_WORD_LENGTH = 4, 20
"""Length of the common passwords that are looked up within a longer one."""

RUN = 3
"""Minimum length of a run of adjacent characters: ``abc``, ``321``, ``qwe``. For one repeated character, it's two."""

_ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "1234567890-=",
    "!@#$%^&*()_+",
    '!"§$%&/()=?',
    "qwertyuiop",
    "qwertzuiop",
    "azertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "yxcvbnm",
    *("1qaz", "2wsx", "3edc", "4rfv", "5tgb", "6yhn", "7ujm", "8ik", "9ol"),
)
_NEXT = frozenset(pair for row in _ROWS for pair in (*pairwise(row), *pairwise(row[::-1])))
_LOOK_ALIKES = str.maketrans("@4301!$57", "aaeoiisst")
_YEAR = re.compile(r"(?:1[89]|20)\d\d")
_WORDS = re.compile(r"[^\W_]+")


def is_common(text: str, names: Collection[str] = ()) -> bool:
    """Return whether a password is easily guessed.

    :param text: the password, within the maximum length
    :param names: names of the service and the user: addresses, usernames
    """
    plain = text.casefold()
    parts = {word for name in names for word in _WORDS.findall(name.casefold()) if len(word) >= RUN}
    parts |= {
        part for name in names for part in (name.casefold(), name.casefold().partition("@")[0]) if len(part) >= RUN
    }
    return min(_worth(plain, parts), _worth(_unit(plain), parts)) < MIN_SCORE


def _unit(text: str) -> str:
    """Return the unit that ``text`` repeats, or ``text`` itself."""
    for size in range(1, len(text) // 2 + 1):
        if all(text[place] == text[place % size] for place in range(size, len(text))):
            return text[:size]
    return text


def _worth(text: str, names: Collection[str]) -> int:
    readable = text.translate(_LOOK_ALIKES)
    worth = place = 0
    was_run = False
    while place < len(text):
        run = _run_at(text, place)
        length = max(_word_at(text, place, names), _word_at(readable, place, names), run)
        is_run = 0 < run == length
        worth += not (is_run and was_run)  # consecutive runs are one keyboard pattern
        was_run = is_run
        place += length or 1
    return worth


def _word_at(text: str, place: int, names: Collection[str]) -> int:
    """Return the length of the common password, name or year that begins at ``place``; 0 for none."""
    named = max((len(name) for name in names if text.startswith(name, place)), default=0)
    known = common()
    for length in range(min(MAX_WORD_LENGTH, len(text) - place), max(MIN_WORD_LENGTH, named + 1) - 1, -1):
        if text[place : place + length] in known:
            return length
    return named or (4 if _YEAR.match(text, place) else 0)


def _run_at(text: str, place: int) -> int:
    """Return the length of the run that begins at ``place``, of one character or of adjacent ones; 0 for none."""
    end = place + 1
    while end < len(text) and text[end] == text[place]:
        end += 1
    along = place + 1
    while along < len(text) and (text[along - 1], text[along]) in _NEXT:
        along += 1
    if along - place >= RUN and along > end:
        return along - place
    return end - place if end - place > 1 else 0


@lru_cache(maxsize=1)
def common() -> frozenset[str]:
    """Return the common passwords of four or more characters. The file names its source and license."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))
