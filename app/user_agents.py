"""Browser and system names from User-Agent headers.

The sender controls the header, and parts of it used to end up in emails to other people. So the header itself is never
stored, shown or sent, only names from the two lists below.
"""

from functools import lru_cache

UNKNOWN = "Unknown browser"
IPHONE_OR_IPAD = "iPhone or iPad"
MAX_LENGTH = 256  # maximum characters of a header that are parsed; real ones identify themselves within that

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
"""Display names of well-known browsers and programs, by ua-parser's family."""

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
"""Display names of well-known operating systems, by ua-parser's family."""

LABELS = frozenset(
    name if system is None else f"{name} on {system}"
    for name in (*BROWSERS.values(), UNKNOWN)
    for system in (None, *SYSTEMS.values())
)
"""All values that ``label`` can return."""


def label(user_agent: str | None) -> str:
    """Return browser and system of a User-Agent header, such as "Firefox on Linux"; always one of ``LABELS``.

    A label is returned unchanged, so that stored headers and stored labels can be read in the same way. A header is
    only a claim, good enough to help users recognize their devices, but never to decide anything. Never raises.
    """
    return _label((user_agent or "")[:MAX_LENGTH])


@lru_cache(maxsize=2048)
def _label(user_agent: str) -> str:
    if user_agent in LABELS:
        return user_agent
    # Imported here because its tables are large, and most processes never need them.
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
    """Return whether the labels of two browsers name the same operating system."""
    system = label(one).partition(" on ")[2]
    return system != "" and system == label(other).partition(" on ")[2]
