"""Browser and system names from User-Agent headers.

A User-Agent header says what its sender likes, and part of it went into other people's mail. So nothing of
the header itself is kept, shown or sent: only names from the two lists below.
"""

from functools import lru_cache

UNKNOWN = "Unknown browser"
IPHONE_OR_IPAD = "iPhone or iPad"
MAX_LENGTH = 256  # characters of a header that are looked at; real ones name themselves within

BROWSERS = {
    "Android": "Android Browser",
    "Apple Mail": "Apple Mail",
    "Amazon Silk": "Amazon Silk",
    "Brave": "Brave",
    "Chrome": "Chrome",
    "Chrome Mobile": "Chrome",
    "Chrome Mobile WebView": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chromium": "Chromium",
    "DuckDuckGo": "DuckDuckGo",
    "DuckDuckGo Mobile": "DuckDuckGo",
    "Ecosia Android": "Ecosia",
    "Ecosia iOS": "Ecosia",
    "Edge": "Edge",
    "Edge Mobile": "Edge",
    "Epiphany": "GNOME Web",
    "Facebook": "Facebook",
    "Firefox": "Firefox",
    "Firefox Beta": "Firefox",
    "Firefox Mobile": "Firefox",
    "Firefox iOS": "Firefox",
    "Go-http-client": "Go-http-client",
    "Google": "Google app",
    "HeadlessChrome": "Chrome",
    "Huawei Browser": "Huawei Browser",
    "IE": "Internet Explorer",
    "IE Mobile": "Internet Explorer",
    "Instagram": "Instagram",
    "Konqueror": "Konqueror",
    "Maxthon": "Maxthon",
    "MiuiBrowser": "Mi Browser",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": "Safari",
    "Opera": "Opera",
    "Opera GX": "Opera",
    "Opera Mini": "Opera Mini",
    "Opera Mobile": "Opera",
    "Opera Touch": "Opera",
    "Pale Moon": "Pale Moon",
    "Python Requests": "Python Requests",
    "Python aiohttp": "Python aiohttp",
    "PostmanRuntime": "Postman",
    "QQ Browser": "QQ Browser",
    "QQ Browser Mobile": "QQ Browser",
    "Safari": "Safari",
    "Samsung Internet": "Samsung Internet",
    "SeaMonkey": "SeaMonkey",
    "Slack Desktop Client": "Slack",
    "Thunderbird": "Thunderbird",
    "UC Browser": "UC Browser",
    "Vivaldi": "Vivaldi",
    "WeChat Browser": "WeChat",
    "Wget": "Wget",
    "Whale": "Whale",
    "Yandex Browser": "Yandex Browser",
    "axios": "axios",
    "curl": "curl",
    "okhttp": "okhttp",
}
"""The well-known browsers and programs, by the family that ua-parser finds, and what people call them."""

SYSTEMS = {
    "Android": "Android",
    "Chrome OS": "ChromeOS",
    "Debian": "Debian",
    "Fedora": "Fedora",
    "FreeBSD": "FreeBSD",
    "KaiOS": "KaiOS",
    "Linux": "Linux",
    "Mac OS X": "macOS",
    "OpenBSD": "OpenBSD",
    "Tizen": "Tizen",
    "Ubuntu": "Ubuntu",
    "Windows": "Windows",
    "iOS": IPHONE_OR_IPAD,
}
"""The well-known systems, in the same way."""

LABELS = frozenset(
    name if system is None else f"{name} on {system}"
    for name in (*BROWSERS.values(), UNKNOWN)
    for system in (None, *SYSTEMS.values())
)
"""All that ``label`` ever returns."""


def label(user_agent: str | None) -> str:
    """Return the browser and system that a User-Agent header names, as "Firefox on Linux": one of ``LABELS``.

    A label stays what it is, so that what was stored as a header and what was stored as a label read alike.
    A header is a claim: good for recognizing oneself, never for deciding anything. Never raises.
    """
    return _label((user_agent or "")[:MAX_LENGTH])


@lru_cache(maxsize=2048)
def _label(user_agent: str) -> str:
    if user_agent in LABELS:
        return user_agent
    # Imported here: its tables are heavy, and most processes never name a browser.
    import ua_parser

    try:
        browser = ua_parser.parse_user_agent(user_agent)
        system = ua_parser.parse_os(user_agent)
    except Exception:
        return UNKNOWN
    name = BROWSERS.get(browser.family, UNKNOWN) if browser else UNKNOWN
    runs_on = SYSTEMS.get(system.family) if system else None
    return f"{name} on {runs_on}" if runs_on else name


def is_same_system(one: str, other: str) -> bool:
    """Say whether two browsers, by their labels, run on the same system, as far as the labels say."""
    system = label(one).partition(" on ")[2]
    return system != "" and system == label(other).partition(" on ")[2]
