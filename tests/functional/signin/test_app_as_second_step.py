"""An app set up only as a second step can't sign in alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.enrollments.models import Enrollment
from tests.second import begin_setup, first_step, prove_setup
from tests.signed_in import sign_in as give_session


def alone(wire, person) -> bool:
    """Return whether the person's app can sign in alone."""
    other = wire.elsewhere()
    other.post("/us-signin", identity=person.email, passcode=person.app_code())
    return other.signed_in_as() == person.email


def roles(rows) -> list[tuple[bool, bool | None]]:
    """Return of each app, the oldest first, whether it is asked for as a second step, and whether it signs in."""
    apps = sorted(rows(Enrollment, method="authenticator"), key=lambda row: row.created_at)
    return [(row.is_second, row.signs_in) for row in apps]


@pytest.fixture
def switched_on(json_wire, ada):
    """Ada's browser, after she has set an app up as her second step, and Ada with that."""
    here = give_session(json_wire, ada)
    begun = begin_setup(here, setup="authenticator")
    hers = replace(ada, authenticator=begun.json["tf_authr_b32key"])
    assert prove_setup(here, begun, hers.app_code()).ok
    return here, hers


def test_totp_app_enrolled_as_second_factor_cannot_sign_in_alone(switched_on, clock, code_for):
    here, ada = switched_on
    clock.shift(60)
    assert not alone(here, ada)
    other = here.elsewhere()
    first_step(other, ada, code_for)
    assert other.post("/tf-validate", code=ada.app_code()).ok
    assert other.signed_in_as() == ada.email
    assert "authenticator" not in here.get("/us-setup").json["active_methods"]


def test_additional_second_factor_totp_app_cannot_sign_in_alone(switched_on, clock):
    here, ada = switched_on
    clock.shift(60)
    begun = begin_setup(here, setup="authenticator")
    ada = replace(ada, authenticator=begun.json["tf_authr_b32key"])
    assert prove_setup(here, begun, ada.app_code()).ok
    clock.shift(60)
    assert not alone(here, ada)


def test_second_factor_totp_app_cannot_sign_in_after_two_step_is_disabled(switched_on, clock):
    here, ada = switched_on
    clock.shift(60)
    assert here.post("/tf-setup", setup="disable").ok
    assert not alone(here, ada)


def test_totp_app_added_as_sign_in_method_also_serves_as_second_factor(switched_on, clock, rows):
    here, ada = switched_on
    first = ada
    clock.shift(60)
    begun = here.post("/us-setup", chosen_method="authenticator")
    ada = replace(ada, authenticator=begun.json["authr_b32key"])
    assert here.post(f"/us-setup/{begun.json['state']}", passcode=ada.app_code()).ok
    assert roles(rows) == [(True, False), (True, True)]
    assert [app["usage"] for app in here.get("/us-setup").json["authenticators"]] == ["secondary", "first"]
    clock.shift(60)
    assert alone(here, ada)
    assert not alone(here, first)


def test_second_factor_totp_app_can_reauthenticate_a_session(switched_on, clock):
    here, ada = switched_on
    clock.shift(301)
    assert here.post("/us-verify", passcode=ada.app_code()).ok


def test_totp_sign_in_is_suspended_while_the_app_is_the_second_factor(json_wire, people, clock):
    eve = people.open(email="eve@example.com", methods=["email", "authenticator"])
    here = give_session(json_wire, eve, via="authenticator")
    assert alone(here, eve)
    clock.shift(60)
    assert prove_setup(here, begin_setup(here, setup="authenticator", existing=True), eve.app_code()).ok
    clock.shift(60)
    assert not alone(here, eve)
    assert here.post("/us-verify", passcode=eve.app_code()).ok
    assert here.post("/tf-setup", setup="disable").ok
    clock.shift(60)
    assert alone(here, eve)


@pytest.mark.parametrize(("methods", "signs_in"), [(["authenticator"], True), (["email", "authenticator"], False)])
def test_legacy_second_factor_app_signs_in_only_if_it_is_the_sole_method(json_wire, people, methods, signs_in):
    eve = people.open(email="eve@example.com", methods=methods, second="authenticator")
    assert alone(json_wire, eve) is signs_in


def test_sole_sign_in_method_cannot_become_the_second_factor(json_wire, people, clock):
    eve = people.open(email="eve@example.com", methods=["authenticator"])
    here = give_session(json_wire, eve, via="authenticator")
    answer = here.post("/tf-setup", setup="authenticator", existing=True)
    assert (answer.status, answer.codes) == (400, ["two_factor_only_way"])


def test_last_sign_in_method_beside_a_second_factor_cannot_be_removed(switched_on):
    here, _ = switched_on
    assert here.post("/us-setup", delete_method=["email"]).codes == ["last_method"]


@pytest.mark.settings(second_factor="required")
def test_totp_app_enrolled_during_sign_in_cannot_sign_in_alone(json_wire, ada, code_for, clock):
    json_wire.post("/us-signin", identity=ada.email, passcode=code_for(ada.email, by=json_wire))
    begun = json_wire.post("/tf-setup", setup="authenticator").json
    ada = replace(ada, authenticator=begun["tf_authr_b32key"])
    assert json_wire.post("/tf-validate", code=ada.app_code()).ok
    clock.shift(60)
    assert not alone(json_wire, ada)
