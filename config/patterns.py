"""Detect operator-supplied regular expressions that a provider's response could make run for hours.

``re`` has no time limit. Exponential time comes from repetition inside a repeated group, as in ``(a+)+$``, and from
alternation inside one, as in ``(a|a)*$`` (OWASP: Regular expression Denial of Service).
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    \\.                                        # an escape
    | \[\^?\]?(?:\\.|[^\]\\])*\]                # a class
    | \(\?(?:\#[^)]*|P=\w+|[aiLmsux-]+)\)       # a comment, a backreference, flags
    | \((?:\?(?:P<\w+>|<?[=!]|>|[a-zA-Z-]*:))?  # a group begins
    | \{[\d,]+\}
    | .
    """,
    re.DOTALL | re.VERBOSE,
)
_EXACTLY = re.compile(r"\{\d+\}")


def repeats_what_varies(pattern: str) -> bool:
    """Return whether a repeatable group itself contains repetition or alternation."""
    varies = [False]  # for each open group, whether it contains either
    ended = False  # whether the group that was just closed contains either
    for part in _TOKEN.findall(pattern):
        repeats = part in "*+" or (part[0] == "{" and len(part) > 1)
        if ended and repeats:
            return True
        ended = False
        if part[0] == "(" and part[-1] != ")":
            varies.append(False)
        elif part == ")":
            ended = varies.pop()
            varies[-1] |= ended
        elif part in "?|" or (repeats and not _EXACTLY.fullmatch(part)):
            varies[-1] = True
    return False
