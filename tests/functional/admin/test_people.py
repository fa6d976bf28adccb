"""/admin/people: find accounts by identity or name, state and group."""

from __future__ import annotations

import re

import pytest

from tests.groups import put_in
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases


def found(console, query: str = "") -> list[str]:
    """Return the addresses that a search shows, in its order."""
    answer = console.get(f"/admin/people{query}")
    assert answer.status == 200, answer
    if console.language == "json":
        return [person["email"] for person in answer.json["people"]]
    return re.findall(r'<a class="rows-link" href="/admin/people/[0-9a-f]{32}"><bdi>([^<]+)</bdi>', answer.text)


@pytest.fixture
def crowd(people):
    """Some accounts, the newest last."""
    people.open(email="ada@example.com", phone="+16502530000")
    people.open(email="adam@example.com", username="adele")
    people.open(email="bob@example.com")


def test_accounts_are_listed_newest_first(console, crowd):
    assert found(console) == ["bob@example.com", "adam@example.com", "ada@example.com", "grace@example.com"]


@pytest.mark.parametrize(
    ("text", "whom"),
    [
        ("ada", ["ada@example.com", "adam@example.com"]),
        ("ADA@", ["ada@example.com"]),
        ("%2B1650", ["ada@example.com"]),
        ("adele", ["adam@example.com"]),
        ("ade", ["adam@example.com"]),
        ("a_a", []),
        ("%25", []),
        ("nobody", []),
    ],
)
def test_account_is_found_by_identity_prefix(console, crowd, text, whom):
    assert found(console, f"?q={text}") == whom


def test_display_name_is_shown_beside_the_identity(console, people):
    ada = people.open(email="ada@example.com")
    sign_in(console.elsewhere(), ada).post("/identities/name", name="Ada Lovelace")
    listed = console.get("/admin/people?q=ada")
    if console.language == "json":
        assert [person["name"] for person in listed.json["people"]] == ["Ada Lovelace"]
        path = f"/admin/people/{listed.json['people'][0]['handle']}"
    else:
        assert (listed.text.count("Ada Lovelace"), ">AL</span>" in listed.text) == (1, True)
        path = next(link for link in listed.page.links if re.match(r"/admin/people/[0-9a-f]{32}", link))
    assert found(console, "?q=ada") == ["ada@example.com"]
    assert "Ada Lovelace" in console.get(path).text


def test_account_is_found_by_its_handle(json_wire, grace, people):
    console = sign_in(json_wire, grace)
    [handle] = [person["handle"] for person in console.get("/admin/people?q=grace").json["people"]]
    assert found(console, f"?q={handle.upper()}") == ["grace@example.com"]
    assert found(console, f"?q={'0' * 32}") == []


def test_account_list_is_filtered_by_state_and_group(console, crowd, app, people):
    put_in(app, people.open(email="carol@example.com"), "staff")
    people.open(email="dan@example.com", disabled=True)
    people.open(email="eve@example.com", confirmed=False)
    assert found(console, "?group=staff") == ["carol@example.com"]
    assert found(console, "?state=disabled") == ["dan@example.com"]
    assert found(console, "?state=unconfirmed") == ["eve@example.com"]
    assert found(console, "?state=administrator") == ["grace@example.com"]
    assert found(console, "?q=dan&state=disabled") == ["dan@example.com"]
    assert found(console, "?q=dan&state=unconfirmed") == []


def test_account_pagination_returns_every_account_once(json_wire, grace, people, monkeypatch):
    monkeypatch.setattr("app.admin.people.PAGE", 2)
    console = sign_in(json_wire, grace)
    for number in range(4):
        people.open(email=f"a{number}@example.com", username=f"aa{number}")
    for query in ("?", "?q=a&"):
        seen, after = [], ""
        for _ in range(9):
            answer = console.get(f"/admin/people{query}after={after}").json
            seen += [person["email"] for person in answer["people"]]
            after = answer["after"] or ""
            if not after:
                break
        others = {"grace@example.com"} if query == "?" else set()
        assert set(seen) == {f"a{number}@example.com" for number in range(4)} | others


def test_account_page_cursor_may_exceed_every_row(json_wire, grace):
    answer = sign_in(json_wire, grace).get(f"/admin/people?after={'9' * 18}")
    assert [person["email"] for person in answer.json["people"]] == ["grace@example.com"]


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("?state=x", 400, "api_error"),
        ("?group=x", 400, "unknown_group"),
        ("?after=x", 400, "api_error"),
        ("?after=-1", 400, "api_error"),
        ("?after=99999999999999999999", 400, "api_error"),
        ("?q=a&after=x:y", 400, "api_error"),
        ("?q=a%00", 400, "api_error"),
        ("?after=%00", 400, "api_error"),
    ],
)
def test_invalid_account_filter_is_rejected(json_wire, grace, query, status, code):
    answer = sign_in(json_wire, grace).get(f"/admin/people{query}")
    assert (answer.status, answer.codes) == (status, [code])


def test_overlong_and_malformed_searches_find_nothing(console):
    for text in ("x" * 5000, "%F0%9F%94%91", "'%20OR%201=1", "%5C", "*"):
        assert found(console, f"?q={text}") == []


def test_account_list_statement_count_is_independent_of_the_number_of_accounts(json_wire, grace, people, statements):
    console = sign_in(json_wire, grace)
    console.get("/admin/people")
    counts = []
    for _ in range(2):
        for number in range(3):
            people.open(email=f"x{len(counts)}{number}@example.com")
        with statements() as ran:
            console.get("/admin/people")
        counts.append(len(ran))
    assert counts[0] == counts[1] <= 9, ran
