"""Check whether the server in this container is ready; exit with 0 if it is.

Sends the headers that the proxy in front would send, so that the request passes the checks of host and scheme.
"""

import os
import sys
import urllib.error
import urllib.request
from urllib.parse import urlsplit

READY = "http://127.0.0.1:8000/readyz"
TIMEOUT = 3  # seconds


def main() -> int:
    host = urlsplit(os.environ.get("LATCHKEY_PUBLIC_URL", "")).netloc or "127.0.0.1:8000"
    headers = {"Host": host, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"}
    try:
        with urllib.request.urlopen(urllib.request.Request(READY, headers=headers), timeout=TIMEOUT) as response:
            return 0 if response.status == 200 else 1
    except (OSError, urllib.error.URLError):
        return 1


if __name__ == "__main__":
    sys.exit(main())
