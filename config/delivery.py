"""Settings for outgoing messages: mail, SMS and the queue."""

from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, SecretStr

from config import types
from config.senders import OptionalAddress, Sender, written


def default_sender(fields: dict[str, Any]) -> str:
    """Return the brand name with no-reply at the public host, or at localhost when the host isn't a name."""
    host = urlsplit(fields.get("public_url") or "").hostname or "localhost"
    is_name = any(letter.isalpha() for letter in host) and ":" not in host
    return written(fields.get("brand_name") or "", f"no-reply@{host if is_name else 'localhost'}")


class DeliverySettings(BaseModel, defer_build=True):
    """Channels, and the queue that feeds them."""

    mail_url: Annotated[str, types.having_scheme("smtp", "smtp+starttls", "smtps")] = Field(
        default="",
        repr=False,
        description="Mail server: `smtp+starttls://user:password@host:587`, `smtps://...:465` or plain `smtp://host:25`.",
    )
    mail_fallback_url: Annotated[str, types.having_scheme("smtp", "smtp+starttls", "smtps")] = Field(
        default="",
        repr=False,
        description="Second mail server, as the first: it takes what the first can't.",
    )
    mail_sender: Sender = Field(
        default_factory=default_sender,
        max_length=254,
        description="Sender of every mail: an address, or `Name <address>`. Default: the brand, no-reply@ this host.",
    )
    support_mail: OptionalAddress = Field(
        default="",
        max_length=254,
        description="Address to which people write who can't take the second step and ask for help; empty: nobody.",
    )
    mail_allow_plaintext: bool = Field(default=False, description="Let mail leave without TLS in production.")
    mail_timeout: types.Duration = Field(
        default=timedelta(seconds=20),
        le=timedelta(minutes=5),
        description="How long a first try to send a mail may take until the mail server has it.",
    )
    mail_answer_timeout: types.Duration = Field(
        default=timedelta(minutes=10),
        le=timedelta(minutes=10),
        description="Longest wait for the mail server's answer to a mail that it has whole.",
    )
    sms_url: Annotated[str, types.having_scheme("http", "https")] = Field(
        default="", repr=False, description='Where an SMS is handed over: POST with the JSON body `{"to", "text"}`.'
    )
    sms_headers: types.Headers = Field(
        default=SecretStr(""),
        repr=False,
        description="Headers that go with it, as `X-Api-Key: secret`, one on each line.",
    )
    sms_success: types.Pattern = Field(
        default="",
        description="Regular expression that the body of an answer 2xx matches when the SMS was taken; empty: any.",
    )
    sms_provider: Literal["http", "twilio"] = Field(
        default="http", description="Who sends SMS: the SMS URL (`http`) or `twilio`."
    )
    sms_fallback_provider: Literal["http", "twilio"] = Field(
        default="http", description="Who is the second SMS provider: the second SMS URL (`http`) or `twilio`."
    )
    sms_fallback_url: Annotated[str, types.having_scheme("http", "https")] = Field(
        default="", repr=False, description="Second SMS provider, as the first: it takes what the first can't."
    )
    sms_fallback_headers: types.Headers = Field(
        default=SecretStr(""), repr=False, description="Headers that go with it, as for the first."
    )
    sms_fallback_success: types.Pattern = Field(
        default="", description="Regular expression of its answers, as for the first; empty: any."
    )
    sms_connect_timeout: types.Duration = Field(
        default=timedelta(seconds=3), description="Longest wait for a connection."
    )
    sms_timeout: types.Duration = Field(
        default=timedelta(seconds=10), description="Longest wait for the SMS provider in all."
    )
    twilio_account_sid: Annotated[types.Credential, Field(pattern="^[^:]*$")] = Field(
        default="", max_length=64, description="Account of Twilio."
    )
    twilio_auth_token: types.SecretCredential = Field(
        default=SecretStr(""), repr=False, description="Token of that account."
    )
    twilio_sender: types.Credential = Field(
        default="", max_length=64, description="Number or service from which Twilio sends."
    )
    twilio_url: Annotated[str, types.having_scheme("http", "https")] = Field(
        default="https://api.twilio.com", description="Where Twilio is reached."
    )
    queue_url: Annotated[str, types.having_scheme("sqlite", "redis", "rediss", "postgresql")] = Field(
        default="",
        repr=False,
        description="How workers are woken: `sqlite:///path` or empty on one machine, `redis://host/0`, `postgresql://...`.",
    )
    worker_threads: int = Field(
        default=16,
        ge=1,
        le=64,
        description="Messages one worker process delivers at a time.",
    )
    webhook_networks: types.Networks = Field(
        default=(),
        description="Private networks in which webhook endpoints may be, also by `http://`, as `10.1.0.0/16`.",
    )
    outbox_sweep_every: types.Duration = Field(
        default=timedelta(seconds=5),
        description="Time between two rounds of the worker's other work: notices, exports, erasures.",
    )
    outbox_keep: types.Duration = Field(
        default=timedelta(days=7), description="How long a finished message stays listed."
    )
    events_keep: types.Duration = Field(
        default=timedelta(days=365), description="How long an event stays in the audit log before it is deleted."
    )
