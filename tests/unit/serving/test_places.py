"""Places in the application: who waits for one, for how long, and who gets the next."""

from __future__ import annotations

import asyncio
import time

from app.serving import places
from app.serving.places import Places


def test_places_that_were_opened_for_who_lingered_are_closed_after_it():
    async def scene() -> None:
        shared = Places(1, 3)
        taken = [await shared.take() for _ in range(3)]
        assert None not in taken
        await asyncio.sleep(0.05)
        for since in taken:
            shared.give(since)
        assert await shared.take() is not None
        began = time.monotonic()
        assert await shared.take() is not None
        assert time.monotonic() - began >= 0.02, "the second was opened anew, so only the usual one was free"

    asyncio.run(scene())


def test_who_came_first_has_the_first_place_that_is_free():
    order: list[int] = []

    async def come(shared: Places, number: int) -> None:
        since = await shared.take()
        order.append(number)
        shared.give(since)

    async def scene() -> None:
        shared = Places(1, 1)
        held = await shared.take()
        coming = [asyncio.create_task(come(shared, number)) for number in range(6)]
        await asyncio.sleep(0.01)
        shared.give(held)
        await asyncio.gather(*coming)

    asyncio.run(scene())
    assert order == [0, 1, 2, 3, 4, 5]


def test_no_place_is_lost_or_made_while_many_come_and_go(monkeypatch):
    monkeypatch.setattr(places, "LINGERS", 0.001)
    inside: list[float] = []
    most: list[int] = []

    async def come(shared: Places) -> None:
        for number in range(100):
            since = await shared.take()
            inside.append(since)
            most.append(len(inside))
            await asyncio.sleep(0.02 if number % 10 == 0 else 0)
            inside.pop()
            shared.give(since)

    async def scene() -> None:
        shared = Places(1, 3)
        await asyncio.gather(*(come(shared) for _ in range(8)))

    asyncio.run(scene())
    assert (max(most), len(most)) == (3, 800)


def test_who_is_gone_is_passed_over():
    async def scene() -> None:
        shared = Places(1, 1)
        held = await shared.take()
        gone, next_one = asyncio.create_task(shared.take()), asyncio.create_task(shared.take())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        shared.give(held)
        assert await asyncio.wait_for(next_one, 1) is not None

    asyncio.run(scene())


def test_nobody_waits_longer_than_that(monkeypatch):
    monkeypatch.setattr(places, "PLACE_WITHIN", 0.1)
    took: list[tuple[bool, float]] = []

    async def come(shared: Places) -> None:
        began = time.monotonic()
        since = await shared.take()
        took.append((since is not None, time.monotonic() - began))
        if since is not None:
            await asyncio.sleep(0.02)
            shared.give(since)

    async def scene() -> None:
        shared = Places(1, 1)
        await asyncio.gather(*(come(shared) for _ in range(30)))

    asyncio.run(scene())
    waited = [seconds for given, seconds in took if not given]
    assert len(waited) > 15
    assert 0.1 <= min(waited) <= max(waited) < 0.3
