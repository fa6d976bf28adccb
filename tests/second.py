"""Steps of a sign-in that asks for a second one."""

from __future__ import annotations

from collections.abc import Callable

from tests.factories import Person
from tests.wire import Answer, Wire

PENDING = "latchkey_pending"


def begin(wire: Wire, person: Person, code_for: Callable[..., str]) -> Answer:
    """Give the first proof, a mailed code."""
    code = code_for(person.email, by=wire)
    return wire.post("/us-signin", identity=person.email, passcode=code)


def first_step(wire: Wire, person: Person, code_for: Callable[..., str]) -> Answer:
    """Give the first proof, and see that it leads to a second step."""
    answer = begin(wire, person, code_for)
    assert answer.ok, answer
    assert PENDING in wire.cookies
    wire.get("/tf-validate")  # for its CSRF token: fetching one from the sign-in page would drop the sign-in
    return answer


def on(answer: Answer) -> str:
    """Return by which method the second step is asked for; on pages what leads there is enough."""
    if answer.json:
        return str(answer.json.get("tf_method", ""))
    assert (answer.location or "").startswith("/tf-validate"), answer
    return "authenticator"


def taken(answer: Answer, is_taken: bool) -> None:
    """See whether a step was taken: a program is refused, a browser is sent back or shown the page again."""
    went = answer.ok and not (answer.location or "").startswith("/login")
    assert went is is_taken, answer


def begin_setup(wire: Wire, **fields: object) -> Answer:
    """Begin to set a second factor up."""
    answer = wire.post("/tf-setup", **fields)
    assert answer.ok, answer
    return answer


def prove_setup(wire: Wire, begun: Answer, code: str) -> Answer:
    """Give the code that proves the second factor which ``begun`` began."""
    if begun.json:
        return wire.post(f"/tf-setup/{begun.json['tf_state_token']}", code=code)
    (action,) = [form["action"] for form in begun.page.forms if form.get("action", "").startswith("/tf-setup/")]
    return wire.post(action, code=code)
