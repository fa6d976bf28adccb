"""What a developer's machine is given so that it starts without any setting."""

import os
import secrets
from pathlib import Path

SECRETS_FILE = Path("var/dev-secrets")


def ensure_secrets(path: Path = SECRETS_FILE) -> list[str]:
    """Return the master keys kept in a file, first drawing one (256 bits) when there is no such file.

    Only the owner may read the file (0600). Processes that start together end with the same key:
    the file appears whole or not at all.

    :raises OSError: when the file can be neither read nor made
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
