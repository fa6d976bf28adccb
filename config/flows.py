"""Settings for features: how people sign in, and where they are redirected afterwards."""

from functools import cached_property
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from config import types

Method = Annotated[str, Field(pattern="^[a-z_]{1,16}$")]
"""The valid methods are known only to the app, which rejects others on startup (``app.authenticators.registry``)."""
Attribute = Literal["email", "phone", "username"]
Methods = Annotated[tuple[Method, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]
Attributes = Annotated[tuple[Attribute, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]


class FlowSettings(BaseModel, defer_build=True):
    """Methods, identities and redirects."""

    methods: Methods = Field(
        default=("email", "sms", "authenticator"),
        min_length=1,
        description="Sign-in methods, in the order shown: `email`, `sms`, `authenticator`, `password`.",
    )
    identity_attributes: Attributes = Field(
        default=("email", "phone", "username"),
        min_length=1,
        description="What people may type into the identity box, in the order it is tried.",
    )
    phone_region_default: str = Field(
        default="US",
        pattern=r"^[A-Z]{2}$",
        description="Country (ISO 3166, two letters) of phone numbers typed without +.",
    )
    second_factor: Literal["off", "if_enrolled", "required"] = Field(
        default="if_enrolled",
        description="Whether a second step is asked for: never, of who has set one up, or of everybody.",
    )
    second_factor_for: Methods = Field(
        default=("password", "email", "sms"), description="First proofs after which it is asked for."
    )
    default_remember_me: bool = Field(
        default=False, description="Whether 'keep me signed in' is ticked when nobody chose."
    )
    generic_responses: bool = Field(default=True, description="Answer alike whether an account exists or not.")
    mail_unknown: bool = Field(
        default=False,
        description="Whether an address without an account that asks to sign in is told so, by a mail to it, where"
        " it can't create one.",
    )
    totp_issuer: str = Field(
        default="Latchkey",
        min_length=1,
        max_length=60,
        pattern=r"^[^\x00-\x1f:]+$",
        description="Name that an authenticator app shows beside its code.",
    )
    redirect_behavior: Literal["", "browser", "spa"] = Field(
        default="",
        description="What a click in a mail leads to: our own pages (empty or `browser`) or a front end (`spa`).",
    )
    post_login_url: types.Target = Field(default="/", min_length=1, description="Page after signing in.")
    post_logout_url: types.Target = Field(default="/", min_length=1, description="Page after signing out.")
    login_error_url: types.Target = Field(
        default="", description="Page of the front end that shows a sign-in link's failure."
    )
    post_register_url: types.Target = Field(default="", description="Page after asking for an account; empty: our own.")
    post_confirm_url: types.Target = Field(
        default="", description="Page after an address is confirmed; empty: our own."
    )
    confirm_error_url: types.Target = Field(
        default="", description="Page of the front end that shows a failed confirmation."
    )
    post_change_email_url: types.Target = Field(
        default="", description="Page after a change of address by its link; empty: the page after signing in."
    )
    change_email_error_url: types.Target = Field(
        default="", description="Page that shows a failed change of address; empty: our own."
    )
    emails_per_account: int = Field(default=5, ge=1, le=50, description="Email addresses an account may have.")
    post_verify_url: types.Target = Field(
        default="", description="Page after proving oneself again; empty: where one came from."
    )
    us_post_setup_url: types.Target = Field(
        default="", description="Page after a method was set up; empty: the set-up page."
    )

    @cached_property
    def front_ends(self) -> tuple[str, ...]:
        """The other origins that these settings redirect to after a form submission."""
        targets = (self.post_login_url, self.post_logout_url, self.post_register_url, self.post_confirm_url,
                   self.post_change_email_url, self.post_verify_url, self.us_post_setup_url,
                   self.login_error_url, self.confirm_error_url, self.change_email_error_url)  # fmt: skip
        parts = [types.split_url(target) for target in targets if "://" in target]
        return tuple(sorted({f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts}))
