"""Places in the application: who waits for one, for how long, and who needs none."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterator

import pytest

from app.serving import places
from app.serving.gate import Gate
from app.serving.places import Places


class Application:
    """An application whose requests to ``/held`` last until it lets them go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/held":
            self.let_go.wait(10)
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]


class Counting:
    """An application that knows how many were in it at most at a time."""

    most = 0

    def __init__(self) -> None:
        self.inside = 0

    def __call__(self, environ, start_response):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.001)
        self.inside -= 1
        start_response("200 OK", [])
        return [b""]


@pytest.fixture
def application() -> Iterator[Application]:
    """An application that lets everybody go in the end."""
    made = Application()
    yield made
    made.let_go.set()


def status_of(answering: Gate, path: str, body: bytes = b"", **environ: str) -> str:
    """Return the status line of an answer."""
    said: list[str] = []
    asked = {"PATH_INFO": path, "wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))} | environ
    answering(asked, lambda line, headers: said.append(line))
    return said[0]


def hold_all_places(answering: Gate, count: int) -> None:
    """Take every place, each with a request that does not end."""
    for _ in range(count):
        threading.Thread(target=status_of, args=(answering, "/held"), daemon=True).start()
    time.sleep(0.1)


def test_nobody_waits_for_places_that_do_not_come_back(application, monkeypatch):
    monkeypatch.setattr(places, "STALLED", 0.4)
    answering = Gate(application, places=Places(2, 2), largest_body=100)
    hold_all_places(answering, 2)
    began = time.monotonic()
    assert status_of(answering, "/").startswith("503")
    assert time.monotonic() - began < 1
    began = time.monotonic()
    assert status_of(answering, "/").startswith("503")
    assert time.monotonic() - began < 0.1, "known to stand still"


def test_a_place_that_comes_back_is_taken(application):
    answering = Gate(application, places=Places(1, 1), largest_body=100)
    hold_all_places(answering, 1)
    threading.Timer(0.3, application.let_go.set).start()
    assert status_of(answering, "/").startswith("200")


def test_after_a_standstill_it_goes_on(application, monkeypatch):
    monkeypatch.setattr(places, "STALLED", 0.1)
    answering = Gate(application, places=Places(1, 1), largest_body=100)
    hold_all_places(answering, 1)
    assert status_of(answering, "/").startswith("503")
    application.let_go.set()
    time.sleep(0.1)
    assert status_of(answering, "/").startswith("200")


def test_a_process_that_waits_for_its_database_says_that_it_lives(application):
    answering = Gate(application, places=Places(1, 1), largest_body=100)
    hold_all_places(answering, 1)
    assert status_of(answering, "/healthz").startswith("200")


def test_half_a_body_does_not_reach_the_application(application):
    answering = Gate(application, places=Places(1, 1), largest_body=100)
    assert status_of(answering, "/", b"half", CONTENT_LENGTH="8").startswith("400")
    assert status_of(answering, "/", HTTP_TRANSFER_ENCODING="chunked").startswith("411")


def test_one_at_a_time_is_worked_on_while_each_is_quick():
    answering = Gate(Counting(), places=Places(1, 4), largest_body=100)
    threads = [threading.Thread(target=status_of, args=(answering, "/")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answering.application.most == 1


def test_who_lingers_keeps_nobody_waiting_for_long(application):
    answering = Gate(application, places=Places(1, 4), largest_body=100)
    hold_all_places(answering, 3)
    began = time.monotonic()
    assert status_of(answering, "/").startswith("200")
    assert status_of(answering, "/").startswith("200")
    assert time.monotonic() - began < 0.3


def test_places_that_were_opened_for_who_lingered_are_closed_after_it(application):
    shared = Places(1, 3)
    taken = [shared.take() for _ in range(3)]
    assert None not in taken
    time.sleep(0.05)
    for since in taken:
        shared.give(since)
    assert shared.take() is not None
    began = time.monotonic()
    assert shared.take() is not None
    assert time.monotonic() - began >= 0.02, "the second was opened anew, so only the usual one was free"


def test_who_came_first_has_the_first_place_that_is_free():
    shared, order = Places(1, 1), []
    held = shared.take()

    def come(number: int) -> None:
        since = shared.take()
        order.append(number)
        shared.give(since)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
        time.sleep(0.01)
    shared.give(held)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4, 5]


def test_no_place_is_lost_or_made_while_many_come_and_go(monkeypatch):
    monkeypatch.setattr(places, "LINGERS", 0.001)
    shared, inside, most = Places(1, 3), [], []

    def come(number: int) -> None:
        since = shared.take()
        inside.append(since)
        most.append(len(inside))
        time.sleep(0.003 if number % 10 == 0 else 0)
        inside.pop()
        shared.give(since)

    threads = [threading.Thread(target=lambda: [come(number) for number in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (max(most), len(most)) == (3, 800)
