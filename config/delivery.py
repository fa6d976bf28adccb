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
        description="Fallback mail server, in the same format, for emails that the first one can't accept.",
    )
    mail_sender: Sender = Field(
        default_factory=default_sender,
        max_length=254,
        description="Sender of all emails: an address, or `Name <address>`. By default, the brand's name and "
        "no-reply@ the public host.",
    )
    support_mail: OptionalAddress = Field(
        default="",
        max_length=254,
        description="Address that people can write to for help if they can't complete the second step; if empty, none.",
    )
    mail_allow_plaintext: bool = Field(default=False, description="Allow sending mail without TLS in production.")
    mail_timeout: types.Duration = Field(
        default=timedelta(seconds=20),
        le=timedelta(minutes=5),
        description="Time limit of the first attempt to send an email, until the mail server has received it.",
    )
    mail_answer_timeout: types.Duration = Field(
        default=timedelta(minutes=10),
        le=timedelta(minutes=10),
        description="Maximum wait for the mail server's response after it has received the whole email.",
    )
    sms_url: Annotated[str, types.having_scheme("http", "https")] = Field(
        default="",
        repr=False,
        description='URL to which text messages are posted, with the JSON body `{"to", "text"}`.',
    )
    sms_headers: types.Headers = Field(
        default=SecretStr(""),
        repr=False,
        description="HTTP headers of these requests, such as `X-Api-Key: secret`, one per line.",
    )
    sms_success: types.Pattern = Field(
        default="",
        description="Regular expression that the body of a 2xx response matches if the message was accepted; if "
        "empty, any body does.",
    )
    sms_provider: Literal["http", "twilio"] = Field(
        default="http", description="SMS provider: the SMS URL (`http`) or `twilio`."
    )
    sms_fallback_provider: Literal["http", "twilio"] = Field(
        default="http", description="Fallback SMS provider: the fallback SMS URL (`http`) or `twilio`."
    )
    sms_fallback_url: Annotated[str, types.having_scheme("http", "https")] = Field(
        default="",
        repr=False,
        description="Fallback SMS URL, in the same format, for messages that the first provider can't accept.",
    )
    sms_fallback_headers: types.Headers = Field(
        default=SecretStr(""),
        repr=False,
        description="HTTP headers of requests to the fallback SMS URL, in the same format.",
    )
    sms_fallback_success: types.Pattern = Field(
        default="",
        description="Regular expression for responses from the fallback SMS URL; if empty, any body matches.",
    )
    sms_connect_timeout: types.Duration = Field(
        default=timedelta(seconds=3), description="Maximum wait for a connection to the SMS provider."
    )
    sms_timeout: types.Duration = Field(
        default=timedelta(seconds=10), description="Maximum total duration of a request to the SMS provider."
    )
    twilio_account_sid: Annotated[types.Credential, Field(pattern="^[^:]*$")] = Field(
        default="", max_length=64, description="Twilio account SID."
    )
    twilio_auth_token: types.SecretCredential = Field(
        default=SecretStr(""), repr=False, description="Twilio auth token of that account."
    )
    twilio_sender: types.Credential = Field(
        default="", max_length=64, description="Phone number or messaging service that Twilio sends from."
    )
    twilio_url: Annotated[str, types.having_scheme("http", "https")] = Field(
        default="https://api.twilio.com", description="Base URL of the Twilio API."
    )
    queue_url: Annotated[str, types.having_scheme("sqlite", "redis", "rediss", "postgresql")] = Field(
        default="",
        repr=False,
        description="How workers are notified of new messages: `sqlite:///path` or empty on one machine, "
        "`redis://host/0`, `postgresql://...`.",
    )
    worker_threads: int = Field(
        default=16,
        ge=1,
        le=64,
        description="Number of messages that a worker process delivers at the same time.",
    )
    webhook_networks: types.Networks = Field(
        default=(),
        description="Private networks in which webhook endpoints may be, with `http://` too, such as `10.1.0.0/16`.",
    )
    outbox_sweep_every: types.Duration = Field(
        default=timedelta(seconds=5),
        description="Interval of the worker's other work: notices, exports, erasures.",
    )
    outbox_keep: types.Duration = Field(
        default=timedelta(days=7), description="How long a finished message remains listed."
    )
    events_keep: types.Duration = Field(
        default=timedelta(days=365), description="How long events are kept in the audit log."
    )
