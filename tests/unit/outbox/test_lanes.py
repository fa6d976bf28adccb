"""Whose turn it is when some mail domains are slow."""

from __future__ import annotations

import threading
import time

import pytest

from app.outbox.lanes import BATCH, QUICK, SLOW, Lanes

WAKERS = [
    lambda lanes: lanes.put("a", "x.test"),
    lambda lanes: lanes.put_all([("a", "x.test")]),
    lambda lanes: lanes.close(),
]


def put(lanes, lane, count):
    """Put so many messages in a lane."""
    return [lanes.put(f"{lane}-{number}", lane) for number in range(count)]


def test_a_message_is_taken_once():
    lanes = Lanes(4)
    assert lanes.put("a", "x.test")
    assert lanes.take(0) == ("x.test", ["a"])
    assert lanes.take(0) is None


def test_a_message_known_already_is_not_taken_in_again():
    lanes = Lanes(4)
    lanes.put("a", "x.test")
    assert not lanes.put("a", "x.test")
    lanes.take(0)
    assert not lanes.put("a", "x.test"), "it is on its way"
    lanes.done("x.test", ["a"], 0.1)
    assert lanes.put("a", "x.test")


def test_lanes_take_turns():
    lanes = Lanes(8)
    put(lanes, "x.test", 20)
    put(lanes, "y.test", 20)
    assert [lanes.take(0)[0] for _ in range(4)] == ["x.test", "y.test", "x.test", "y.test"]


def test_no_lane_gets_every_thread():
    lanes = Lanes(4)
    put(lanes, "x.test", 50)
    assert [bool(lanes.take(0)) for _ in range(4)] == [True, True, True, False]
    lanes.put("b", "y.test")
    assert lanes.take(0) == ("y.test", ["b"])


def test_one_thread_serves_all_lanes():
    lanes = Lanes(1)
    put(lanes, "x.test", 1)
    assert lanes.take(0)


def test_a_slow_lane_gets_one_thread_until_it_is_quick_again():
    lanes = Lanes(4)
    put(lanes, "x.test", 50)
    lane, ids = lanes.take(0)
    lanes.done(lane, ids, SLOW + 1)
    lane, ids = lanes.take(0)
    assert lanes.take(0) is None
    lanes.done(lane, ids, 0.1)
    assert [bool(lanes.take(0)) for _ in range(4)] == [True, True, True, False]


def test_batches_grow_with_what_waits():
    lanes = Lanes(4)
    put(lanes, "x.test", 3)
    assert len(lanes.take(0)[1]) == 1
    put(lanes, "y.test", 100)
    lanes.take(0)
    assert len(lanes.take(0)[1]) == BATCH


def test_a_quick_lane_gives_whole_batches_to_one_thread():
    lanes = Lanes(4)
    put(lanes, "x.test", 1)
    lanes.done(*lanes.take(0), QUICK / 2)
    assert lanes.put_all([(str(number), "x.test") for number in range(10)]) == 10
    assert len(lanes.take(0)[1]) == 10
    lanes.done("x.test", [], QUICK * 2)
    lanes.put_all([(f"later {number}", "x.test") for number in range(10)])
    assert len(lanes.take(0)[1]) < 10


def test_what_is_known_or_does_not_fit_is_not_put():
    lanes = Lanes(4, depth=4)
    assert lanes.put_all([("a", "x.test"), ("a", "x.test"), ("b", "x.test"), ("c", "x.test")]) == 2


def test_who_was_refused_hears_of_room():
    lanes = Lanes(4, depth=8)
    put(lanes, "x.test", 4)
    batch = lanes.take(0)
    lanes.done(*batch, 0)
    assert not lanes.wait_for_room(0), "nobody was refused"
    put(lanes, "x.test", 8)
    while batch := lanes.take(0):
        lanes.done(*batch, 0)
    assert lanes.wait_for_room(0)
    assert not lanes.wait_for_room(0), "it was told"


def test_a_lane_that_stands_still_leaves_room_for_others():
    lanes = Lanes(4, depth=20)
    assert put(lanes, "x.test", 20).count(True) == 10
    assert put(lanes, "y.test", 20).count(True) == 10
    assert lanes.room() == 0
    assert not lanes.put("b", "z.test")


def test_a_message_for_later_waits():
    lanes = Lanes(4)
    lanes.put("a", "x.test", 0.05)
    assert lanes.take(0) is None
    assert lanes.take(1) == ("x.test", ["a"])


@pytest.mark.parametrize("wake", WAKERS)
def test_who_waits_is_woken(wake):
    lanes = Lanes(4)
    threading.Timer(0.05, wake, [lanes]).start()
    began = time.monotonic()
    lanes.take(5)
    assert time.monotonic() - began < 2


def test_closed_lanes_give_back_what_waited_and_take_nothing():
    lanes = Lanes(4)
    put(lanes, "x.test", 2)
    assert lanes.close() == [("x.test-0", "x.test"), ("x.test-1", "x.test")]
    assert not lanes.put("c", "x.test")
    assert lanes.take(0) is None
