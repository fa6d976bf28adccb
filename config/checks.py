"""Startup checks of the settings: errors that prevent startup, and warnings that don't."""

import os
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from config import colors, environment, images, keys, postgresql, registration, types
from config.problems import Problem, variable

if TYPE_CHECKING:
    from config.settings import Settings

KEY_REMEDY = "Set it: openssl rand -hex 32"
LONG_MAIL_CODE, LONG_SMS_CODE, MANY_TRIES = timedelta(minutes=10), timedelta(minutes=5), 5
MIN_ROTATION = timedelta(days=2)
PLAIN = "sends codes without TLS"
NO_DEBUG = ("", "0", "false", "no")


def problem(field: str, what: str, remedy: str) -> Problem:
    """Return a problem with a field of Settings."""
    return Problem(variable(field), what, remedy)


def problems(settings: "Settings") -> list[Problem]:
    """Return every reason not to start with these settings; an empty list means they are safe to use."""
    rules = PRODUCTION_RULES if settings.is_production else DEVELOPMENT_RULES
    return [found for rule in (*COMMON_RULES, *rules) for found in rule(settings)]


def order_of_times(settings: "Settings") -> Iterable[Problem]:
    """Idle times and timeouts must not exceed the limits that contain them."""
    if settings.session_idle > settings.session_absolute:
        yield problem("session_idle", f"is longer than {variable('session_absolute')}", "Shorten it.")
    if settings.two_factor_idle > settings.two_factor_absolute:
        yield problem("two_factor_idle", f"is longer than {variable('two_factor_absolute')}", "Shorten it.")
    if settings.refresh_idle > settings.refresh_absolute:
        yield problem("refresh_idle", f"is longer than {variable('refresh_absolute')}", "Shorten it.")
    if settings.sms_connect_timeout > settings.sms_timeout:
        yield problem("sms_connect_timeout", f"is longer than {variable('sms_timeout')}", "Shorten it.")


def rotation_of_keys(settings: "Settings") -> Iterable[Problem]:
    """A key is published for a day before it signs, so that apps know every key by the time a token uses it."""
    if settings.oauth_key_rotation < MIN_ROTATION:
        yield problem("oauth_key_rotation", "is shorter than two days", "Set it to 172800 (two days) or more.")


def forward_auth(settings: "Settings") -> Iterable[Problem]:
    """Proxies that may ask about requests are trusted in everything they report about a visitor."""
    if any(network.endswith("/0") for network in settings.forward_auth_proxies):
        remedy = "List only the addresses of your proxies."
        yield problem("forward_auth_proxies", "contains every address: anyone could claim to be anyone", remedy)
    domain = settings.forward_auth_cookie_domain
    if domain and "." not in domain:
        yield problem(
            "forward_auth_cookie_domain", "is a top-level domain", "Set it to a domain of yours, such as example.com."
        )


def webhook_networks(settings: "Settings") -> Iterable[Problem]:
    """A network that contains every address protects nothing."""
    if any(network.endswith("/0") for network in settings.webhook_networks):
        remedy = "List only your own networks. Endpoints on the internet don't need it."
        yield problem("webhook_networks", "contains every address", remedy)


def mail_domains(settings: "Settings") -> Iterable[Problem]:
    """Domains that can register must be listed, and the file of disposable domains must be readable."""
    if settings.registration == "domains" and not settings.registration_domains:
        remedy = "Set it, as in example.com,*.example.com, or let everyone register: LATCHKEY_REGISTRATION=open."
        yield problem("registration_domains", "is not set: nobody could register", remedy)
    if settings.disposable_domains_file:
        try:
            registration.read_domains(settings.disposable_domains_file)
        except ValueError as error:
            remedy = "Set it to a text file with one domain per line, or unset it."
            yield problem("disposable_domains_file", f"points to a file that {error}", remedy)


def registration_by_phone(settings: "Settings") -> Iterable[Problem]:
    """Registering by phone requires that numbers can receive a code and identify an account."""
    if not settings.registration_by_phone:
        return
    if "sms" not in settings.methods:
        remedy = "Add sms to LATCHKEY_METHODS, or turn this off."
        yield problem("registration_by_phone", "is on, but LATCHKEY_METHODS doesn't include sms", remedy)
    elif settings.is_production and not (settings.can_send_sms and settings.sms_countries):
        remedy = "Set LATCHKEY_SMS_URL, or Twilio, and LATCHKEY_SMS_COUNTRIES, or turn this off."
        yield problem("registration_by_phone", "is on, but no text messages can be sent", remedy)
    if "phone" not in settings.identity_attributes:
        remedy = "Add phone to LATCHKEY_IDENTITY_ATTRIBUTES, or turn this off."
        yield problem("registration_by_phone", "is on, but LATCHKEY_IDENTITY_ATTRIBUTES doesn't include phone", remedy)


