"""Whether a regular expression of the operator's could keep a thread busy for hours with an answer of a provider.

``re`` has no time limit. What takes time that doubles with each character is a repeat inside a repeated group, as in
``(a+)+$``, and a choice inside one, as in ``(a|a)*$`` (OWASP: Regular expression Denial of Service).
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
    """Whether a group that may come several times holds a repeat or a choice itself."""
    varies = [False]  # for each group that is open, whether it holds one
    ended = False  # whether the group that ended just before holds one
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
