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
        description="Where this runs. `production` refuses unsafe settings; `development` works on this machine alone.",
    )
    database_url: Annotated[
        str, types.having_scheme("sqlite", "postgresql", "postgresql+psycopg"), AfterValidator(check_database_url)
    ] = Field(
        default="sqlite:///var/latchkey.db",
        repr=False,
        description="Database: `sqlite:///path` or `postgresql://user:password@host/name`, as libpq reads it.",
    )
    database_pooler: Literal["off", "transaction"] = Field(
        default="off",
        description="Whether a pooler such as PgBouncer, in `transaction` mode, stands before PostgreSQL.",
    )
    secret_keys: Keys = Field(
        default=(),
        repr=False,
        description="Master keys, 32 bytes or more each, separated by commas. The first one writes, all of them read.",
    )
    public_url: types.OptionalAddress = Field(
        default_factory=default_public_url,
        validate_default=True,
        description="Address under which people reach the service. Every link in a mail begins with it.",
    )
    allowed_hosts: Hosts = Field(
        default=(), description="Further host names that requests may carry, as `host` or `host:port`."
    )
    trusted_proxies: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Number of proxies in front whose forwarded headers are believed, from the right.",
    )
    languages: Languages = Field(
        default=tuple(LANGUAGES),
        min_length=1,
        description="Languages that pages and messages are offered in, separated by commas.",
    )
    log_level: Annotated[Level, BeforeValidator(types.lower)] = Field(
        default="info", description="Least important line logged."
    )
    log_format: Literal["json", "text"] = Field(
        default_factory=default_log_format, description="`json` for machines, `text` for a terminal."
    )
    replica_name: str = Field(
        default="",
        max_length=60,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Name of this machine or container in logs and `flask doctor`; empty: its host name.",
    )
    metrics_listen: Annotated[str, AfterValidator(types.check_listener)] = Field(
        default="",
        description="Where figures for Prometheus are read, as `127.0.0.1:9464` or `unix:/run/latchkey/metrics.sock`;"
        " empty: nowhere.",
    )
    redis_url: Annotated[str, types.having_scheme("redis", "rediss", "unix")] = Field(
        default="",
        repr=False,
        description="Redis that all replicas share for counting per address; empty: each process counts.",
    )
    replicas: int = Field(
        default=2,
        ge=1,
        le=1000,
        description="Server processes that count together in Redis; while it is away each has so small a share.",
    )
    statement_timeout: types.Duration = Field(
        default=timedelta(seconds=5), description="Longest wait for the database or its lock; then the answer is 503."
    )
    pool_size: int = Field(default=16, ge=1, le=200, description="Open database connections of one process, at most.")
    body_limit: int = Field(default=65536, ge=1024, le=10_485_760, description="Bytes in a request's body, at most.")
    json_depth: int = Field(default=32, ge=2, le=200, description="Levels of nesting in a JSON body, at most.")
    csrf_cookie_name: Annotated[str, AfterValidator(types.cookie_name)] = Field(
        default="",
        max_length=60,
        description="Name of a cookie in which scripts of this site read the CSRF token, as `XSRF-TOKEN`; empty: none.",
    )
    hsts: bool = Field(
        default=True, description="Tell browsers to come by HTTPS only, for a year, sub-domains included."
    )

    @property
    def origin(self) -> str:
        """scheme://host[:port] of the public address."""
        return types.parts_of_address(self.public_url)[0]

    @property
    def sub_path(self) -> str:
        """The path of the public address, such as "/auth"; "" when the service is at the root of its host."""
        return types.parts_of_address(self.public_url)[1]