def master_keys(settings: "Settings") -> Iterable[Problem]:
    """A key that is missing, short, known or of low entropy lets anyone forge and read what it protects."""
    if not settings.secret_keys:
        yield problem("secret_keys", "is not set", KEY_REMEDY)
    for what in dict.fromkeys(keys.weakness(key) for key in settings.key_texts):
        if what:
            yield problem("secret_keys", what, KEY_REMEDY)


def public_address(settings: "Settings") -> Iterable[Problem]:
    """Without HTTPS, links and cookies can be intercepted."""
    if not settings.public_url:
        yield problem("public_url", "is not set", "Set it to the address people use: https://login.example.com")
    elif not settings.public_url.startswith("https://"):
        yield problem("public_url", "does not begin with https://", "Put TLS in front and set the https:// address.")


def debugging(_settings: "Settings") -> Iterable[Problem]:
    """The debugger executes what a visitor types. Flask treats any other word as on, including "off"."""
    if os.environ.get("FLASK_DEBUG", "").strip().lower() not in NO_DEBUG:
        yield Problem("FLASK_DEBUG", "is on in production", "Unset it.")


def database_file(settings: "Settings") -> Iterable[Problem]:
    """An in-memory database is empty at each start, separate for each process, and lost when the process ends."""
    if settings.is_sqlite and types.is_in_memory(settings.database_url):
        remedy = "Use a file: sqlite:////var/lib/latchkey/latchkey.db, or a PostgreSQL database."
        yield problem("database_url", "is an SQLite database in memory, which is lost at every restart", remedy)


def mail_transport(settings: "Settings") -> Iterable[Problem]:
    """Mail with codes needs a server to send it, over an encrypted connection."""
    if not settings.mail_url and "email" in settings.methods:
        remedy = "Set it: smtp+starttls://user:password@mail.example.com:587"
        yield problem("mail_url", "is not set, but people sign in by email", remedy)
    if settings.mail_url.startswith("smtp://") and not settings.mail_allow_plaintext:
        remedy = f"Use smtp+starttls:// or smtps://. On a private network: {variable('mail_allow_plaintext')}=on"
        yield problem("mail_url", "sends mail without TLS", remedy)
    if settings.mail_fallback_url.startswith("smtp://") and not settings.mail_allow_plaintext:
        yield problem("mail_fallback_url", "sends mail without TLS", "Use smtp+starttls:// or smtps://.")


def mail_user(settings: "Settings") -> Iterable[Problem]:
    """Authentication needs both user and password. With only one, the server's error would be hard to understand."""
    for field in ("mail_url", "mail_fallback_url"):
        parts = urlsplit(getattr(settings, field))
        if bool(parts.username) != bool(parts.password):
            yield problem(field, "has a user or a password, but not both", "Add the other one, or leave both out.")


def second_providers(settings: "Settings") -> Iterable[Problem]:
    """A fallback provider requires a first provider, and must differ from it."""
    for first, second in (("mail_url", "mail_fallback_url"), ("sms_url", "sms_fallback_url")):
        url = getattr(settings, second)
        has_first = getattr(settings, first) or (first == "sms_url" and settings.sms_provider == "twilio")
        if url and not has_first:
            yield problem(second, f"is set, but {variable(first)} isn't", f"Set {variable(first)} to it instead.")
        elif url and url == getattr(settings, first):
            yield problem(second, f"is the same as {variable(first)}", "Use another provider, or unset it.")
    if settings.sms_fallback_provider == "twilio":
        if settings.sms_provider == "twilio":
            yield problem("sms_fallback_provider", "is the first provider as well", "Unset it, or choose another one.")
        elif not settings.has_twilio:
            remedy = "Set Twilio's account SID, token and sender."
            yield problem("sms_fallback_provider", "is twilio, but its settings are incomplete", remedy)


