"""Reports words that texts and documents don't use, with what to write instead. ``make lint`` runs it.

The texts are those that ``.ci/messages.py`` extracts; the documents are README, docs/ and the like, without code.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import messages

ROOT = Path(__file__).parents[1]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", *(f"docs/{path.name}" for path in ROOT.glob("docs/*.md")))
CODE = re.compile(r"(?s)```.*?```|`[^`]*`|\]\([^)]*\)")

EVERYWHERE = {
    r"e-mails?\b": "email",
    r"whoever": "the person who, anyone who; for the operator: an administrator",
    r"(some|any)body('s)?": "someone, anyone",
    r"lets? (you|me|them|us) in": "sign in",
    r"(your|their|my) (only |last )?ways? (to sign )?in": "sign-in methods",
    r"ways? to sign in": "sign-in method",
    r"opens? nothing": "no longer works; can't be used",
    r"it is told|(are|is) told of": "we notify",
    r"not? .{0,30}any longer": "no longer",
    r"prove (that )?(it is|it's) you": "confirm it's you",
    r"sign-?on\b": "sign-in",
    r"one's own": "your own",
}
IN_TEXTS = {
    r"switch(ed)? (it )?(on|off)": "turn on, turn off; an account is disabled",
    r"log-?in\b": "sign in (verb), sign-in (noun)",
    r"nobody": "no one",
    r"at once": "immediately",
    r"(a|the|this|your|that) mails?\b(?! server)": "email",
    r"text message codes?": "text-message code",
    r"personal tokens?": "API token",
    r"cancell": "cancel(ed): American spelling",
    r"drawer|key of your own|two locks": "no mottos",
    r"type (the|your|its|this) code": "enter the code",
    r"ask for a new": "request a new",
    r"(did|does|do|is|can|could|was|are|will) not\b": "a contraction: didn't, doesn't, isn't",
    "’": "a straight apostrophe: one spelling for translators",
}


def main() -> int:
    found = [*wrong_texts(), *wrong_documents()]
    for line in found:
        print(line)
    return 1 if found else 0


def wrong_texts() -> Iterator[str]:
    for message in messages.extract():
        texts = message.id if isinstance(message.id, (list, tuple)) else [message.id]
        where = ", ".join(name for name, _ in message.locations)
        if where == "app/command_language.py":  # texts of click
            continue
        for text in texts:
            for word, better in hits(text, EVERYWHERE | IN_TEXTS):
                yield f"{where}: {word!r} in {text!r}: write {better}"


def wrong_documents() -> Iterator[str]:
    for name in DOCUMENTS:
        text = CODE.sub(lambda code: "\n" * code[0].count("\n"), (ROOT / name).read_text())
        for number, line in enumerate(text.split("\n"), 1):
            for word, better in hits(line, EVERYWHERE):
                yield f"{name}:{number}: {word!r}: write {better}"


def hits(text: str, words: dict[str, str]) -> Iterator[tuple[str, str]]:
    for pattern, better in words.items():
        if found := re.search(rf"(?<!\w)(?:{pattern})", text, re.IGNORECASE):
            yield found[0], better


if __name__ == "__main__":
    sys.exit(main())
