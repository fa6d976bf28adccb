"""view_commit: a response below 500 commits, an error rolls back, and nothing is done twice.

Temporary routes on a separate application show what every handler gets.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from flask import Flask, Response, after_this_request, g, redirect

from app.extensions import db
from app.web.commit import view_commit

TRIAL = "trial.done"


@pytest.fixture
def trial(make_app, clock) -> Flask:
    """An application with routes that write an event and then do something else."""
    app = make_app(brand_name="Trial")
    if "trial" not in app.extensions:
        app.extensions["trial"] = []
        app._got_first_request = False  # these tests share one application; routes are added before its first request
        add_routes(app)
    app.extensions["trial"].clear()
    return app


def add_routes(app: Flask) -> None:
    """Add /trial/<what>, which records an event and then fails as ``what`` says."""
    from app.audit import record
    from app.errors import Rejected
    from app.web.commit import view_commit
    from app.web.errors import error_answer
    from app.web.messages import message

    def ends(what: str):
        if what == "exception":
            raise ValueError("a fault of ours")
        if what == "refused":
            raise Rejected("api_error")
        if what == "unavailable":
            raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))
        return error_answer(int(what), message("bad_request")) if what.isdigit() else redirect("/")

    @app.route("/trial/<what>", methods=["GET", "POST"])
    def trial_view(what: str):
        after_this_request(view_commit)
        after_this_request(lambda response: (app.extensions["trial"].append(response.status_code), response)[1])
        record(TRIAL)
        g.session_cookie = ("token", None)
        if what == "forged":
            g.csrf_fault = "csrf_token_missing"
            return error_answer(400, message("csrf_token_missing"))
        return ends(what)

    @app.post("/trial-without")
    def trial_without():
        record(TRIAL)
        return redirect("/")


@pytest.fixture
def stored(trial, database):
    """Returns how many events the throw-away routes have stored."""
    return lambda: database.query(f"SELECT count(*) FROM event WHERE name = '{TRIAL}'")[0][0]


def post(app: Flask, what: str, **headers: str):
    return app.test_client().post(f"/trial/{what}", headers=headers)


@pytest.mark.both_databases
def test_responses_below_500_are_committed(trial, stored):
    for number, what in enumerate(("done", "400", "404", "429", "refused"), start=1):
        assert post(trial, what).status_code < 500
        assert stored() == number, what


@pytest.mark.both_databases
def test_server_error_rolls_back_and_sets_no_cookie(trial, stored):
    for what in ("exception", "500", "503"):
        answer = post(trial, what)
        assert answer.status_code >= 500
        assert "latchkey_session" not in answer.headers.get("Set-Cookie", "")
        assert stored() == 0, what


@pytest.mark.both_databases
def test_csrf_rejected_request_is_rolled_back(trial, stored):
    assert post(trial, "forged").status_code == 400
    assert stored() == 0
    assert post(trial, "400").status_code == 400
    assert stored() == 1


@pytest.mark.both_databases
def test_lost_database_connection_returns_503(trial, stored):
    answer = post(trial, "unavailable", Accept="application/json")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.get_json()["response"]["error_codes"] == ["service_unavailable"]
    assert stored() == 0


@pytest.mark.both_databases
def test_view_without_view_commit_stores_nothing(trial, stored):
    assert trial.test_client().post("/trial-without").status_code == 302
    assert stored() == 0


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_failed_commit_returns_503_without_cookie_and_stores_nothing(trial, stored, failing_commits, accept):
    with failing_commits() as calls:
        answer = post(trial, "done", Accept=accept)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.headers.getlist("Set-Cookie") == []
    assert stored() == 0
    assert len(calls) == 1, "a second call could have stored half of it"
    assert trial.extensions["trial"] == [503], "callbacks ran once"
    if accept == "application/json":
        assert answer.get_json()["response"]["error_codes"] == ["service_unavailable"]


@pytest.mark.both_databases
def test_request_after_a_failed_commit_succeeds(trial, stored, failing_commits):
    client = trial.test_client()
    with failing_commits():
        assert client.post("/trial/done").status_code == 503
    assert client.post("/trial/done").status_code == 302
    assert stored() == 1


def test_sign_in_with_failed_commit_does_not_sign_in(wire, people, rows, failing_commits):
    from app.sessions.models import AuthSession

    ada = people.open(email="ada@example.com", methods=["authenticator"])
    wire.fetch_csrf()
    with failing_commits():
        answer = wire.post("/us-signin", identity=ada.email, passcode=ada.app_code())
    assert answer.status == 503
    assert not {"latchkey_session", "latchkey_known"} & set(wire.cookies)
    assert "Sign out" not in answer.text
    assert (rows(AuthSession), wire.signed_in_as()) == ([], None)
    assert wire.post("/us-signin", identity=ada.email, passcode=ada.app_code()).ok, "the code was not used up"


def test_rejected_attempt_is_counted_and_recorded(wire, people, mail_to, rows):
    from app.audit import Event
    from app.challenges.models import Challenge

    ada = people.open(email="ada@example.com")
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    assert wire.post("/us-signin", identity=ada.email, passcode="00000000").status == 400
    assert rows(Challenge)[0].tries == 1
    assert len(rows(Event, name="sign_in.failed")) == 1


def test_attempt_is_counted_even_if_the_request_fails(wire, people, rows, monkeypatch):
    from app.challenges.models import Challenge

    ada = people.open(email="ada@example.com")
    wire.post("/us-signin/send-code", identity=ada.email, chosen_method="email")
    monkeypatch.setattr("app.challenges.passcodes.passcode_matches", broken)
    assert wire.post("/us-signin", identity=ada.email, passcode="00000000").status == 500
    assert rows(Challenge)[0].tries == 1


def test_head_requests_change_nothing(app, visitor, unchanged):
    from tests.functional.web.conftest import addresses

    for path in addresses(app, "GET"):
        client = visitor(path)
        with unchanged():
            answer = client.client.head(path)
        assert answer.get_data() == b"", path


def test_get_requests_change_nothing(app, visitor, unchanged):
    from tests.functional.web.conftest import addresses

    for path in addresses(app, "GET"):
        if path == "/admin/audit.csv":
            continue  # exporting the log is an event
        client = visitor(path)
        with unchanged():
            assert client.get(path).status < 500, path


@pytest.mark.both_databases
@pytest.mark.one_database
def test_commit_of_a_request_without_a_session_opens_none(app):
    with app.test_request_context():
        view_commit(Response())
        assert g.commit_done
        assert not db.session.registry.has()


def test_exceptions_are_not_propagated_to_the_server(trial):
    assert trial.config["PROPAGATE_EXCEPTIONS"] is False
    assert not trial.testing
    assert post(trial, "exception").status_code == 500


def broken(*_args, **_kwargs):
    raise RuntimeError("a fault of ours")


@pytest.fixture
def failing_commits():
    """Makes commits fail: ``with failing_commits() as calls: ...`` collects them."""
    from contextlib import contextmanager

    from sqlalchemy import event

    from app.extensions import db

    @contextmanager
    def fail():
        calls = []

        def refuse(session):
            calls.append(session)
            raise sa.exc.OperationalError("COMMIT", {}, Exception("disk full"))

        event.listen(db.session, "before_commit", refuse)
        try:
            yield calls
        finally:
            event.remove(db.session, "before_commit", refuse)

    return fail
