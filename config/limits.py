"""Settings for codes and limits: digits, lifetimes, budgets."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr

from config import types

Country = Annotated[str, BeforeValidator(types.upper), Field(pattern=r"^[A-Z]{2}$")]
Countries = Annotated[tuple[Country, ...], BeforeValidator(types.read_list), AfterValidator(types.unique)]


class LimitSettings(BaseModel, defer_build=True):
    """Codes and links, rate limits, and how long a verification remains valid."""

    limits: bool = Field(default=True, description="Whether sends and failures are counted and stopped.")
    email_code_digits: int = Field(default=8, ge=6, le=8, description="Digits of a mailed code.")
    sms_code_digits: int = Field(default=6, ge=6, le=8, description="Digits of a code sent by SMS.")
    email_code_lifetime: types.Duration = Field(
        default=timedelta(minutes=10), description="Life of a mailed code and its link."
    )
    sms_code_lifetime: types.Duration = Field(default=timedelta(minutes=5), description="Life of a code sent by SMS.")
    challenge_tries: int = Field(default=5, ge=1, le=100, description="Wrong codes after which a challenge ends.")
    link_approval_tries: int = Field(
        default=2, ge=1, le=10, description="Tries at the characters that approve a link opened elsewhere."
    )
    failures_per_hour: int = Field(
        default=10, ge=1, le=100, description="Wrong codes for one account in an hour, from browsers it does not know."
    )
    failures_per_day: int = Field(default=25, ge=1, le=500, description="The same in a day.")
    failures_in_a_row: int = Field(
        default=100, ge=1, le=1000, description="Wrong codes in a row after which only a link or known browser helps."
    )
    failures_in_a_row_rest: types.Duration = Field(
        default=timedelta(hours=24), description="Time without a wrong code after which that ends."
    )
    open_challenges: int = Field(
        default=5, ge=1, le=100, description="Challenges of one account that are open at once, at most."
    )
    mail_resend_wait: types.DurationOrZero = Field(
        default=timedelta(seconds=30), description="Time between two mails of one challenge."
    )
    sms_resend_wait: types.DurationOrZero = Field(
        default=timedelta(seconds=60), description="Time between two SMS of one challenge."
    )
    mails_per_hour: int = Field(default=5, ge=1, description="Mails with codes to one account in an hour.")
    mails_per_day: int = Field(default=20, ge=1, description="Mails with codes to one account in a day.")
    sms_per_hour: int = Field(default=3, ge=1, description="SMS to one number in an hour.")
    sms_per_day: int = Field(default=6, ge=1, description="SMS to one number in a day.")
    sms_known_browser: int = Field(
        default=3, ge=0, description="SMS in a day that browsers the account knows have besides."
    )
    sms_setups_per_hour: int = Field(
        default=5, ge=1, description="SMS in an hour by which one account sets numbers up."
    )
    mails_per_hour_overall: int = Field(
        default=0,
        ge=0,
        description="Mails with codes to all accounts in an hour; 0: as many as there are accounts, at least 600.",
    )
    sms_per_day_overall: int = Field(default=200, ge=1, description="SMS to all numbers in a day.")
    overall_kept_percent: int = Field(
        default=50, ge=0, le=99, description="Share of both (in %) kept for sign-ins of people with a proved address."
    )
    sms_countries: Countries = Field(
        default=(),
        description="Countries (ISO 3166) that SMS go to, as `GB,DE`; empty: all in development, else none.",
    )
    sms_breaker_sends: int = Field(
        default=50, ge=1, description="SMS to one country, or range of numbers, in an hour that make it worth a look."
    )
    sms_breaker_percent: int = Field(
        default=20, ge=0, le=100, description="Share of them (in %) that must be used, or else they are stopped."
    )
    sms_breaker_rest: types.Duration = Field(default=timedelta(hours=1), description="For how long.")
    starts_per_address: int = Field(
        default=20, ge=1, description="Codes asked for from one network address in a window."
    )
    exchanges_per_address: int = Field(
        default=1000, ge=1, description="Exchanges of refresh tokens from one network address in a window."
    )
    failures_per_address: int = Field(default=30, ge=1, description="Failures from one network address in a window.")
    address_window: types.Duration = Field(default=timedelta(minutes=10), description="That window.")
    denied_penalty: types.DurationOrZero = Field(
        default=timedelta(minutes=10),
        description="Time in which a network address gets and tries no codes after one of its requests was denied.",
    )
    address_shared_share: int = Field(
        default=5,
        ge=1,
        description="Starts, and failures, that all callers without a readable address share in a window.",
    )
    recovery_wait: types.Duration = Field(
        default=timedelta(hours=72), description="Wait before an account can be recovered by its mailbox alone."
    )
    recovery_starts: int = Field(
        default=3, ge=0, le=100, description="Recoveries of one account that may be started in 30 days; 0: none at all."
    )
    us_setup_within: types.Duration = Field(
        default=timedelta(minutes=10), description="Time to finish setting up a method."
    )
    second_factor_within: types.Duration = Field(
        default=timedelta(minutes=10), description="Time to take the second step after the first proof."
    )
    trust_for: types.DurationOrZero = Field(
        default=timedelta(days=30), description="Time in which a trusted browser is not asked for the second step."
    )
    confirm_email_within: types.Duration = Field(
        default=timedelta(hours=24), description="Time to confirm a new address."
    )
    change_email_within: types.Duration = Field(
        default=timedelta(hours=2), description="Time to confirm an address that is to be confirmed as your own."
    )
    change_undo_within: types.Duration = Field(
        default=timedelta(hours=72), description="How long a change of addresses can be undone by the old ones."
    )
    freshness: types.Duration = Field(
        default=timedelta(seconds=300), description="Age of a proof at which a sensitive step asks for a new one."
    )
    freshness_strength: Literal["as_strongest", "any"] = Field(
        default="as_strongest",
        description="What that proof must be: `as_strongest` of what the person has set up, or `any` of it.",
    )
    new_method_wait: types.DurationOrZero = Field(
        default=timedelta(hours=24),
        description="Time in which a method counts no more than the mailed code that added it beside a stronger one.",
    )
    freshness_grace_period: types.DurationOrZero = Field(
        default=timedelta(0), description="Time after a sensitive step in which the next one asks for nothing."
    )
    session_idle: types.Duration = Field(
        default=timedelta(days=7), description="Time unused after which a session ends."
    )
    session_absolute: types.Duration = Field(
        default=timedelta(days=30), description="Age at which a session ends anyway."
    )
    two_factor_idle: types.Duration = Field(
        default=timedelta(hours=1), description="Time unused after which a session counts as one factor's again."
    )
    two_factor_absolute: types.Duration = Field(
        default=timedelta(hours=24), description="Time after proving two factors at which it does so anyway."
    )
    token_max_age: types.Duration = Field(default=timedelta(minutes=15), description="Life of a program's token.")
    refresh_tokens: bool = Field(
        default=True, description="Whether programs that ask are given refresh tokens, and can exchange them."
    )
    refresh_absolute: types.Duration = Field(
        default=timedelta(days=30), description="Age at which a refresh token, with all it was exchanged for, ends."
    )
    refresh_idle: types.Duration = Field(
        default=timedelta(days=7), description="Time without an exchange after which it ends."
    )
    personal_tokens: int = Field(
        default=20, ge=0, le=200, description="Personal tokens that one account can have at once; 0: none work at all."
    )
    personal_token_max_age: types.Duration = Field(
        default=timedelta(days=365), ge=timedelta(days=1), description="Longest life that a personal token is given."
    )
    csrf_lifetime: types.Duration = Field(default=timedelta(hours=24), description="Life of the token in a form.")
    password_blocklist: str = Field(
        default="",
        description="File of passwords that are refused besides the common ones, one a line, as of stolen ones.",
    )
    imported_password_salt: types.SecretText = Field(
        default=SecretStr(""),
        repr=False,
        description="SECURITY_PASSWORD_SALT of the Flask-Security service that accounts are imported from.",
    )
    password_length_min: int = Field(default=15, ge=8, le=128, description="Characters of a password, at least.")
