"""Settings for bounced mail."""

import base64
import binascii
import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

from config import types
from config.senders import OptionalAddress

TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}\Z")
MIN_SECRET_LENGTH = 16


def check_topic(text: str) -> str:
    """Accept the ARN of an SNS topic."""
    if not TOPIC.match(text):
        raise ValueError("a topic must be an ARN, such as arn:aws:sns:eu-west-1:123456789012:bounces")
    return text


def check_secret(secret: SecretStr) -> SecretStr:
    """Reject secrets that are short enough to guess."""
    if secret.get_secret_value() and len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
        raise ValueError(f"it has fewer than {MIN_SECRET_LENGTH} characters: generate one with openssl rand -hex 32")
    return secret


def check_public_key(text: str) -> str:
    """Accept an elliptic-curve public key as base64-encoded DER, with or without PEM header and footer."""
    if not text:
        return text
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_der_public_key

    plain = "".join(line for line in text.split() if not line.startswith("-----") and line not in PEM_WORDS)
    try:
        key = load_der_public_key(base64.b64decode(plain, validate=True))
    except (ValueError, binascii.Error, TypeError):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("it is not the verification key that SendGrid shows")
    return plain


def check_mailbox(address: str) -> str:
    """Accept an address whose local part leaves room for a suffix: the limit is 64 characters (RFC 5321)."""
    if len(address.rpartition("@")[0]) > 12:
        raise ValueError("the part before its @ has more than 12 characters")
    return address


PEM_WORDS = ("PUBLIC", "KEY-----")
Topic = Annotated[str, AfterValidator(check_topic)]
Topics = Annotated[tuple[Topic, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]
Secret = Annotated[types.SecretCredential, AfterValidator(check_secret)]
PublicKey = Annotated[str, AfterValidator(check_public_key)]


class BounceSettings(BaseModel, defer_build=True):
    """Who may report bounces, and how they affect an address."""

    bounces_postmark_secret: Secret = Field(
        default=SecretStr(""),
        repr=False,
        description="Password with which Postmark posts to `/hooks/mail/postmark`; if empty, that URL is disabled.",
    )
    bounces_ses_topics: Topics = Field(
        default=(),
        description="ARNs of the SNS topics that post to `/hooks/mail/ses`; if empty, that URL is disabled.",
    )
    bounces_mailgun_key: Secret = Field(
        default=SecretStr(""),
        repr=False,
        description="Mailgun's HTTP webhook signing key, for `/hooks/mail/mailgun`; if empty, that URL is disabled.",
    )
    bounces_sendgrid_key: PublicKey = Field(
        default="",
        description="SendGrid's verification key, for `/hooks/mail/sendgrid`; if empty, that URL is disabled.",
    )
    mail_bounce_address: Annotated[OptionalAddress, AfterValidator(check_mailbox)] = Field(
        default="",
        description="Address that undeliverable emails are returned to, such as `bounce@example.com`; if empty, the "
        "sender.",
    )
    suppress_for: types.Duration = Field(
        default=timedelta(days=90),
        description="How long no email is sent to an address after a hard bounce or a complaint.",
    )
    soft_bounces: int = Field(
        default=5, ge=1, le=100, description="Number of soft bounces after which no email is sent to an address."
    )
    soft_bounce_span: types.Duration = Field(
        default=timedelta(days=7),
        description="Period in which soft bounces are counted, and for which they then suppress the address.",
    )
