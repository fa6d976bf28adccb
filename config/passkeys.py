"""Settings for passkeys: the domain they belong to, and what is required of them."""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from config import types
from config.service import ServiceSettings

Origin = Annotated[str, AfterValidator(types.read_origin)]
Origins = Annotated[tuple[Origin, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]


class PasskeySettings(ServiceSettings, defer_build=True):
    """Passkeys (Web Authentication, Level 3)."""

    passkeys: bool = Field(default=True, description="Whether people can sign in with passkeys.")
    passkey_rp_id: Annotated[str, BeforeValidator(types.read_host)] = Field(
        default="",
        max_length=253,
        pattern=r"^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$",
        description="Domain that passkeys belong to; if empty, the host of the public URL.",
    )
    passkey_origins: Origins = Field(
        default=(),
        description="Origins from which passkey responses are accepted; if empty, only the origin of the public URL.",
    )
    passkey_user_verification: Literal["required", "preferred"] = Field(
        default="required",
        description="What is required of a passkey used on its own to sign in: a PIN or biometrics (`required`), or "
        "only a touch (`preferred`).",
    )
    passkey_counter: Literal["refuse", "note"] = Field(
        default="refuse",
        description="What to do with a passkey whose signature counter goes backwards: reject it (`refuse`), or "
        "only record it (`note`).",
    )

    passkey_starts_per_address: int = Field(
        default=300, ge=1, description="Maximum passkey requests from one network address per window."
    )

    @property
    def rp_id(self) -> str:
        """The relying party ID: the domain that passkeys are created for and that their responses hash."""
        return self.passkey_rp_id or urlsplit(self.public_url).hostname or ""

    @property
    def webauthn_origins(self) -> tuple[str, ...]:
        """The exact origins whose responses are accepted."""
        return self.passkey_origins or (self.origin,)

    @property
    def can_use_passkeys(self) -> bool:
        """Browsers can create passkeys here: that needs a domain, not a bare address (Web Authentication, 5.1.2)."""
        return self.passkeys and bool(self.rp_id) and not is_address(self.rp_id)


def is_address(host: str) -> bool:
    """Return whether ``host`` is an IP address instead of a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