def sms_provider(settings: "Settings") -> Iterable[Problem]:
    """SMS must work if the operator enabled it explicitly. If it is only a default, it is turned off instead."""
    if "sms" in settings.methods and "methods" in settings.model_fields_set and not settings.can_send_sms:
        missing = "twilio_auth_token" if settings.sms_provider == "twilio" else "sms_url"
        if settings.sms_provider == "twilio":
            remedy = "Set Twilio's account SID, token and sender, or remove sms from LATCHKEY_METHODS."
        else:
            remedy = "Set it, or remove sms from LATCHKEY_METHODS."
        yield problem(missing, "is incomplete, but LATCHKEY_METHODS includes sms", remedy)


def sms_countries(settings: "Settings") -> Iterable[Problem]:
    """Toll fraud is possible in every country, so texts go only to countries the operator has listed."""
    named = "sms" in settings.methods and "methods" in settings.model_fields_set
    if named and settings.can_send_sms and not settings.sms_countries:
        remedy = "List the countries of your users' numbers, as in GB,DE, or remove sms from LATCHKEY_METHODS."
        yield problem("sms_countries", "is not set, but LATCHKEY_METHODS includes sms", remedy)
    if "UK" in settings.sms_countries:
        yield problem(
            "sms_countries", "contains UK, which isn't a country code of ISO 3166", "Use GB for the United Kingdom."
        )


def second_factors(settings: "Settings") -> Iterable[Problem]:
    """A required second factor must be one that people can set up."""
    if settings.second_factor == "required" and not {"authenticator", "sms"} & set(settings.methods):
        remedy = "Add authenticator to LATCHKEY_METHODS."
        yield problem("second_factor", "is required, but LATCHKEY_METHODS includes none to set up", remedy)


def own_machine(settings: "Settings") -> Iterable[Problem]:
    """Development mode relaxes cookies and displays mail, so it is restricted to this machine."""
    if not types.is_loopback(urlsplit(settings.public_url).hostname or ""):
        remedy = "Use http://localhost:8000, or set LATCHKEY_ENVIRONMENT=production (a .flaskenv sets development)."
        yield problem("public_url", "points to another machine, but LATCHKEY_ENVIRONMENT is development", remedy)


def passkey_places(settings: "Settings") -> Iterable[Problem]:
    """Passkeys only work for their own domain and over TLS. Anywhere else they would fail for everyone."""
    host = urlsplit(settings.public_url).hostname or ""
    if settings.passkey_rp_id and host and not f".{host}".endswith(f".{settings.rp_id}"):
        remedy = "Use the host of LATCHKEY_PUBLIC_URL, or a domain above it."
        yield problem("passkey_rp_id", f"is not the domain of {variable('public_url')}", remedy)
    if settings.passkey_origins and settings.origin not in settings.passkey_origins:
        yield problem("passkey_origins", f"doesn't include {variable('public_url')}", "Add it.")
    if settings.is_production and any(origin.startswith("http://") for origin in settings.passkey_origins):
        yield problem("passkey_origins", "has an origin without TLS", "List only https:// origins.")


def pooler(settings: "Settings") -> Iterable[Problem]:
    """What a connection pooler can't pass on must be configured elsewhere."""
    if settings.database_pooler == "off":
        return
    if settings.is_sqlite:
        yield problem("database_pooler", "is set, but the database is an SQLite file", "Unset it.")
    elif "options" in postgresql.parameters(settings.database_url):
        remedy = "Set them for the role instead: ALTER ROLE name SET search_path = auth"
        yield problem("database_url", "has options, which a pooler doesn't pass on", remedy)


def documents_on_loopback(settings: "Settings") -> Iterable[Problem]:
    """Anyone who chooses a document's URL could make us send requests to our own machine."""
    if settings.client_documents_loopback:
        yield problem("client_documents_loopback", "is on in production", "Unset it.")


def brand_images(settings: "Settings") -> Iterable[Problem]:
    """An invalid image would show as broken on every page."""
    for field in images.KINDS:
        if path := getattr(settings, field):
            try:
                images.read_image(field, path)
            except ValueError as error:
                yield problem(field, f"points to a file that {error}", "Use another file, or unset it.")
    if settings.brand_logo_dark and not settings.brand_logo:
        yield problem("brand_logo_dark", f"is set, but {variable('brand_logo')} isn't", "Set that one as well.")


def templates_folder(settings: "Settings") -> Iterable[Problem]:
    """If the folder is missing, the service would suddenly show the built-in templates."""
    # Not Path.is_dir, which raises if a parent folder isn't readable.
    if settings.templates_folder and not os.path.isdir(settings.templates_folder):
        yield problem("templates_folder", "isn't a folder that can be read", "Set it to your folder, or unset it.")


