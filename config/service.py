"""Settings for the service as a whole: its addresses, database, logs and request limits."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from config import postgresql, types
from config.languages import LANGUAGES, check_language

Hosts = Annotated[tuple[types.Host, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]
Languages = Annotated[
    tuple[Annotated[str, AfterValidator(check_language)], ...],
    BeforeValidator(types.read_list),
    AfterValidator(types.unique),
]
Keys = Annotated[tuple[types.SecretText, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]
Level = Literal["debug", "info", "warning", "error", "critical"]

LOCAL_URL = "http://localhost:8000"


def default_public_url(fields: dict[str, Any]) -> str:
    """Return the local address in development. In production only the operator knows the address."""
    return LOCAL_URL if fields.get("environment") == "development" else ""


def default_log_format(fields: dict[str, Any]) -> Literal["json", "text"]:
    """Return ``text`` in development, where people read the log, and ``json`` in production, where programs do."""
    return "text" if fields.get("environment") == "development" else "json"


def check_database_url(url: str) -> str:
    """Accept a URL whose parameters the driver knows, to find errors now rather than at the first connection."""
    if url.startswith("postgresql"):
        postgresql.parameters(url)
    elif "?" in url and not url.startswith("sqlite:///file:"):
        raise ValueError("a sqlite:// URL has no parameters")
    return url


class ServiceSettings(BaseModel, defer_build=True):
    """The service and its infrastructure."""

    environment: Literal["development", "production"] = Field(
        default="production",
        description="Environment: `production` rejects unsafe settings, `development` works only on this machine.",
    )
    database_url: Annotated[
        str, types.having_scheme("sqlite", "postgresql", "postgresql+psycopg"), AfterValidator(check_database_url)
    ] = Field(
        default="sqlite:///var/latchkey.db",
        repr=False,
        description="Database URL: `sqlite:///path` or `postgresql://user:password@host/name` (libpq syntax).",
    )
    database_pooler: Literal["off", "transaction"] = Field(
        default="off",
        description="Set it to `transaction` if PostgreSQL is behind a pooler, such as PgBouncer, in transaction mode.",
    )
    secret_keys: Keys = Field(
        default=(),
        repr=False,
        description="Master keys of at least 32 bytes each, separated by commas. The first one is used for new "
        "data, all of them for reading.",
    )
    public_url: types.OptionalAddress = Field(
        default_factory=default_public_url,
        validate_default=True,
        description="URL at which people reach the service. All links in emails begin with it.",
    )
    allowed_hosts: Hosts = Field(
        default=(), description="Additional host names that are accepted in requests, as `host` or `host:port`."
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Number of proxies in front of Latchkey whose forwarded headers are trusted, counted from the "
        "right.",
    )
    languages: Languages = Field(
        default=tuple(LANGUAGES),
        min_length=1,
        description="Languages that pages and messages are available in, separated by commas.",
    )
    log_level: Annotated[Level, BeforeValidator(types.lower)] = Field(
        default="info", description="Minimum level of the lines that are logged."
    )
    log_format: Literal["json", "text"] = Field(
        default_factory=default_log_format, description="Log format: `json` for machines, `text` for a terminal."
    )
    replica_name: str = Field(
        default="",
        max_length=60,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of this machine or container in logs and `flask doctor`; if empty, its host name.",
    )
    metrics_listen: Annotated[str, AfterValidator(types.check_listener)] = Field(
        default="",
        description="Address at which Prometheus reads metrics, such as `127.0.0.1:9464` or "
        "`unix:/run/latchkey/metrics.sock`; if empty, metrics are off.",
    )
    redis_url: Annotated[str, types.having_scheme("redis", "rediss", "unix")] = Field(
        default="",
        repr=False,
        description="Redis in which all replicas count requests per network address; if empty, each process counts "
        "on its own.",
    )
    replicas: int = Field(
        default=2,
        ge=1,
        le=1000,
        description="Number of server processes that count together in Redis. While Redis is unavailable, each "
        "applies its share of the limits.",
    )
    statement_timeout: types.Duration = Field(
        default=timedelta(seconds=5),
        description="Maximum wait for the database or its lock; after that, the response is 503.",
    )
    pool_size: int = Field(
        default=16, ge=1, le=200, description="Maximum number of open database connections per process."
    )
    body_limit: int = Field(
        default=65536, ge=1024, le=10_485_760, description="Maximum size of a request body, in bytes."
    )
    json_depth: int = Field(default=32, ge=2, le=200, description="Maximum nesting depth of a JSON body.")
    csrf_cookie_name: Annotated[str, AfterValidator(types.cookie_name)] = Field(
        default="",
        max_length=60,
        description="Name of a cookie from which this site's scripts can read the CSRF token, such as `XSRF-TOKEN`; "
        "if empty, none.",
    )
    hsts: bool = Field(default=True, description="Tell browsers to use only HTTPS for a year, for subdomains too.")

    @property
    def origin(self) -> str:
        """scheme://host[:port] of the public address."""
        return types.parts_of_address(self.public_url)[0]

    @property
    def sub_path(self) -> str:
        """The path of the public address, such as "/auth"; "" when the service is at the root of its host."""
        return types.parts_of_address(self.public_url)[1]
