"""Defaults that let a developer's machine start without any settings."""

import os
import secrets
from pathlib import Path

SECRETS_FILE = Path("var/dev-secrets")


def ensure_secrets(path: Path = SECRETS_FILE) -> list[str]:
    """Return the master keys stored in a file, generating one (256 bits) when the file doesn't exist.

    Only the owner may read the file (0600). It is created atomically, so processes that start together end up with the
    same key.

    :raises OSError: when the file can be neither read nor created
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(32) + "\n")
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return [key for key in path.read_text().replace(",", "\n").split() if key]
