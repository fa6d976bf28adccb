"""Settings for codes and limits: digits, lifetimes, budgets."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

from config import types

Country = Annotated[str, BeforeValidator(types.upper), Field(pattern=r"^[A-Z]{2}$")]
Countries = Annotated[tuple[Country, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]


class LimitSettings(BaseModel, defer_build=True):
    """Codes and links, rate limits, and how long a verification remains valid."""

    limits: bool = Field(default=True, description="Whether messages and failed attempts are counted and limited.")
    email_code_digits: int = Field(default=8, ge=6, le=8, description="Number of digits in an emailed code.")
    sms_code_digits: int = Field(default=6, ge=6, le=8, description="Number of digits in a texted code.")
    email_code_lifetime: types.Duration = Field(
        default=timedelta(minutes=10), description="Lifetime of an emailed code and its link."
    )
    sms_code_lifetime: types.Duration = Field(default=timedelta(minutes=5), description="Lifetime of a texted code.")
    challenge_tries: int = Field(
        default=5, ge=1, le=100, description="Number of wrong codes after which a challenge ends."
    )
    link_approval_tries: int = Field(
        default=2,
        ge=1,
        le=10,
        description="Maximum attempts to enter the characters that approve a link opened elsewhere.",
    )
    failures_per_hour: int = Field(
        default=10, ge=1, le=100, description="Maximum wrong codes per account per hour, from browsers it doesn't know."
    )
    failures_per_day: int = Field(
        default=25, ge=1, le=500, description="Maximum wrong codes per account per day, from browsers it doesn't know."
    )
    failures_in_a_row: int = Field(
        default=100,
        ge=1,
        le=1000,
        description="Number of consecutive wrong codes after which only a link or a known browser can be used to "
        "sign in.",
    )
    failures_in_a_row_rest: types.Duration = Field(
        default=timedelta(hours=24), description="Time without a wrong code after which codes are accepted again."
    )
    open_challenges: int = Field(default=5, ge=1, le=100, description="Maximum number of open challenges per account.")
    mail_resend_wait: types.DurationOrZero = Field(
        default=timedelta(seconds=30), description="Minimum time between two emails for the same challenge."
    )
    sms_resend_wait: types.DurationOrZero = Field(
        default=timedelta(seconds=60), description="Minimum time between two text messages for the same challenge."
    )
    mails_per_hour: int = Field(default=5, ge=1, description="Maximum emails with codes to one account per hour.")
    mails_per_day: int = Field(default=20, ge=1, description="Maximum emails with codes to one account per day.")
    sms_per_hour: int = Field(default=3, ge=1, description="Maximum text messages to one number per hour.")
    sms_per_day: int = Field(default=6, ge=1, description="Maximum text messages to one number per day.")
    sms_known_browser: int = Field(
        default=3, ge=0, description="Additional text messages per day for browsers that the account knows."
    )
    sms_setups_per_hour: int = Field(
        default=5, ge=1, description="Maximum text messages per hour with which one account can set up phone numbers."
    )
    mails_per_hour_overall: int = Field(
        default=0,
        ge=0,
        description="Maximum emails with codes to all accounts per hour; 0: the number of accounts, but at least 600.",
    )
    sms_per_day_overall: int = Field(default=200, ge=1, description="Maximum text messages to all numbers per day.")
    overall_kept_percent: int = Field(
        default=50,
        ge=0,
        le=99,
        description="Percentage of these two limits that is reserved for sign-ins by people with a verified address.",
    )
    sms_countries: Countries = Field(
        default=(),
        description="Countries (ISO 3166) that text messages are sent to, such as `GB,DE`; if empty, all in "
        "development and none in production.",
    )
    sms_breaker_sends: int = Field(
        default=50,
        ge=1,
        description="Number of text messages per hour to one country or number range from which their use is checked.",
    )
    sms_breaker_percent: int = Field(
        default=20,
        ge=0,
        le=100,
        description="Minimum percentage of the codes sent there that must be used; below it, text messages there "
        "are stopped.",
    )
    sms_breaker_rest: types.Duration = Field(
        default=timedelta(hours=1), description="How long text messages there are stopped."
    )
    starts_per_address: int = Field(
        default=20, ge=1, description="Maximum codes requested from one network address per window."
    )
    exchanges_per_address: int = Field(
        default=1000, ge=1, description="Maximum refresh token exchanges from one network address per window."
    )
    failures_per_address: int = Field(
        default=30, ge=1, description="Maximum failed attempts from one network address per window."
    )
    address_window: types.Duration = Field(
        default=timedelta(minutes=10), description="Length of the window for the limits per network address."
    )
    denied_penalty: types.DurationOrZero = Field(
        default=timedelta(minutes=10),
        description="How long a network address can't request or enter codes after someone reported one of its "
        "requests.",
    )
    address_shared_share: int = Field(
        default=5,
        ge=1,
        description="Maximum code requests, and failed attempts, per window from all clients without a readable "
        "address together.",
    )
    recovery_wait: types.Duration = Field(
        default=timedelta(hours=72),
        description="Waiting period before an account can be recovered with only its mailbox.",
    )
    recovery_starts: int = Field(
        default=3, ge=0, le=100, description="Maximum recoveries started per account in 30 days; 0 turns recovery off."
    )
    us_setup_within: types.Duration = Field(
        default=timedelta(minutes=10), description="Time limit for setting up a sign-in method."
    )
    second_factor_within: types.Duration = Field(
        default=timedelta(minutes=10), description="Time limit for the second step after the first factor."
    )
    trust_for: types.DurationOrZero = Field(
        default=timedelta(days=30), description="How long a trusted browser isn't asked for the second step."
    )
    confirm_email_within: types.Duration = Field(
        default=timedelta(hours=24), description="Time limit for confirming the address of a new account."
    )
    change_email_within: types.Duration = Field(
        default=timedelta(hours=2), description="Time limit for confirming an address that is added to an account."
    )
    change_undo_within: types.Duration = Field(
        default=timedelta(hours=72), description="How long a change of email addresses can be undone from the old ones."
    )
    freshness: types.Duration = Field(
        default=timedelta(seconds=300),
        description="How long after a verification sensitive actions are allowed without another one.",
    )
    freshness_strength: Literal["as_strongest", "any"] = Field(
        default="as_strongest",
        description="What that verification must be: as strong as the person's strongest method (`as_strongest`), "
        "or `any` method.",
    )
    new_method_wait: types.DurationOrZero = Field(
        default=timedelta(hours=24),
        description="How long a new sign-in method counts only as much as the emailed code that added it, if the "
        "account has a stronger one.",
    )
    freshness_grace_period: types.DurationOrZero = Field(
        default=timedelta(0), description="How long after a sensitive action the next one requires no verification."
    )
    session_idle: types.Duration = Field(default=timedelta(days=7), description="Idle time after which a session ends.")
    session_absolute: types.Duration = Field(default=timedelta(days=30), description="Maximum lifetime of a session.")
    two_factor_idle: types.Duration = Field(
        default=timedelta(hours=1),
        description="Idle time after which a session with two factors counts as one with a single factor.",
    )
    two_factor_absolute: types.Duration = Field(
        default=timedelta(hours=24),
        description="Time after the verification of two factors after which this happens even if the session is in "
        "use.",
    )
    token_max_age: types.Duration = Field(
        default=timedelta(minutes=15), description="Lifetime of an API client's authentication token."
    )
    refresh_tokens: bool = Field(
        default=True, description="Whether API clients can request and exchange refresh tokens."
    )
    refresh_absolute: types.Duration = Field(
        default=timedelta(days=30),
        description="Maximum lifetime of a refresh token and all tokens it is exchanged for.",
    )
    refresh_idle: types.Duration = Field(
        default=timedelta(days=7), description="Time without an exchange after which a refresh token expires."
    )
    personal_tokens: int = Field(
        default=20, ge=0, le=200, description="Maximum number of API tokens per account; 0 turns them off."
    )
    personal_token_max_age: types.Duration = Field(
        default=timedelta(days=365), ge=timedelta(days=1), description="Maximum lifetime of an API token."
    )
    csrf_lifetime: types.Duration = Field(default=timedelta(hours=24), description="Lifetime of a form's CSRF token.")
    password_blocklist: str = Field(
        default="",
        description="Path of a file with passwords to reject in addition to common ones, one per line, such as "
        "leaked passwords.",
    )
    imported_password_salt: types.SecretText = Field(
        default=SecretStr(""),
        repr=False,
        description="`SECURITY_PASSWORD_SALT` of the Flask-Security service that accounts are imported from.",
    )
    password_length_min: int = Field(
        default=15, ge=8, le=128, description="Minimum length of a password, in characters."
    )
