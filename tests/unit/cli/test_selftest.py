"""Random parts of responses are found by comparing them; other differences distinguish the classes."""

from __future__ import annotations

import pytest

from app.cli.selftest import Reply, differences, template_of


def reply(body: str, *headers: tuple[str, str], status: int = 200) -> tuple[Reply, str]:
    return Reply(status, headers, body.encode(), 0.001), "ada@example.com"


def test_random_parts_of_equal_length_are_masked():
    one = template_of([reply('{"token":"abcd"}', ("X-Id", "1111")), reply('{"token":"wxyz"}', ("X-Id", "2222"))])
    other = template_of([reply('{"token":"0000"}', ("X-Id", "3333")), reply('{"token":"1234"}', ("X-Id", "4444"))])
    assert one is not None
    assert differences(one, other) == []


@pytest.mark.parametrize(
    "leak",
    [
        [reply('{"token":"abcd","known":1}'), reply('{"token":"wxyz","known":1}')],
        [reply('{"token":"abcde"}'), reply('{"token":"vwxyz"}')],
        [reply('{"token":"abcd"}'), reply('{"token":"abcd"}')],
        [reply('{"token":"abcd"}'), reply('{"token":"vwxyz"}')],
        [reply('{"token":"abcd"}', status=400), reply('{"token":"wxyz"}', status=400)],
        [reply('{"token":"abcd"}', ("X-Hit", "yes")), reply('{"token":"wxyz"}', ("X-Hit", "yes"))],
    ],
    ids=["another key", "another length", "never random", "no one length", "status", "header"],
)
def test_other_differences_are_reported(leak):
    plain = template_of([reply('{"token":"0000"}'), reply('{"token":"1234"}')])
    assert differences(plain, template_of(leak)) != []


def test_requested_identity_is_not_a_difference():
    one = template_of([reply("sent to ada@example.com"), reply("sent to ada@example.com")])
    other = template_of([(Reply(200, (), b"sent to bob@example.com", 0.0), "bob@example.com")] * 2)
    assert differences(one, other) == []
