"""Browsers by name: what a person recognises in "Firefox on Linux was asking"."""

from functools import lru_cache

UNKNOWN = "Unknown browser"
MAX_LENGTH = 256  # characters of a header that are looked at; real ones name themselves within

# What people call these, where the tables are more exact than that.
_FAMILIAR = {
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "Safari",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Edge Mobile": "Edge",
    "Opera Mobile": "Opera",
    "Mac OS X": "macOS",
    "iOS": "iPhone or iPad",
}


def label(user_agent: str | None) -> str:
    """Return the browser and system that a User-Agent header names, as "Firefox on Linux". Never raises.

    A header is a claim: good for recognising oneself, never for deciding anything.
    "Unknown browser" when it says nothing that is known.
    """
    return _label((user_agent or "")[:MAX_LENGTH])


@lru_cache(maxsize=2048)
def _label(user_agent: str) -> str:
    # Imported here: its tables are heavy, and most processes and requests never name a browser.
    import ua_parser

    try:
        browser = ua_parser.parse_user_agent(user_agent)
        system = ua_parser.parse_os(user_agent)
    except Exception:
        return UNKNOWN
    names = [_FAMILIAR.get(part.family, part.family) for part in (browser, system) if part]
    names = [name for name in names if name != "Other"]
    return " on ".join(names) if browser and names else UNKNOWN
