"""Ask the server in this container whether it is ready; end with 0 when it is.

Speaks as the proxy in front would, so that the checks of host and scheme hold here too.
"""

import os
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

READY = "http://127.0.0.1:8000/readyz"
PATIENCE = 3  # seconds


def main() -> int:
    host = urlsplit(os.environ.get("LATCHKEY_PUBLIC_URL", "")).netloc or "127.0.0.1:8000"
    headers = {"Host": host, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
    try:
        with urllib.request.urlopen(urllib.request.Request(READY, headers=headers), timeout=PATIENCE) as answer:
            return 0 if answer.status == 200 else 1
    except (OSError, urllib.error.URLError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