def brand_colors(settings: "Settings") -> Iterable[Problem]:
    """A color that makes button text or links unreadable locks people out."""
    for field, dark in (("brand_color", False), ("brand_color_dark", True)):
        color = getattr(settings, field)
        if color and (found := colors.unreadable(color, dark=dark)):
            yield problem(field, *found)


COMMON_RULES: tuple[Callable[["Settings"], Iterable[Problem]], ...] = (
    forward_auth,
    webhook_networks,
    mail_domains,
    order_of_times,
    rotation_of_keys,
    second_factors,
    registration_by_phone,
    passkey_places,
    mail_user,
    second_providers,
    pooler,
    brand_images,
    brand_colors,
    templates_folder,
)
PRODUCTION_RULES = (
    master_keys,
    public_address,
    debugging,
    database_file,
    mail_transport,
    sms_provider,
    sms_countries,
    documents_on_loopback,
)
DEVELOPMENT_RULES = (own_machine,)


def unread_variables(settings: "Settings") -> list[Problem]:
    """Return a warning for each variable that looks like a setting but isn't one."""
    names = environment.unknown_variables(type(settings).model_fields)
    return [
        Problem(name, "isn't a setting, so it is ignored", "docs/settings.md lists the settings.") for name in names
    ]


def warnings(settings: "Settings") -> list[Problem]:
    """Return warnings about settings that are allowed in production but weaker than possible; none in development."""
    if not settings.is_production:
        return []
    weak = {
        "limits": (not settings.limits, "is off: guesses and messages are not limited", "Turn it on."),
        "generic_responses": (
            not settings.generic_responses,
            "is off: responses reveal who has an account",
            "Turn it on.",
        ),
        "recovery_wait": (
            settings.recovery_wait < timedelta(hours=24),
            "is short: an owner who doesn't read email for a day can't cancel a recovery",
            "Set it to 259200 (72 hours).",
        ),
        "freshness_strength": (
            settings.freshness_strength == "any",
            "is any: an emailed code is enough to remove a stronger sign-in method",
            "Set it to as_strongest.",
        ),
        "hsts": (not settings.hsts, "is off: a browser's first visit may be without TLS", "Turn it on."),
        "mail_allow_plaintext": (settings.mail_allow_plaintext, "is on: mail may be sent without TLS", "Use TLS."),
        "email_code_lifetime": (
            settings.email_code_lifetime > LONG_MAIL_CODE,
            "is over 10 minutes",
            "Shorten it.",
        ),
        "sms_code_lifetime": (settings.sms_code_lifetime > LONG_SMS_CODE, "is over 5 minutes", "Shorten it."),
        "challenge_tries": (settings.challenge_tries > MANY_TRIES, "allows more than 5 guesses", "Lower it."),
        "sms_url": (settings.sms_url.startswith("http://"), PLAIN, "Use https://."),
        "sms_fallback_url": (settings.sms_fallback_url.startswith("http://"), PLAIN, "Use https://."),
    }
    found = [problem(field, what, remedy) for field, (applies, what, remedy) in weak.items() if applies]
    return [*_warnings_of_sms(settings), *found, *_warnings_of_forward_auth(settings)]


def _warnings_of_sms(settings: "Settings") -> Iterable[Problem]:
    if "sms" not in settings.methods:
        return
    if not settings.can_send_sms:
        what = "includes sms by default, but no SMS provider is set: sms is turned off"
        yield problem("methods", what, "Set LATCHKEY_SMS_URL.")
    elif not settings.sms_countries:
        yield problem("sms_countries", "is not set: sms is turned off", "List countries, as in GB,DE.")
    elif settings.phone_region_default not in settings.sms_countries:
        what = f"is not in {variable('sms_countries')}: numbers entered without + get a country that no SMS are sent to"
        yield problem("phone_region_default", what, "Set it to the country of most of your users.")


def _warnings_of_forward_auth(settings: "Settings") -> Iterable[Problem]:
    if settings.apps_file and not settings.forward_auth_proxies:
        what = f"is set, but {variable('forward_auth_proxies')} is empty: each request to an app gets 403"
        yield problem("apps_file", what, "List the addresses of your proxies.")
    if settings.forward_auth_cookie_domain:
        what = "is set: each app of the domain could use its visitors' cookie at the others"
        yield problem("forward_auth_cookie_domain", what, "Leave it empty unless the apps trust each other.")
