"""The languages that have translation catalogs."""

LANGUAGES = {
    "en": "English",
    "de": "Deutsch",
    "fr": "Français",
    "es": "Español",
    "pt-BR": "Português (Brasil)",
    "ja": "日本語",
    "ar": "العربية",
    "pl": "Polski",
}
"""Native name by BCP 47 tag. English is in the source; the others are in app/translations."""


def check_language(tag: str) -> str:
    """Return ``tag`` in its canonical spelling. Raises ValueError for a language without a catalog."""
    known = {each.lower(): each for each in LANGUAGES}
    if tag.lower() not in known:
        raise ValueError(f"choose from {', '.join(LANGUAGES)}")
    return known[tag.lower()]
