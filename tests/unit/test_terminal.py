"""Column widths of texts on a terminal, tables of them, and line breaks."""

import io

import pytest

from app.terminal import Table, counted, display_width, fields, padded, status, wrapped


@pytest.mark.parametrize(
    ("text", "count"), [("", 0), ("ID", 2), ("状態", 4), ("ﾊﾝｶｸ", 4), ("e\u0301", 1), ("مُرسَل", 4), ("a\u200db", 2)]
)
def test_column_count_respects_wide_and_combining_characters(text, count):
    assert display_width(text) == count


def test_text_is_padded_to_columns():
    assert (padded("状態", 6), padded("状態", -6), padded("状態", 3)) == ("状態  ", "  状態", "状態")


def test_table_columns_are_at_least_as_wide_as_their_headings():
    table = Table(("ID", "次の試行", "理由"), (4, -5, 0))
    assert table.head() == "ID    次の試行  理由"
    assert table.line("x", 7, "timed out") == "x            7  timed out"
    assert table.line("x", 7, "") == "x            7"


def test_field_values_are_aligned():
    assert list(fields([("ID", 7), ("クライアント", "x")])) == ["ID            7", "クライアント  x"]
    assert list(fields([("ID", 7)], width=4)) == ["ID    7"]
    assert list(fields([])) == []


@pytest.mark.parametrize(
    ("text", "room", "lines"),
    [
        ("one two three", 7, ["one two", "three"]),
        ("unbreakable word", 4, ["unbreakable", "word"]),
        ("グループを作成します。", 12, ["グループを作", "成します。"]),
        ("鍵を作成します。", 14, ["鍵を作成しま", "す。"]),
        ("`flask users` を使います", 14, ["`flask users`", "を使います"]),
        ("أضف حسابًا", 5, ["أضف", "حسابًا"]),
        ("", 10, []),
    ],
)
def test_lines_wrap_by_the_rules_of_the_language(text, room, lines):
    assert list(wrapped(text, room)) == lines


class Terminal(io.StringIO):
    """Standard error that is a terminal, or is not."""

    def __init__(self, *, is_one: bool) -> None:
        super().__init__()
        self.is_one = is_one

    def isatty(self) -> bool:
        return self.is_one


@pytest.mark.parametrize("is_one", [True, False])
def test_progress_is_shown_only_on_a_terminal(monkeypatch, is_one):
    shown = Terminal(is_one=is_one)
    monkeypatch.setattr("sys.stderr", shown)
    with status("Re-encrypting") as say:
        say("Re-encrypting: 5 rows")
    with counted("Importing", None) as update:
        update(1, "3 opened")
    said = [each in shown.getvalue() for each in ("Re-encrypting", "5 rows", "Importing", "3 opened")]
    assert said == [is_one] * 4
