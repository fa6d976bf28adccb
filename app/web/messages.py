"""Messages: one for each stable code.

A sentence tells what happened and what to do next. Programs read the code beside it.
"""

from __future__ import annotations

from typing import Any

MESSAGES = {
    # sign in
    "generic_authn_failed": "That did not work. Check what you typed, or ask for a new code and try again.",
    "us_specify_identity": "We do not know that address, number or name. Check it, or open an account.",
    "identity_invalid": "That isn't {kinds}. Check it for typos and try again.",
    "us_method_not_available": "That way of signing in is not available here. Choose another one.",
    "invalid_password_code": "That code didn't work. Check it and try again.",
    "totp_clock_off": "That code is for another time. Check your phone's clock, then type the code it shows now.",
    "invalid_code": "This link does not work any more. Ask for a new one and use the latest mail.",
    "link_elsewhere": "This link works in the browser that asked for it. Type the characters that it shows.",
    "link_characters_wrong": "Those are not the characters. Look at the screen where you started, and try again.",
    "link_refused": "This request has ended, because its link was opened and turned down. Ask for a new code.",
    "link_not_approved": "Nobody has typed the characters yet. Open the link in the mail and type them there first.",
    "link_expired": "This link is too old. Ask for a new one and use it within {minutes} minutes.",
    "denial_unsure": "Tick the box first. It keeps machines that read mails from ending this for you.",
    "denial_invalid": "This link is too old, or not whole. Sign in to see what happened to your account.",
    "disabled_account": "This account is switched off. Ask whoever runs this service.",
    "confirmation_required": "Confirm your address first: open the mail we sent you, or ask for it again.",
    "passwordless_login_successful": "You are signed in.",
    "anonymous_user_required": "You are signed in already. Sign out first to do this.",
    "unauthenticated": "Sign in to go on.",
    "reauthentication_required": "Confirm it's you to continue.",
    "reauthentication_too_weak": "For this change, confirm with {methods}.",
    "reauthentication_successful": "Thanks for confirming. You can continue.",
    "reauthentication_partial": "Confirmed. You can add sign-in methods now; other changes still need {methods}.",
    "signed_out": "You are signed out.",
    "session_ended": "That session has ended. Whoever was signed in there is out.",
    "sessions_ended": "You are signed out everywhere else.",
    "no_other_sessions": "You were not signed in anywhere else.",
    "browser_forgotten": "That browser is forgotten. Signing in there will be news, and you will get a mail about it.",
    "browser_distrusted": "Signing in from that browser asks for your second step again.",
    # my data
    "export_requested": "Your data is being put together. A mail tells you when you can fetch it here.",
    "deletion_requested": "Your account is closed, and will be deleted on {day}. Our message says how to keep it.",
    "deletion_unsure": "Tick the box first, so that nobody closes an account by a slip.",
    "undo_unsure": "Tick the box first. It keeps machines that read mails from deciding this for you.",
    "undo_invalid": "This link is too old, or not whole. An account that was deleted can't be brought back.",
    "export_under_way": "An export is being made already. Wait for it; it takes a minute or two.",
    # the second step
    "two_factor_permission_denied": "There is no sign-in under way here, or it took too long. Start again.",
    "two_factor_invalid_token": "That code did not work. Check it, and mind that a code from an app works once.",
    "two_factor_ended": "That was one wrong code too many, so this sign-in has ended. Start again.",
    "invalid_recovery_code": "That recovery code did not work. Check it, and mind that each works once.",
    "two_factor_login_successful": "You are signed in.",
    "two_factor_method_not_available": "That can not be a second step here. Choose another one.",
    "two_factor_setup_expired": "Setting up the second step took too long. Start again; nothing was changed.",
    "two_factor_only_way": "A second step needs a first one of another kind. Add another way to sign in first.",
    "two_factor_set_up": "From now on, signing in asks for a second step.",
    "two_factor_disabled": "Signing in asks for no second step any more.",
    "recovery_proof_old": "It is a while since you proved your mailbox. Ask for a new code.",
    "recovery_capped": "This account was recovered, or was to be, as often as it may be in 30 days.",
    "recovery_not_ready": "The wait is not over yet. Come back when it is.",
    "recovery_over": "That recovery has ended: it was cancelled, or its time is over. Nothing has changed.",
    "recovery_cancelled": "The recovery is cancelled. Your account is as it was.",
    "recovery_none": "There is no recovery under way any more.",
    "recovery_done": "Your account is yours again. Set up a second way in now, and make recovery codes.",
    # set up
    "us_setup_expired": "Setting this up took too long. Start again; nothing was changed.",
    "us_setup_successful": "This way of signing in is ready.",
    "method_removed": "This way of signing in is gone.",
    "last_second_factor": "Everybody here takes a second step, and this is your last one. Add another first.",
    "last_method": "This is your last way to sign in. Add another one before you remove it.",
    "phone_invalid": "That is not a phone number we can use. Write it with the country code, like +44 7400 123456.",
    "phone_country_unavailable": "We send no texts to that country. Use another number or another way to sign in.",
    "identity_already_associated": "That belongs to an account already. Use another one.",
    # authenticator apps
    "authenticator_renamed": "The app has its new name.",
    "authenticator_removed": "The app was removed. Delete the entry in the app as well; its codes no longer work.",
    "authenticator_name_required": "Give the app a name.",
    "authenticator_name_inuse": "You already have an app called {name}. Choose another name.",
    "authenticator_name_disallowed_characters": "That name has characters that can't be seen. Leave them out.",
    "authenticator_not_found": "You don't have that app any more. Reload the page to see your apps.",
    "authenticator_too_many": "You can have up to {most} authenticator apps. Remove one first.",
    # passkeys
    "webauthn_added": "This passkey is ready. Next time it lets you in without a code.",
    "webauthn_renamed": "The passkey has its new name.",
    "webauthn_removed": "That passkey is gone. Delete it on your device as well; it opens nothing here any more.",
    "webauthn_name_required": "Give the passkey a name.",
    "webauthn_name_inuse": "You have a passkey called {name} already. Choose another name.",
    "webauthn_name_not_found": "You have no passkey of that name.",
    "webauthn_name_disallowed_characters": "Use letters, digits and signs that can be seen.",
    "invalid_input": "Leave out < and >.",
    "invalid_input_length": "Use at most {length} characters.",
    "webauthn_too_many": "You have {most} passkeys, and more cannot be kept. Remove one first.",
    "webauthn_credential_id_inuse": "This passkey is set up already.",
    "webauthn_unknown_credential_id": "We do not know that passkey. Use another one, or another way to sign in.",
    "webauthn_mismatch_user_handle": "That passkey belongs to another account.",
    "webauthn_credential_wrong_usage": "That passkey is a second step alone. Begin with another way to sign in.",
    "webauthn_counter_regressed": "It looks as if that passkey was copied. Use another way to sign in, and remove it.",
    "webauthn_in_cooldown": "This passkey is too new to be your second step. Use an older one, or try again tomorrow.",
    "webauthn_backup_changed": "This passkey changed in a way passkeys can't. Sign in another way, then replace it.",
    "webauthn_expired": "That took too long. Try it once more.",
    "webauthn_wrong_ceremony": "That answer was meant for another step. Try it once more.",
    "webauthn_wrong_challenge": "That answer belongs to another request. Try it once more.",
    "webauthn_wrong_origin": "That passkey was used on another site. Look at the address before you go on.",
    "webauthn_wrong_signature": "That passkey could not be checked. Try it once more, or use another way.",
    "webauthn_not_present": "Nobody touched the passkey. Try it once more.",
    "webauthn_no_verify": "This passkey did not ask for your PIN, finger or face. Use one that does, or another way.",
    # programs
    "token_created": "The token is made. Copy it now: it is not shown again.",
    "token_revoked": "That token opens nothing any more.",
    "tokens_revoked": "No personal token of yours opens anything any more.",
    "token_name_invalid": "A name has 1 to 64 characters, all of them visible.",
    "token_scope_unknown": "Choose what the token may be used for, out of what there is.",
    "token_age_invalid": "A token lives 1 to {most} days.",
    "too_many_tokens": "You have {most} tokens, and more are not possible. Revoke one that you no longer need.",
    "refresh_token_invalid": "This token can't be exchanged, or no longer. Sign in again.",
    "refresh_token_reused": "This token was exchanged before, so the session has ended. Sign in again.",
    "token_not_accepted": "A personal token opens nothing at this address.",
    "scope_missing": "This token may not be used for that. It would need the scope {scope}.",
    # register and confirm
    "confirm_registration": "Almost done: we sent a mail to {email}. Enter its code here or follow its link.",
    "email_already_associated": "{email} belongs to an account already. Sign in instead.",
    "invalid_email_address": "That is not an e-mail address. Check it for slips, like a missing dot or @.",
    "email_not_provided": "Enter your e-mail address.",
    "password_not_provided": "Enter a password.",
    "password_invalid_length": "A password needs at least {length} characters. A short sentence is a good one.",
    "password_too_long": "A password can have at most {length} characters.",
    "password_too_common": "That password is too easy to guess. Choose another one.",
    "retype_password_mismatch": "The two passwords differ. Enter the same one twice.",
    "user_does_not_exist": "We do not know that address. Check it, or open an account.",
    "already_confirmed": "This address is confirmed already. You can sign in.",
    "email_confirmed": "Thank you, your address is confirmed.",
    "confirmation_expired": "This link is too old. We can send a new one: enter your address.",
    "invalid_confirmation_token": "This link does not work. We can send a new one: enter your address.",
    "confirm_generic": "If that address waits to be confirmed, a mail is on its way to it.",
    "registration_closed": "New accounts are opened by whoever runs this service. Ask there.",
    # addresses
    "change_email_confirmed": "Thank you. Your address is changed.",
    "change_email_expired": "This took too long. Ask for a new mail; your address was not changed.",
    "address_added": "Thank you. The address is yours to use.",
    "address_primary": "That is your primary address now.",
    "identity_removed": "It is removed, and signs nobody in any more.",
    "username_set": "That is your username now.",
    "too_many_addresses": "An account can have {most} addresses. Remove one before you add another.",
    "not_yours": "That is not one of yours. Look at the list and try again.",
    "address_needed": "Codes to sign in go there. Add another address, or remove the code by mail first.",
    "last_address": "Nothing would be left to reach you by. Add another address or number first.",
    "username_invalid": "A username has 3 to 32 small letters, digits, . _ or -, and some names are kept for us.",
    "usernames_off": "There are no usernames here.",
    "change_undo_invalid": "This link is too old, or not whole. Sign in to look at your addresses.",
    "undo_taken": "Another account has the old address by now, so it can't come back. Ask whoever runs this service.",
    # forms
    "required": "This field is required.",
    "invalid_choice": "That is not one of the choices.",
    "api_error": "This could not be read. Check it and try again.",
    "invalid_redirect": "We do not send people to that place. Leave it out, or use a path of this site.",
    "csrf_token_missing": "This form had lost its protection. Please send it once more.",
    "csrf_session_token_missing": "Your browser sent no cookie of ours. Allow cookies for this site and try again.",
    "csrf_token_invalid": "This form belongs to another visit. Please send it once more.",
    "csrf_token_expired": "This page was open for a long time. Please send it once more.",
    "csrf_origin_foreign": "This form came from another site, so we did not act on it.",
    "idempotency_key_invalid": "An Idempotency-Key has {shortest} to {longest} characters, and is hard to guess.",
    "idempotency_key_reused": "This Idempotency-Key was used for another request. Draw a new one for each.",
    # the service
    "bad_request": "This request could not be read.",
    "json_invalid": "The body is not valid JSON.",
    "json_not_an_object": "The body must be one JSON object.",
    "host_unknown": "This service does not answer under that name.",
    "not_found": "There is nothing at this address. Check it, or start again from the first page.",
    "method_not_allowed": "This address does not take that kind of request.",
    "request_entity_too_large": "This request is too large or has too many fields. Send less, then try again.",
    "unsupported_media_type": "Send this as a form or as JSON.",
    "too_many_requests": "That was a lot in a short time. Wait a moment, then try again.",
    "too_many_messages": "Too many messages went to this address or number. Look for one that has arrived, or wait.",
    "internal_server_error": "Something went wrong on our side and nothing was changed. Try again in a moment.",
    "service_unavailable": "The service is busy or being mended, and nothing was changed. Try again in a moment.",
}


class Message(str):
    """A sentence for a person that carries the stable code a program reads."""

    code: str

    def __new__(cls, text: str, code: str) -> Message:
        """Join ``text`` with its ``code``."""
        sentence = super().__new__(cls, text)
        sentence.code = code
        return sentence


def message(code: str, **facts: Any) -> Message:
    """Return the sentence of ``code`` with ``facts`` filled in. Raises KeyError for a code without one."""
    return Message(MESSAGES[code].format(**facts), code)


def code_of(text: str) -> str:
    """Return the code that ``text`` carries; ``invalid_input`` for a library's own sentence."""
    return getattr(text, "code", "invalid_input")
