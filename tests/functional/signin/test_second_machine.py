"""Steps in any order, in any browser: a session exists only where its factors were verified (security.md, row 36).

Hypothesis generates sequences for three browsers and three people: it requests codes, enters correct and wrong ones and
those of others, follows links, goes back and forth between steps, moves a pending sign-in to another browser, and
shifts the clock. A model keeps track only of what was presented where.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.factories import Person
from tests.second import PENDING
from tests.sinks import code_in, link_in
from tests.wire import Wire

JARS, PEOPLE = st.integers(0, 2), st.integers(0, 2)
AGES = st.sampled_from([31, 200, 601, 3600])
LIFE = 600


@dataclass
class Sent:
    """A code and a link that were sent to someone, for one browser."""

    code: str
    link: str
    at: float
    used: bool = False


@dataclass
class HalfWay:
    """What a browser holds after a first proof."""

    person: int
    at: float
    wrong: int = 0
    over: bool = False


@dataclass
class Jar:
    """A browser, and what the model knows of it."""

    wire: Wire
    half_way: HalfWay | None = None
    signed_in: int | None = None
    trusts: set[int] = field(default_factory=set)


def some_are_half_way(journeys: Any) -> bool:
    """Whether there is a pending sign-in."""
    return any(jar.half_way and not jar.half_way.over for jar in journeys.jars)


class Journeys(RuleBasedStateMachine):
    """Random steps; after each, it is checked who is signed in."""

    tools: dict[str, Any] = {}

    @initialize()
    def begin(self) -> None:
        """Three people, the last one without a second factor; three browsers, two of which have pending sign-ins."""
        self.clock, self.mail_to = self.tools["clock"], self.tools["mail_to"]
        opens = self.tools["people"].open
        second = {"methods": ["email", "authenticator"], "second": "authenticator"}
        emails = [f"{next(self.tools['numbers'])}@example.com" for _ in range(3)]
        self.people: list[Person] = [opens(email=email, **(second if i < 2 else {})) for i, email in enumerate(emails)]
        self.jars = [Jar(Wire(self.tools["app"], "json")) for _ in range(3)]
        self.sent: dict[tuple[int, int], Sent] = {}
        self.used: set[str] = set()
        self.go_half_way(0, 0, by_link=False)
        self.go_half_way(1, 1, by_link=True)

    def may(self, jar: Jar, person: int, *, by_trust: bool = False) -> None:
        """Allow this person to be signed in here in the model, as far as the service agrees."""
        if self.who(jar) == person:
            jar.signed_in, jar.half_way = person, None

    def who(self, jar: Jar) -> int | None:
        """Return who is signed in according to the service, without opening the sign-in page."""
        email = jar.wire.get("/").json.get("user", {}).get("email")
        return next((i for i, person in enumerate(self.people) if person.email == email), None)

    def proved_first(self, jar: Jar, person: int, sent: Sent) -> None:
        """Record a correct first step: it signs in without a second factor or on a trusted device, else it waits."""
        sent.used = True
        if person == 2 or person in jar.trusts:
            self.may(jar, person)
        elif PENDING in jar.wire.cookies:
            if jar.half_way:
                jar.half_way.over = True
            jar.half_way = HalfWay(person, self.clock.unix())

    @rule(jar=JARS, person=PEOPLE)
    def ask(self, jar: int, person: int) -> None:
        """Request a code, and read the mail."""
        wire, email = self.jars[jar].wire, self.people[person].email
        if wire.post("/us-signin/send-code", identity=email, chosen_method="email").ok:
            mail = self.mail_to(email)
            link = link_in(mail, "/us-verify-link").removeprefix("http://localhost")
            self.sent[jar, person] = Sent(code_in(mail), link, self.clock.unix())

    @rule(jar=JARS, person=st.integers(0, 1), by_link=st.booleans())
    def go_half_way(self, jar: int, person: int, by_link: bool) -> None:
        """Request a code, read the email, and enter it: most of the other steps need a pending sign-in."""
        self.ask(jar, person)
        self.prove_first(jar, jar, person, person, by_link=by_link)

    @precondition(lambda self: self.sent)
    @rule(jar=JARS, whose=JARS, person=PEOPLE, typed_for=PEOPLE, by_link=st.booleans())
    def prove_first(self, jar: int, whose: int, person: int, typed_for: int, by_link: bool) -> None:
        """Enter a code, or follow a link, sent to anyone for any browser."""
        sent, here = self.sent.get((whose, person)), self.jars[jar]
        if sent is None:
            return
        fits = jar == whose and not sent.used and self.clock.unix() - sent.at < LIFE and here.signed_in is None
        if by_link:
            here.wire.get(sent.link)
            here.wire.get("/tf-validate")  # for a CSRF token: the sign-in page would cancel the pending sign-in
        else:
            here.wire.post("/us-signin", identity=self.people[typed_for].email, passcode=sent.code)
        if fits and (by_link or typed_for == person):
            self.proved_first(here, person, sent)

    def half_way(self, number: int) -> int:
        """Return one of the browsers with a pending sign-in."""
        found = [i for i, jar in enumerate(self.jars) if jar.half_way and not jar.half_way.over]
        return found[number % len(found)]

    @precondition(some_are_half_way)
    @rule(number=JARS, whose=st.integers(0, 1), remember=st.booleans(), is_right=st.sampled_from([True, True, False]))
    def take_the_step(self, number: int, whose: int, remember: bool, is_right: bool) -> None:
        """Enter a code at the second step."""
        self.prove_second(self.half_way(number), whose, remember, is_right)

    @rule(jar=JARS, whose=st.integers(0, 1), remember=st.booleans(), is_right=st.booleans())
    def prove_second(self, jar: int, whose: int, remember: bool, is_right: bool) -> None:
        """Enter someone's app code, or a wrong one."""
        here, half = self.jars[jar], self.jars[jar].half_way
        code = self.people[whose].app_code() if is_right else "000000"
        here.wire.post("/tf-validate", code=code, remember=remember)
        if half is None or half.over or self.clock.unix() - half.at >= LIFE or half.wrong >= 5:
            return
        if is_right and whose == half.person and code not in self.used:
            self.used.add(code)
            half.over = True
            if remember:
                here.trusts.add(whose)
            self.may(here, whose)
        else:
            half.wrong += 1

    @rule(jar=JARS, path=st.sampled_from(["/tf-setup", "/tf-select", "/us-setup", "/us-verify"]))
    def try_another_door(self, jar: int, path: str) -> None:
        """Request something that is only for the next step, or for signed-in people."""
        fields = {"setup": "authenticator", "which": "authenticator", "chosen_method": "authenticator"}
        self.jars[jar].wire.post(path, **fields)

    @rule(jar=JARS)
    def open_the_sign_in_page(self, jar: int) -> None:
        """Start over, which cancels a pending sign-in."""
        self.jars[jar].wire.get("/us-signin")
        self.jars[jar].half_way = None

    @precondition(some_are_half_way)
    @rule(number=JARS, into=JARS, leave=st.booleans())
    def come_back_with_a_copy(self, number: int, into: int, leave: bool) -> None:
        """Copy a pending sign-in, end the original, and continue with the copy."""
        source = self.half_way(number)
        if source == into or self.jars[into].signed_in is not None:
            return
        self.carry(source, into)
        half = self.jars[into].half_way
        if leave:
            self.sign_out(source)
        elif half:
            self.prove_second(source, half.person, remember=False, is_right=True)
        if half:
            self.clock.shift(31)
            self.prove_second(into, half.person, remember=False, is_right=True)

    @rule(jar=JARS)
    def sign_out(self, jar: int) -> None:
        """Sign out: nobody is signed in here, and the pending sign-in ends for every copy."""
        here = self.jars[jar]
        if here.wire.post("/logout").status == 200:
            here.signed_in = None
            if here.half_way and PENDING not in here.wire.cookies:
                here.half_way.over = True
            here.half_way = None

    @precondition(some_are_half_way)
    @rule(number=JARS, into=JARS)
    def take_it_elsewhere(self, number: int, into: int) -> None:
        """Move a pending sign-in to another browser."""
        self.carry(self.half_way(number), into)

    def carry(self, source: int, into: int) -> None:
        """Move a pending sign-in to another browser, where it is the same one."""
        cookie = self.jars[source].wire.cookies.get(PENDING)
        if cookie and self.jars[source].half_way:
            self.jars[into].wire.client.set_cookie(PENDING, cookie)
            self.jars[into].half_way = self.jars[source].half_way

    @rule(seconds=AGES)
    def wait(self, seconds: int) -> None:
        """Let time pass."""
        self.clock.shift(seconds)

    @rule(person=st.integers(0, 1), jar=JARS)
    def go_the_whole_way(self, person: int, jar: int) -> None:
        """The correct steps in the correct order always sign in; otherwise the other checks would prove nothing."""
        here = self.jars[jar]
        self.sign_out(jar)
        self.open_the_sign_in_page(jar)
        self.clock.shift(61)
        self.ask(jar, person)
        self.prove_first(jar, jar, person, person, by_link=False)
        if here.signed_in is None:
            self.prove_second(jar, person, remember=False, is_right=True)
        assert self.who(here) == person

    @invariant()
    def nobody_is_signed_in_without_their_evidence(self) -> None:
        """The service never says that someone is signed in if the model doesn't."""
        for jar in getattr(self, "jars", []):
            who = self.who(jar) if "latchkey_session" in jar.wire.cookies else None
            assert who is None or who == jar.signed_in


@pytest.mark.both_databases
@pytest.mark.settings(limits=False, mail_resend_wait=0)
def test_random_step_sequences_never_create_a_session_without_its_factors(app, people, clock, mail_to):
    import itertools

    class Here(Journeys):
        tools = {"app": app, "people": people, "clock": clock, "mail_to": mail_to, "numbers": itertools.count(1)}

    how = {"max_examples": 8, "stateful_step_count": 8, "deadline": None, "derandomize": True, "database": None}
    run_state_machine_as_test(Here, settings=settings(**how, suppress_health_check=list(HealthCheck)))
