"""The --help of each command fits a terminal of 80 columns."""

import click
import pytest

pytestmark = pytest.mark.one_database

GROUPS = ["users", "users sessions", "clients", "groups", "attempts", "keys", "outbox", "selftest"]
OTHERS = ["doctor", "worker", "serve"]


@pytest.mark.parametrize("group", GROUPS)
def test_command_help_in_group_lists_is_not_truncated(operate, group):
    listed = operate(*group.split(), "--help").stdout.partition("Commands:")[2]
    assert listed
    assert "..." not in listed


@pytest.mark.parametrize("name", [*OTHERS, *(group for group in GROUPS if " " not in group)])
def test_command_help_in_the_top_level_list_is_not_truncated(app, name):
    command = app.cli.get_command(click.Context(app.cli), name)
    room = 80 - 2 - len("selftest") - 2 - 2
    assert not command.get_short_help_str(room).endswith("..."), command.get_short_help_str(room)
