"""Recognize exports of other services, so that a rejected line says what it is and what to do."""

from __future__ import annotations

import re
from typing import Any

EXPORTS = {
    "Auth0": {"user_id", "identities"},
    "Django": {"model", "pk"},
    "Firebase": {"localId"},
    "Flask-Security": {"fs_uniquifier"},
    "Keycloak": {"credentials", "realmRoles"},
    "Supabase": {"encrypted_password"},
}
"""Fields that all stand in an account of such an export, and in no line of ours."""

WHOLE = {"Keycloak": {"realm", "users"}, "Firebase": {"users"}}
"""Fields of a file that is one object with all accounts in it."""

HASHES = (
    ("bcrypt of a faulty PHP", r"\$2x\$"),
    ("bcrypt of before 1998", r"\$2\$"),
    ("bcrypt of SHA-256 by passlib", r"\$bcrypt-sha256\$"),
    ("SHA-2 crypt", r"\$[56]\$"),
    ("MD5 crypt", r"\$(1|apr1)\$"),
    ("scrypt crypt", r"\$7\$"),
    ("a salted digest, which is guessed fast", r"(md5|sha1)\$"),
    ("a plain digest", r"([0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}|[0-9a-fA-F]{128})\Z"),
    ("Django's mark for no password", r"!"),
)
"""Hashes that are not read, by how they begin."""


def array_hint(line: bytes) -> str:
    """Return what to do with a line that is, or begins, a JSON array; "" for any other."""
    return "is a JSON array; one object a line is wanted: jq -c '.[]' FILE" if line.lstrip()[:1] == b"[" else ""


def export_hint(described: dict[str, Any]) -> str:
    """Return whose export an object seems to be, as the end of a sentence; "" when it looks like none."""
    fields = described.keys()
    for name, wanted in WHOLE.items():
        if wanted <= fields and isinstance(described["users"], list):
            return f"is a whole export of {name}; one account a line is wanted, with our field names"
    named = next((name for name, wanted in EXPORTS.items() if wanted <= fields), "")
    return f"is an account of {named}; rename its fields to ours (flask users import --help)" if named else ""


def hash_name(text: str) -> str:
    """Return what kind of password hash ``text`` is, where it is a known one that is not read; else ""."""
    return next((name for name, pattern in HASHES if re.match(pattern, text)), "")
