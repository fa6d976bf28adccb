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
        description="Sign-in methods, in the order they are shown: `email`, `sms`, `authenticator`, `password`.",
    )
    identity_attributes: Attributes = Field(
        default=("email", "phone", "username"),
        min_length=1,
        description="What people can enter in the sign-in field, in the order in which it is tried.",
    )
    phone_region_default: str = Field(
        default="US",
        pattern=r"^[A-Z]{2}$",
        description="Country (ISO 3166, two letters) of phone numbers entered without `+`.",
    )
    second_factor: Literal["off", "if_enrolled", "required"] = Field(
        default="if_enrolled",
        description="Who is asked for a second step: nobody, people who have set one up, or everyone.",
    )
    second_factor_for: Methods = Field(
        default=("password", "email", "sms"), description="First factors that require a second step."
    )
    default_remember_me: bool = Field(default=False, description='Whether "Keep me signed in" is selected by default.')
    generic_responses: bool = Field(
        default=True, description="Give the same response whether or not an account exists."
    )
    mail_unknown: bool = Field(
        default=False,
        description="Whether to send an email to an address that has no account and can't create one when someone "
        "tries to sign in with it.",
    )
    totp_issuer: str = Field(
        default="Latchkey",
        min_length=1,
        max_length=60,
        pattern=r"^[^\x00-\x1f:]+$",
        description="Name that authenticator apps show next to the code.",
    )
    redirect_behavior: Literal["", "browser", "spa"] = Field(
        default="",
        description="Where links in emails lead: to Latchkey's own pages (empty or `browser`) or to a front end "
        "(`spa`).",
    )
    post_login_url: types.Target = Field(default="/", min_length=1, description="Page to redirect to after signing in.")
    post_logout_url: types.Target = Field(
        default="/", min_length=1, description="Page to redirect to after signing out."
    )
    login_error_url: types.Target = Field(
        default="", description="Page of the front end that shows why a sign-in link failed."
    )
    post_register_url: types.Target = Field(
        default="", description="Page to redirect to after requesting an account; if empty, the built-in one."
    )
    post_confirm_url: types.Target = Field(
        default="", description="Page to redirect to after an address is confirmed; if empty, the built-in one."
    )
    confirm_error_url: types.Target = Field(
        default="", description="Page of the front end that shows why a confirmation failed."
    )
    post_change_email_url: types.Target = Field(
        default="",
        description="Page to redirect to after an address is changed with the emailed link; if empty, the page "
        "after signing in.",
    )
    change_email_error_url: types.Target = Field(
        default="", description="Page that shows why an address couldn't be changed; if empty, the built-in one."
    )
    emails_per_account: int = Field(
        default=5, ge=1, le=50, description="Maximum number of email addresses per account."
    )
    post_verify_url: types.Target = Field(
        default="", description="Page to redirect to after reauthentication; if empty, the page the person came from."
    )
    us_post_setup_url: types.Target = Field(
        default="", description="Page to redirect to after a sign-in method is set up; if empty, the setup page."
    )

    @cached_property
    def front_ends(self) -> tuple[str, ...]:
        """The other origins that these settings redirect to after a form submission."""
        targets = (self.post_login_url, self.post_logout_url, self.post_register_url, self.post_confirm_url,
                   self.post_change_email_url, self.post_verify_url, self.us_post_setup_url,
                   self.login_error_url, self.confirm_error_url, self.change_email_error_url)  # fmt: skip
        parts = [types.split_url(target) for target in targets if "://" in target]
        return tuple(sorted({f"{part.scheme}://{part.netloc.rpartition('@')[2]}" for part in parts}))
