"""What an operator types: ``flask users``, ``flask attempts``, ``flask keys``, ``flask selftest``, ``flask doctor``.

Promises that each command says what it did in one line, exits with 1 when something is left to mend, can be
stopped and repeated at any moment, and never prints a secret that it did not just make.
"""

from app.cli import user_deletion
from app.cli.attempts import attempts
from app.cli.doctor import doctor
from app.cli.keys import keys
from app.cli.selftest import selftest
from app.cli.users import users

GROUPS = (users, attempts, keys, selftest, doctor)
"""The commands, for ``create_app`` to add to ``app.cli``."""

MORE = (user_deletion,)
"""Named so that they add their commands to the groups."""

__all__ = ["GROUPS"]
