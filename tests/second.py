"""Steps of a sign-in with a second factor."""

from __future__ import annotations

from collections.abc import Callable

from tests.factories import Person
from tests.wire import Answer, Wire

PENDING = "latchkey_pending"


def begin(wire: Wire, person: Person, code_for: Callable[..., str]) -> Answer:
    """Complete the first step with an emailed code."""
    code = code_for(person.email, by=wire)
    return wire.post("/us-signin", identity=person.email, passcode=code)


def first_step(wire: Wire, person: Person, code_for: Callable[..., str]) -> Answer:
    """Complete the first step, and check that it leads to a second one."""
    answer = begin(wire, person, code_for)
    assert answer.ok, answer
    assert PENDING in wire.cookies
    wire.get("/tf-validate")  # for its CSRF token: fetching one from the sign-in page would drop the sign-in
    return answer


def on(answer: Answer) -> str:
    """Return the method requested for the second step; on pages the redirect is enough."""
    if answer.json:
        return str(answer.json.get("tf_method", ""))
    assert (answer.location or "").startswith("/tf-validate"), answer
    return "authenticator"


def taken(answer: Answer, is_taken: bool) -> None:
    """Check whether a step succeeded: else API clients get an error, and browsers are redirected or see the page."""
    went = answer.ok and not (answer.location or "").startswith("/login")
    assert went is is_taken, answer


def begin_setup(wire: Wire, **fields: object) -> Answer:
    """Start setting up a second factor."""
    answer = wire.post("/tf-setup", **fields)
    assert answer.ok, answer
    return answer


def prove_setup(wire: Wire, begun: Answer, code: str) -> Answer:
    """Enter the code that confirms the second factor started by ``begun``."""
    if begun.json:
        return wire.post(f"/tf-setup/{begun.json['tf_state_token']}", code=code)
    (action,) = [form["action"] for form in begun.page.forms if form.get("action", "").startswith("/tf-setup/")]
    return wire.post(action, code=code)
