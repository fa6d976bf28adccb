"""The languages that the service has catalogs for."""

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
"""By BCP 47 tag, what each is called in itself. English is in the source; the others are in app/translations."""


def check_language(tag: str) -> str:
    """Return ``tag`` as it is written here. Raises ValueError for a language without a catalog."""
    known = {each.lower(): each for each in LANGUAGES}
    if tag.lower() not in known:
        raise ValueError(f"choose from {', '.join(LANGUAGES)}")
    return known[tag.lower()]
