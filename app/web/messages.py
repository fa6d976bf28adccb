"""Messages: one for each stable code.

A sentence tells what happened and what to do next. Programs read the code beside it.
"""

from __future__ import annotations

from typing import Any

from app.i18n import N_, gettext

MESSAGES = {
    # sign in
    "generic_authn_failed": N_("That did not work. Check what you typed, or ask for a new code and try again."),
    "us_specify_identity": N_("We do not know that address, number or name. Check it, or open an account."),
    "identity_invalid": N_("That isn't {kinds}. Check it for typos and try again."),
    "us_method_not_available": N_("That way of signing in is not available here. Choose another one."),
    "invalid_password_code": N_("That code didn't work. Check it and try again."),
    "totp_clock_off": N_("That code is for another time. Check your phone's clock, then type the code it shows now."),
    "invalid_code": N_("This link does not work any more. Ask for a new one and use the latest mail."),
    "link_elsewhere": N_("This link works in the browser that asked for it. Type the characters that it shows."),
    "link_characters_wrong": N_("Those are not the characters. Look at the screen where you started, and try again."),
    "link_refused": N_("This request has ended, because its link was opened and turned down. Ask for a new code."),
    "link_not_approved": N_(
        "Nobody has typed the characters yet. Open the link in the mail and type them there first."
    ),
    "link_expired": N_("This link is too old. Ask for a new one and use it within {minutes} minutes."),
    "denial_unsure": N_("Tick the box first. It keeps machines that read mails from ending this for you."),
    "denial_invalid": N_("This link is too old, or not whole. Sign in to see what happened to your account."),
    "disabled_account": N_("This account is switched off. Ask whoever runs this service."),
    "confirmation_required": N_("Confirm your address first: open the mail we sent you, or ask for it again."),
    "passwordless_login_successful": N_("You are signed in."),
    "anonymous_user_required": N_("You are signed in already. Sign out first to do this."),
    "unauthenticated": N_("Sign in to go on."),
    "reauthentication_required": N_("Confirm it's you to continue."),
    "reauthentication_too_weak": N_("For this change, confirm with {methods}."),
    "reauthentication_successful": N_("Thanks for confirming. You can continue."),
    "reauthentication_partial": N_("Confirmed. You can add sign-in methods now; other changes still need {methods}."),
    "signed_out": N_("You are signed out."),
    "session_ended": N_("That session has ended. Whoever was signed in there is out."),
    "sessions_ended": N_("You are signed out everywhere else."),
    "no_other_sessions": N_("You were not signed in anywhere else."),
    "browser_forgotten": N_(
        "That browser is forgotten. Signing in there will be news, and you will get a mail about it."
    ),
    "browser_distrusted": N_("Signing in from that browser asks for your second step again."),
    # my data
    "export_requested": N_("Your data is being put together. A mail tells you when you can fetch it here."),
    "deletion_requested": N_("Your account is closed, and will be deleted on {day}. Our message says how to keep it."),
    "deletion_unsure": N_("Tick the box first, so that nobody closes an account by a slip."),
    "undo_unsure": N_("Tick the box first. It keeps machines that read mails from deciding this for you."),
    "undo_invalid": N_("This link is too old, or not whole. An account that was deleted can't be brought back."),
    "export_under_way": N_("An export is being made already. Wait for it; it takes a minute or two."),
    # the second step
    "two_factor_permission_denied": N_("There is no sign-in under way here, or it took too long. Start again."),
    "two_factor_invalid_token": N_("That code did not work. Check it, and mind that a code from an app works once."),
    "two_factor_ended": N_("That was one wrong code too many, so this sign-in has ended. Start again."),
    "invalid_recovery_code": N_("That recovery code did not work. Check it, and mind that each works once."),
    "two_factor_login_successful": N_("You are signed in."),
    "two_factor_method_not_available": N_("That can not be a second step here. Choose another one."),
    "two_factor_setup_expired": N_("Setting up the second step took too long. Start again; nothing was changed."),
    "two_factor_only_way": N_("A second step needs a first one of another kind. Add another way to sign in first."),
    "two_factor_set_up": N_("From now on, signing in asks for a second step."),
    "two_factor_disabled": N_("Signing in asks for no second step any more."),
    "recovery_proof_old": N_("It is a while since you proved your mailbox. Ask for a new code."),
    "recovery_capped": N_("This account was recovered, or was to be, as often as it may be in 30 days."),
    "recovery_not_ready": N_("The wait is not over yet. Come back when it is."),
    "recovery_over": N_("That recovery has ended: it was cancelled, or its time is over. Nothing has changed."),
    "recovery_cancelled": N_("The recovery is cancelled. Your account is as it was."),
    "recovery_none": N_("There is no recovery under way any more."),
    "recovery_done": N_("Your account is yours again. Set up a second way in now, and make recovery codes."),
    # set up
    "us_setup_expired": N_("Setting this up took too long. Start again; nothing was changed."),
    "us_setup_successful": N_("This way of signing in is ready."),
    "method_removed": N_("This way of signing in is gone."),
    "last_second_factor": N_("Everybody here takes a second step, and this is your last one. Add another first."),
    "last_method": N_("This is your last way to sign in. Add another one before you remove it."),
    "phone_invalid": N_("That is not a phone number we can use. Write it with the country code, like +44 7400 123456."),
    "phone_country_unavailable": N_("We send no texts to that country. Use another number or another way to sign in."),
    "identity_already_associated": N_("That belongs to an account already. Use another one."),
    # authenticator apps
    "authenticator_renamed": N_("The app has its new name."),
    "authenticator_removed": N_("The app was removed. Delete the entry in the app as well; its codes no longer work."),
    "authenticator_name_required": N_("Give the app a name."),
    "authenticator_name_inuse": N_("You already have an app called {name}. Choose another name."),
    "authenticator_name_disallowed_characters": N_("That name has characters that can't be seen. Leave them out."),
    "authenticator_not_found": N_("You don't have that app any more. Reload the page to see your apps."),
    "authenticator_too_many": N_("You can have up to {most} authenticator apps. Remove one first."),
    # passkeys
    "webauthn_added": N_("This passkey is ready. Next time it lets you in without a code."),
    "webauthn_renamed": N_("The passkey has its new name."),
    "webauthn_removed": N_("That passkey is gone. Delete it on your device as well; it opens nothing here any more."),
    "webauthn_name_required": N_("Give the passkey a name."),
    "webauthn_name_inuse": N_("You have a passkey called {name} already. Choose another name."),
    "webauthn_name_not_found": N_("You have no passkey of that name."),
    "webauthn_name_disallowed_characters": N_("Use letters, digits and signs that can be seen."),
    "invalid_input": N_("Leave out < and >."),
    "invalid_input_length": N_("Use at most {length} characters."),
    "webauthn_too_many": N_("You have {most} passkeys, and more cannot be kept. Remove one first."),
    "webauthn_credential_id_inuse": N_("This passkey is set up already."),
    "webauthn_unknown_credential_id": N_("We do not know that passkey. Use another one, or another way to sign in."),
    "webauthn_mismatch_user_handle": N_("That passkey belongs to another account."),
    "webauthn_credential_wrong_usage": N_("That passkey is a second step alone. Begin with another way to sign in."),
    "webauthn_counter_regressed": N_(
        "It looks as if that passkey was copied. Use another way to sign in, and remove it."
    ),
    "webauthn_in_cooldown": N_(
        "This passkey is too new to be your second step. Use an older one, or try again tomorrow."
    ),
    "webauthn_backup_changed": N_(
        "This passkey changed in a way passkeys can't. Sign in another way, then replace it."
    ),
    "webauthn_expired": N_("That took too long. Try it once more."),
    "webauthn_wrong_ceremony": N_("That answer was meant for another step. Try it once more."),
    "webauthn_wrong_challenge": N_("That answer belongs to another request. Try it once more."),
    "webauthn_wrong_origin": N_("That passkey was used on another site. Look at the address before you go on."),
    "webauthn_wrong_signature": N_("That passkey could not be checked. Try it once more, or use another way."),
    "webauthn_not_present": N_("Nobody touched the passkey. Try it once more."),
    "webauthn_no_verify": N_(
        "This passkey did not ask for your PIN, finger or face. Use one that does, or another way."
    ),
    # programs
    "token_created": N_("The token is made. Copy it now: it is not shown again."),
    "token_revoked": N_("That token opens nothing any more."),
    "tokens_revoked": N_("No personal token of yours opens anything any more."),
    "token_name_invalid": N_("A name has 1 to 64 characters, all of them visible."),
    "token_scope_unknown": N_("Choose what the token may be used for, out of what there is."),
    "token_age_invalid": N_("A token lives 1 to {most} days."),
    "too_many_tokens": N_("You have {most} tokens, and more are not possible. Revoke one that you no longer need."),
    "refresh_token_invalid": N_("This token can't be exchanged, or no longer. Sign in again."),
    "refresh_token_reused": N_("This token was exchanged before, so the session has ended. Sign in again."),
    "token_not_accepted": N_("A personal token opens nothing at this address."),
    "scope_missing": N_("This token may not be used for that. It would need the scope {scope}."),
    # register and confirm
    "confirm_registration": N_("Almost done: we sent a mail to {email}. Enter its code here or follow its link."),
    "email_already_associated": N_("{email} belongs to an account already. Sign in instead."),
    "invalid_email_address": N_("That is not an e-mail address. Check it for slips, like a missing dot or @."),
    "email_not_provided": N_("Enter your e-mail address."),
    "password_not_provided": N_("Enter a password."),
    "password_invalid_length": N_("A password needs at least {length} characters. A short sentence is a good one."),
    "password_too_long": N_("A password can have at most {length} characters."),
    "password_too_common": N_("That password is too easy to guess. Choose another one."),
    "retype_password_mismatch": N_("The two passwords differ. Enter the same one twice."),
    "user_does_not_exist": N_("We do not know that address. Check it, or open an account."),
    "already_confirmed": N_("This address is confirmed already. You can sign in."),
    "email_confirmed": N_("Thank you, your address is confirmed."),
    "confirmation_expired": N_("This link is too old. We can send a new one: enter your address."),
    "invalid_confirmation_token": N_("This link does not work. We can send a new one: enter your address."),
    "confirm_generic": N_("If that address waits to be confirmed, a mail is on its way to it."),
    "registration_closed": N_("New accounts are opened by whoever runs this service. Ask there."),
    # addresses
    "change_email_confirmed": N_("Thank you. Your address is changed."),
    "change_email_expired": N_("This took too long. Ask for a new mail; your address was not changed."),
    "address_added": N_("Thank you. The address is yours to use."),
    "address_primary": N_("That is your primary address now."),
    "identity_removed": N_("It is removed, and signs nobody in any more."),
    "username_set": N_("That is your username now."),
    "too_many_addresses": N_("An account can have {most} addresses. Remove one before you add another."),
    "not_yours": N_("That is not one of yours. Look at the list and try again."),
    "address_needed": N_("Codes to sign in go there. Add another address, or remove the code by mail first."),
    "last_address": N_("Nothing would be left to reach you by. Add another address or number first."),
    "username_invalid": N_("A username has 3 to 32 small letters, digits, . _ or -, and some names are kept for us."),
    "usernames_off": N_("There are no usernames here."),
    "change_undo_invalid": N_("This link is too old, or not whole. Sign in to look at your addresses."),
    "undo_taken": N_(
        "Another account has the old address by now, so it can't come back. Ask whoever runs this service."
    ),
    # forms
    "required": N_("This field is required."),
    "invalid_choice": N_("That is not one of the choices."),
    "api_error": N_("This could not be read. Check it and try again."),
    "invalid_redirect": N_("We do not send people to that place. Leave it out, or use a path of this site."),
    "csrf_token_missing": N_("This form had lost its protection. Please send it once more."),
    "csrf_session_token_missing": N_("Your browser sent no cookie of ours. Allow cookies for this site and try again."),
    "csrf_token_invalid": N_("This form belongs to another visit. Please send it once more."),
    "csrf_token_expired": N_("This page was open for a long time. Please send it once more."),
    "csrf_origin_foreign": N_("This form came from another site, so we did not act on it."),
    "idempotency_key_invalid": N_("An Idempotency-Key has {shortest} to {longest} characters, and is hard to guess."),
    "idempotency_key_reused": N_("This Idempotency-Key was used for another request. Draw a new one for each."),
    # the service
    "bad_request": N_("This request could not be read."),
    "json_invalid": N_("The body is not valid JSON."),
    "json_not_an_object": N_("The body must be one JSON object."),
    "host_unknown": N_("This service does not answer under that name."),
    "not_found": N_("There is nothing at this address. Check it, or start again from the first page."),
    "method_not_allowed": N_("This address does not take that kind of request."),
    "request_entity_too_large": N_("This request is too large or has too many fields. Send less, then try again."),
    "unsupported_media_type": N_("Send this as a form or as JSON."),
    "too_many_requests": N_("That was a lot in a short time. Wait a moment, then try again."),
    "too_many_messages": N_(
        "Too many messages went to this address or number. Look for one that has arrived, or wait."
    ),
    "internal_server_error": N_("Something went wrong on our side and nothing was changed. Try again in a moment."),
    "service_unavailable": N_("The service is busy or being mended, and nothing was changed. Try again in a moment."),
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
    return Message(gettext(MESSAGES[code], **facts), code)


def code_of(text: str) -> str:
    """Return the code that ``text`` carries; ``invalid_input`` for a library's own sentence."""
    return getattr(text, "code", "invalid_input")
