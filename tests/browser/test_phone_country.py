"""Choosing the country of a phone number."""

from __future__ import annotations

import re

import pytest


@pytest.fixture
def adding(sign_in, people, email):
    """The page on which Ada adds a phone number."""
    page = sign_in(people.open(email=email))
    page.goto("/us-setup")
    return page


def test_national_number_is_accepted_and_shown_formatted(adding, phone):
    home = phone.removeprefix("+1")
    adding.get_by_label("Country").select_option("United States (+1)")
    adding.get_by_label("Phone number").fill(home)
    adding.get_by_role("button", name=re.compile("^Text me a code")).click()
    adding.get_by_role("heading", name="Confirm your phone number").wait_for()
    assert adding.get_by_text(f"+1 {home[:3]}-{home[3:6]}-{home[6:]}").is_visible()


def test_international_number_overrides_the_selected_country(adding, phone):
    adding.get_by_label("Country").select_option("DE")
    adding.get_by_label("Phone number").fill(phone)
    adding.get_by_role("button", name=re.compile("^Text me a code")).click()
    assert adding.get_by_role("heading", name="Confirm your phone number").is_visible()


def test_country_selection_works_without_javascript(sign_in, people, email, new_browser):
    page = sign_in(people.open(email=email), new_browser(java_script_enabled=False, locale="de-AT"))
    page.goto("/us-setup")
    country = page.locator("select[name=phone_country]")
    assert country.input_value() == "AT"
    country.select_option("DE")
    page.locator("[name=phone]").fill("01512 3456789")
    page.locator("button[value=sms]").click()
    assert page.get_by_text("+49 1512 3456789").is_visible()
