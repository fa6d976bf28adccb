"""The country of a phone number: selected, guessed from the browser, and ignored for a number with +."""

from __future__ import annotations

import re

import pytest

from app.users import Identity
from tests.functional.setup.conftest import PHONE, state_in
from tests.signed_in import sign_in
from tests.sinks import code_in

GERMAN = "+4915123456789"
GROUPED = "+49 1512 3456789"


def chosen(answer) -> list[str]:
    """Return the countries that the page has selected, one for each list."""
    return re.findall(r'<option value="([A-Z]{2})" selected>', answer.text)


@pytest.mark.parametrize(
    ("typed", "country", "number"),
    [
        ("01512 3456789", "DE", GERMAN),
        ("01512 3456789", "de", GERMAN),
        ("+49 1512 3456789", "US", GERMAN),  # a number with + includes its country
        ("(650) 253-0000", "US", PHONE),
        ("(650) 253-0000", "", PHONE),  # the operator's country
        ("(650) 253-0000", None, PHONE),
    ],
)
def test_phone_number_is_parsed_for_the_chosen_country(hers, text_to, rows, typed, country, number):
    more = {} if country is None else {"phone_country": country}
    begun = hers.post("/us-setup", chosen_method="sms", phone=typed, **more)
    assert hers.post(f"/us-setup/{state_in(begun)}", passcode=code_in(text_to(number))).ok
    assert [row.value for row in rows(Identity, kind="phone")] == [number]


def test_number_invalid_in_the_chosen_country_is_rejected(hers, deliver):
    answer = hers.post("/us-setup", chosen_method="sms", phone="(650) 253-0000", phone_country="FR")
    assert (answer.status, answer.codes, list(answer.errors)) == (400, ["phone_invalid"], ["phone"])
    assert deliver() == []


@pytest.mark.parametrize("country", ["XX", "Germany", "001", "D", "+49"])
@pytest.mark.parametrize("path", ["/us-setup", "/tf-setup"])
def test_unknown_country_is_rejected(hers, deliver, path, country):
    named = {"chosen_method": "sms"} if path == "/us-setup" else {"setup": "sms"}
    answer = hers.post(path, phone=GERMAN, phone_country=country, **named)
    assert (answer.status, answer.codes, list(answer.errors)) == (400, ["phone_country_invalid"], ["phone_country"])
    assert deliver() == []


@pytest.mark.one_database
def test_country_that_is_not_a_string_is_rejected(people, json_wire):
    sign_in(json_wire, people.open(email="ada@example.com"))
    answer = json_wire.post("/us-setup", chosen_method="sms", phone=GERMAN, phone_country=49)
    assert (answer.status, answer.codes) == (400, ["api_error"])


def test_second_step_setup_accepts_the_country(hers, text_to):
    assert hers.post("/tf-setup", setup="sms", phone="01512 3456789", phone_country="DE").status in (200, 303)
    assert code_in(text_to(GERMAN))


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("accepted", "country"),
    [
        ("de-AT, en;q=0.5", "AT"),
        ("en;q=0.4, pt-BR", "BR"),
        ("zh-Hant-TW", "TW"),
        ("fr, fr-CA;q=0.8, en-US;q=0.5", "CA"),
        ("fr, en-GB;q=0.5", "US"),
        ("de", "US"),
        ("", "US"),
        ("en-XX", "US"),
    ],
)
def test_country_defaults_to_the_browsers_region_or_the_configured_one(ada, browser_wire, accepted, country):
    answer = sign_in(browser_wire, ada).get("/us-setup", headers={"Accept-Language": accepted})
    assert chosen(answer) == [country]


@pytest.mark.one_database
def test_chosen_country_is_kept_after_an_error(ada, browser_wire):
    answer = sign_in(browser_wire, ada).post("/us-setup", chosen_method="sms", phone="12", phone_country="DE")
    assert chosen(answer) == ["DE"]
    assert answer.page.value("phone") == "12"


@pytest.mark.one_database
def test_countries_are_translated_and_sorted_for_the_language(ada, browser_wire):
    sign_in(browser_wire, ada).post("/language", language="de")
    answer = browser_wire.get("/us-setup")
    names = re.findall(r'<option value="[A-Z]{2}"(?: selected)?>([^<]+)</option>', answer.text)
    assert "Deutschland (+49)" in names
    assert len(names) > 200
    assert names.index("Ägypten (+20)") < names.index("Albanien (+355)") < names.index("Österreich (+43)")
    assert names.index("Österreich (+43)") < names.index("Polen (+48)")


@pytest.mark.one_database
@pytest.mark.settings(sms_countries=["DE", "GB"])
def test_only_configured_sms_countries_are_offered(ada, browser_wire):
    answer = sign_in(browser_wire, ada).get("/us-setup")
    assert re.findall(r'<option value="([A-Z]{2})"', answer.text) == ["DE", "GB"]


@pytest.mark.one_database
@pytest.mark.settings(sms_countries=["DE"])
def test_single_country_is_a_hidden_field(ada, browser_wire, text_to):
    page = sign_in(browser_wire, ada).get("/us-setup").page
    assert page.attributes("phone_country") == {"type": "hidden", "name": "phone_country", "value": "DE"}
    assert browser_wire.post("/us-setup", chosen_method="sms", phone="01512 3456789", phone_country="DE").status == 303
    assert code_in(text_to(GERMAN))


def test_phone_numbers_are_grouped_in_html_but_not_in_json(people, wire):
    sign_in(wire, people.open(email="ada@example.com", phone=GERMAN, methods=["sms", "email"]))
    for path in ("/us-setup", "/identities", "/"):
        answer = wire.get(path)
        assert (GROUPED in answer.text) == (wire.language == "form"), path
        assert (GERMAN in answer.text) == (wire.language == "json" or path == "/identities"), path


@pytest.mark.one_database
def test_grouped_number_is_isolated_in_right_to_left_text(people, browser_wire):
    sign_in(browser_wire, people.open(email="ada@example.com", phone=GERMAN, methods=["sms", "email"]))
    browser_wire.post("/language", language="ar")
    answer = browser_wire.get("/identities")
    assert f"\u2068{GROUPED}\u2069" in answer.text


@pytest.mark.one_database
def test_code_page_groups_the_phone_number(ada, browser_wire):
    begun = sign_in(browser_wire, ada).post("/us-setup", chosen_method="sms", phone="01512 3456789", phone_country="DE")
    page = browser_wire.follow(begun)
    assert GROUPED in page.text
    assert page.page.value("phone") == GERMAN, "what asks for the code again"
