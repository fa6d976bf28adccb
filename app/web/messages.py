"""User-facing messages, one for each stable code.

A message says what happened and what to do next. API clients use the code instead.
"""

from __future__ import annotations

from typing import Any

from app.i18n import N_, gettext

MESSAGES = {
    # sign in
    "generic_authn_failed": N_("That code didn't work. Check it and try again, or request a new one."),
    "us_specify_identity": N_("We couldn't find that account. Check for typos, or create an account."),
    "identity_invalid": N_("That isn't {kinds}. Check it for typos and try again."),
    "us_method_not_available": N_("You can't sign in that way here. Choose another sign-in method."),
    "invalid_password_code": N_("That code didn't work. Check it and try again."),
    "totp_clock_off": N_("That code is for another time. Check your phone's clock, then enter the code it shows now."),
    "invalid_code": N_("This link is no longer valid. Request a new one and use the latest email."),
    "link_elsewhere": N_("This link was requested in another browser. Enter the characters shown there."),
    "link_characters_wrong": N_("Those characters don't match. Check the screen where you started and try again."),
    "link_refused": N_("This sign-in was canceled from the email's link. Request a new code."),
    "link_not_approved": N_("This sign-in isn't approved yet. Open the link in the email and enter the characters."),
    "link_expired": N_("This link has expired. Request a new one and use it within {minutes} minutes."),
    "denial_unsure": N_("Check the box to confirm. It keeps email scanners from canceling this for you."),
    "denial_invalid": N_("This link is invalid or has expired. Sign in to see recent activity on your account."),
    "disabled_account": N_("This account is disabled. Contact support."),
    "confirmation_required": N_("Confirm your email first. Open the email we sent you, or request a new one."),
    "passwordless_login_successful": N_("You're signed in."),
    "anonymous_user_required": N_("You're already signed in. Sign out first to do this."),
    "unauthenticated": N_("Sign in to continue."),
    "reauthentication_required": N_("Confirm it's you to continue."),
    "reauthentication_too_weak": N_("For this change, confirm with {methods}."),
    "reauthentication_successful": N_("Thanks for confirming. You can continue."),
    "reauthentication_partial": N_("Confirmed. You can add sign-in methods now; other changes still need {methods}."),
    "signed_out": N_("You're signed out."),
    "session_ended": N_("That device is signed out."),
    "sessions_ended": N_("You're signed out everywhere else."),
    "no_other_sessions": N_("You weren't signed in anywhere else."),
    "browser_forgotten": N_("Browser forgotten. We'll email you the next time someone signs in from it."),
    "browser_distrusted": N_("We'll ask for two-step verification on that browser again."),
    # your data
    "export_requested": N_("We're preparing your data. We'll email you when you can download it here."),
    "deletion_requested": N_("Your account is closed and will be deleted on {day}. To keep it, see our message."),
    "deletion_unsure": N_("Check the box to confirm that you want to delete your account."),
    "undo_unsure": N_("Check the box to confirm. It keeps email scanners from doing this for you."),
    "undo_invalid": N_("This link is invalid or has expired. A deleted account can't be restored."),
    "export_under_way": N_("We're already preparing an export. It takes a minute or two."),
    # administrators
    "not_administrator": N_("Only administrators can open this. Ask an administrator if you need access."),
    "last_administrator": N_(
        "This is the last administrator who can sign in. Make someone else an administrator first."
    ),
    "admin_link_invalid": N_("This link is invalid, was used or has expired. Create another: flask users admin --link"),
    "person_disabled": N_("Account disabled. All its sessions have ended."),
    "person_enabled": N_("Account enabled. Its owner can sign in again."),
    "person_unlocked": N_("The limit of failed codes and passwords has been reset."),
    "person_mail_resumed": N_("Email is sent to this account again."),
    "person_signed_out": N_("Signed out everywhere."),
    "person_session_ended": N_("That session has ended."),
    "person_second_step_off": N_(
        "Two-step verification is off, and all sessions have ended. The owner has been notified."
    ),
    "person_second_step_was_off": N_("No two-step verification was set up."),
    "person_deleting": N_("The account is closed and will be deleted on {day}. Its owner has been notified."),
    "person_kept": N_("The account is kept. Its owner can sign in again."),
    "person_erased": N_("The account is being deleted, with everything stored about its owner."),
    "person_unsure": N_("Check the box to confirm. This can't be undone."),
    "person_recovery_canceled": N_("The recovery is canceled."),
    "person_is_administrator": N_("This account is an administrator now."),
    "person_no_administrator": N_("This account is no longer an administrator."),
    "person_in_group": N_("Added to {group}."),
    "person_not_in_group": N_("Removed from {group}."),
    "not_yourself": N_("You can't do this to your own account here. Ask another administrator."),
    "messages_retried": N_("Messages that will be sent again: {count}."),
    "messages_retried_more": N_(
        "Messages that will be sent again: {count}. There are more: repeat this once they've been sent."
    ),
    "message_not_retried": N_("This message can't be sent again. It wasn't given up, has expired or was deleted."),
    "group_name_invalid": N_("Use lower-case letters, digits, dots, hyphens and underscores, at most 63."),
    "group_title_invalid": N_("Enter a title of at most 120 visible characters."),
    "group_exists": N_("There's already a group called {group}."),
    "group_created": N_("Group {group} created."),
    "group_deleted": N_("Group {group} deleted."),
    "too_large_here": N_("There's too much to delete for this page. Use the command: {command}"),
    "client_invalid": N_("That can't be used: {reason}"),
    "client_exists": N_("There's already a client called {client}. Choose another ID."),
    "client_of_file": N_("This client is in the clients file. Change it there, and restart."),
    "client_without_secret": N_("This client has no secret."),
    "client_disabled": N_("{client} is disabled. Its tokens no longer work."),
    "client_enabled": N_("{client} is enabled."),
    "client_deleted": N_("{client} is deleted."),
    "person_unknown": N_("There's no account {identity}. Check it for typos."),
    "date_invalid": N_("Enter a date such as 2026-11-29."),
    "unknown_group": N_("There is no group {group}."),
    # apps
    "app_removed": N_("{app} no longer has access to your account."),
    "oauth_client_unknown": N_("We don't know the app that sent you here. Tell the people who run it."),
    "oauth_client_checking": N_("We're still checking the app that sent you here. Try again in a moment."),
    "oauth_redirect_unknown": N_("The app asked to send you to an address we don't know. Tell the people who run it."),
    "oauth_logout_invalid": N_("We couldn't read the app's request to sign you out. Tell the people who run it."),
    "oauth_request_over": N_("This request has expired or was completed. Go back to the app and try again."),
    "app_sign_in_required": N_("Sign in to use {app}."),
    "app_nothing_sent": N_(
        "You need to sign in again, so nothing was sent. Do it in another tab, then send this again."
    ),
    "app_token_refused": N_(
        "This API token can't be used for {app}. Check that it's active and has the scope for apps."
    ),
    "app_not_allowed": N_("Your account isn't in a group that may use {app}. Ask the people who run it to add you."),
    "app_part_closed": N_("This part of {app} isn't open to anyone."),
    "app_cross_site": N_(
        "Another site tried to send something to {app}, so it was stopped. Try again from {app} itself."
    ),
    "app_ticket_invalid": N_("This sign-in to {app} took too long or was used before. Try again."),
    "app_cookies_needed": N_("{app} couldn't recognize this browser. Allow cookies for {app}, then try again."),
    "app_domain_refused": N_(
        "You can't be signed in to {app}: your browser keeps no cookie for its domain. Tell the people who run it."
    ),
    "app_leave_confirm": N_("A link on another site led here. You stay signed in until you confirm."),
    "app_entry_unknown": N_("We don't know the app that sent you here. Tell the people who run it."),
    "app_host_unknown": N_("This address isn't set up for sign-in. Tell the people who run it."),
    "app_request_unreadable": N_("The proxy in front of this site couldn't be understood. Tell the people who run it."),
    "app_proxy_unknown": N_("The proxy in front of this site isn't known here. Tell the people who run it."),
    "device_code_wrong": N_("We don't know that code. Check it on your device's screen and try again."),
    "device_code_over": N_("That code has expired or was used. Start again on your device to get a new one."),
    # the second step
    "two_factor_permission_denied": N_("This sign-in has expired. Sign in again."),
    "two_factor_invalid_token": N_("That code didn't work. Check it, or wait for a new one: a code works only once."),
    "two_factor_ended": N_("Too many wrong codes. Sign in again."),
    "invalid_recovery_code": N_("That recovery code didn't work. Check it, and remember that each code works once."),
    "two_factor_login_successful": N_("You're signed in."),
    "two_factor_method_not_available": N_("You can't use that method as a second step. Choose another one."),
    "two_factor_setup_expired": N_("Setting up two-step verification took too long. Start again; nothing was changed."),
    "two_factor_only_way": N_("Add another sign-in method first. You can't sign in with a second step alone."),
    "two_factor_set_up": N_("Two-step verification is on."),
    "two_factor_disabled": N_("Two-step verification is off."),
    "recovery_proof_old": N_("Your email confirmation has expired. Request a new code."),
    "recovery_capped": N_("This account has reached its limit of recoveries for 30 days."),
    "recovery_not_ready": N_("The waiting period isn't over yet. Come back when it is."),
    "recovery_over": N_("This recovery was canceled or has expired. Nothing has changed."),
    "recovery_cancelled": N_("Recovery canceled. Your account hasn't changed."),
    "recovery_none": N_("There's no recovery to cancel."),
    "recovery_done": N_("Your account has been recovered. Add another sign-in method now, and create recovery codes."),
    # set up
    "us_setup_expired": N_("Setup took too long, so nothing was changed. Start again."),
    "us_setup_successful": N_("Sign-in method added."),
    "method_removed": N_("Sign-in method removed."),
    "last_second_factor": N_("Two-step verification is required, and this is your last method. Add another first."),
    "last_method": N_("This is your only sign-in method. Add another one before you remove it."),
    "phone_invalid": N_("Enter a valid phone number with the country code, such as +44 7400 123456."),
    "phone_country_invalid": N_("Choose a country from the list."),
    "phone_country_unavailable": N_(
        "We can't text numbers in that country. Use another number or another sign-in method."
    ),
    "identity_already_associated": N_("That's already used by an account. Use another one."),
    # authenticator apps
    "authenticator_renamed": N_("App renamed."),
    "authenticator_removed": N_("App removed. Delete the entry in the app too; its codes no longer work."),
    "authenticator_name_required": N_("Give the app a name."),
    "authenticator_name_inuse": N_("You already have an app called {name}. Choose another name."),
    "authenticator_name_disallowed_characters": N_("That name has invisible characters. Remove them and try again."),
    "authenticator_not_found": N_("You no longer have that app. Reload the page to see your apps."),
    "authenticator_too_many": N_("You can have up to {most} authenticator apps. Remove one first."),
    # passkeys
    "webauthn_added": N_("Passkey added. You can use it the next time you sign in."),
    "webauthn_renamed": N_("Passkey renamed."),
    "webauthn_removed": N_("Passkey removed. Delete it from your device too; it no longer works here."),
    "webauthn_name_required": N_("Give the passkey a name."),
    "webauthn_name_inuse": N_("You already have a passkey called {name}. Choose another name."),
    "webauthn_name_not_found": N_("You don't have a passkey with that name. Reload the page to see your passkeys."),
    "webauthn_name_disallowed_characters": N_("That passkey name has invisible characters. Remove them first."),
    # Translators: shown as plain text, so the two signs are written as they are.
    "invalid_input": N_("Remove < and > and try again."),
    "invalid_input_length": N_("Use at most {length} characters."),
    "webauthn_too_many": N_("You can have up to {most} passkeys. Remove one first."),
    "webauthn_credential_id_inuse": N_("This passkey is already set up."),
    "webauthn_unknown_credential_id": N_("We don't recognize that passkey. Use another one, or sign in another way."),
    "webauthn_mismatch_user_handle": N_("That passkey belongs to another account."),
    "webauthn_credential_wrong_usage": N_("That passkey is a second step only. Start with another sign-in method."),
    "webauthn_counter_regressed": N_("That passkey may have been copied. Sign in another way, then remove it."),
    "webauthn_in_cooldown": N_(
        "This passkey is too new to be your second step. Use an older one, or try again tomorrow."
    ),
    "webauthn_backup_changed": N_("This passkey changed in an unexpected way. Sign in another way, then replace it."),
    "webauthn_expired": N_("That took too long. Try again."),
    "webauthn_wrong_ceremony": N_("That passkey response was for another step. Try again."),
    "webauthn_wrong_challenge": N_("That passkey response was for another request. Try again."),
    "webauthn_wrong_origin": N_("That passkey was used on another site. Check the address before you continue."),
    "webauthn_wrong_signature": N_("We couldn't verify that passkey. Try again, or sign in another way."),
    "webauthn_not_present": N_("The passkey wasn't touched. Try again."),
    "webauthn_no_verify": N_(
        "This passkey didn't ask for your PIN, fingerprint or face. Use one that does, or sign in another way."
    ),
    # API tokens
    "token_created": N_("Token created. Copy it now: you won't see it again."),
    "token_revoked": N_("Token revoked. It no longer works."),
    "tokens_revoked": N_("All your API tokens are revoked."),
    "token_name_invalid": N_("Enter a name of 1 to 64 visible characters."),
    "token_scope_unknown": N_("Choose at least one of the listed permissions."),
    "token_age_invalid": N_("Choose a lifetime of 1 to {most} days."),
    "too_many_tokens": N_("You can have up to {most} API tokens. Revoke one you no longer need."),
    "refresh_token_invalid": N_("This token can't be exchanged. Sign in again."),
    "refresh_token_reused": N_("This token was already exchanged, so the session has ended. Sign in again."),
    "token_not_accepted": N_("API tokens aren't accepted here."),
    "scope_missing": N_("This token lacks the scope {scope}. Use a token that has it."),
    # register and confirm
    "confirm_registration": N_("Almost done. We sent an email to {email}: enter its code here or open its link."),
    "email_already_associated": N_("{email} already has an account. Sign in instead."),
    "invalid_email_address": N_("Enter a valid email address, such as ada@example.com."),
    "email_not_provided": N_("Enter your email address."),
    "password_not_provided": N_("Enter a password."),
    "password_invalid_length": N_("Use at least {length} characters. A short sentence makes a good password."),
    "password_too_long": N_("A password can have at most {length} characters."),
    "password_too_common": N_("That password is too easy to guess. Choose another one."),
    "retype_password_mismatch": N_("The two passwords don't match. Enter the same one twice."),
    "contact_not_provided": N_("Enter your email address or phone number."),
    "email_or_phone": N_("Enter either an email address or a phone number, not both."),
    "phone_not_mobile": N_("That number can't receive text messages. Use a mobile number or your email."),
    "phone_needs_invitation": N_(
        "You need an invitation to create an account with a phone number here. Use your email instead."
    ),
    "phone_unknown": N_("No account uses that number. Check it for typos, or create an account."),
    "phone_already_confirmed": N_("This number is already confirmed. You can sign in."),
    "phone_confirmed": N_("Thanks, your phone number is confirmed."),
    "confirm_by_text": N_("Almost done. We sent a text message to {email}: enter its code here."),
    "confirm_generic_by_text": N_("If that number needs to be confirmed, we've sent a text message to it."),
    "user_does_not_exist": N_("No account uses that email. Check for typos, or create an account."),
    "already_confirmed": N_("This email is already confirmed. You can sign in."),
    "email_confirmed": N_("Thanks, your email is confirmed."),
    "confirmation_expired": N_("This link has expired. Enter your email to get a new one."),
    "invalid_confirmation_token": N_("This link is invalid. Enter your email to get a new one."),
    "confirm_generic": N_("If that email needs to be confirmed, we've sent a message to it."),
    "registration_closed": N_("You can't create an account here yourself. Contact support."),
    "invitation_required": N_("You need an invitation to create an account here. Open its link, or ask for one."),
    "sign_in_link_invalid": N_("This sign-in link was used or has expired. Ask for another one, or sign in as usual."),
    "person_link_sent": N_("Sign-in link sent to the account's primary email. It works for {minutes} minutes."),
    "person_without_email": N_("This account has no confirmed email to send a link to."),
    "too_many_links": N_("Too many sign-in links were sent to this account. Try again later."),
    "invitation_invalid": N_("This invitation link isn't complete or isn't ours. Copy the whole link and try again."),
    "invitation_expired": N_("This invitation has expired. Ask the person who invited you for another one."),
    "invitation_used": N_("This invitation has been used. If that was you, sign in. If not, ask for another one."),
    "invitation_revoked": N_("This invitation was withdrawn. Ask the person who invited you for another one."),
    "invitation_accepted": N_("Thanks, you've accepted the invitation."),
    "invitation_accepted_before": N_("You've accepted this invitation already."),
    "invitation_has_account": N_("This email has an account already. Sign in, then open the invitation again."),
    "invitation_created": N_("Invitation sent to {email}."),
    "invitation_was_revoked": N_("Invitation revoked. Its link no longer works."),
    "invitation_uses": N_("An invitation by email is for one person. A link can be for up to {most} people."),
    "invitation_lasts": N_("An invitation can be open for up to {most} days."),
    "invitation_groups": N_("That's too many groups for one invitation. Choose fewer."),
    "email_domain_not_allowed": N_("You can't use an email at this domain here. Use another one."),
    # email and phone
    "change_email_confirmed": N_("Thanks, your email has been changed."),
    "change_email_expired": N_("This link has expired, so your email wasn't changed. Request a new one."),
    "address_added": N_("Thanks, your email has been added."),
    "address_primary": N_("That's now your primary email."),
    "identity_removed": N_("Removed. It can no longer be used to sign in."),
    "username_set": N_("Your username has been saved."),
    "name_set": N_("Your name has been saved."),
    "name_removed": N_("Your name has been removed."),
    "name_invalid": N_("Use at least one letter, and no @, < or > or invisible characters."),
    "too_many_addresses": N_("You can have up to {most} email addresses. Remove one before you add another."),
    "not_yours": N_("That isn't one of yours. Reload the page and try again."),
    "address_needed": N_("Your sign-in codes go to this email. Add another one, or remove email codes first."),
    "last_address": N_("We'd have no way to reach you. Add another email or phone number first."),
    "username_invalid": N_(
        "Use 3 to 32 lowercase letters, digits, dots, dashes or underscores. Some names are reserved."
    ),
    "usernames_off": N_("Usernames aren't used here."),
    "change_undo_invalid": N_("This link is invalid or has expired. Sign in to check your email addresses."),
    "undo_taken": N_("Your old email now belongs to another account, so we can't restore it. Contact support."),
    # forms
    "required": N_("This field is required."),
    "invalid_choice": N_("Choose one of the listed options."),
    "api_error": N_("We couldn't read this value. Check it and try again."),
    "invalid_redirect": N_("We can't redirect there. Use a path on this site, or leave it out."),
    "csrf_token_missing": N_("This page didn't load correctly. Please try again."),
    "csrf_session_token_missing": N_("Your browser didn't send our cookie. Allow cookies for this site and try again."),
    "csrf_token_invalid": N_("This page has expired. Please try again."),
    "csrf_token_expired": N_("This page was open for too long. Please try again."),
    "csrf_origin_foreign": N_("This form was sent from another site, so we ignored it."),
    "idempotency_key_invalid": N_("Use an Idempotency-Key of {shortest} to {longest} characters that's hard to guess."),
    "idempotency_key_reused": N_("This Idempotency-Key was used for another request. Use a new one for each."),
    # webhooks
    "webhook_changed": N_("This endpoint was changed at the same moment. Try again."),
    "webhook_event_unknown": N_("There's no event {event}. Use a type from the list, a group such as session.*, or *."),
    "webhook_events_missing": N_("Choose at least one event."),
    "webhook_unknown": N_("There's no such endpoint."),
    "webhook_is_deleted": N_("The endpoint and its pending events have been deleted."),
    "webhook_is_disabled": N_("The endpoint is disabled. Pending events are sent if you enable it within 5 days."),
    "webhook_is_enabled": N_("The endpoint is enabled. Events that happened meanwhile aren't sent."),
    "webhook_retried": N_("Failed events are being sent again."),
    "webhook_test_queued": N_("A test event is on its way. Reload this page to see the answer."),
    "webhook_url_forbidden": N_(
        "This address is in a network that isn't listed in LATCHKEY_WEBHOOK_NETWORKS, or uses http:// on the internet."
    ),
    "webhook_url_invalid": N_("Enter a full https:// address without a username, password or fragment."),
    # the service
    "bad_request": N_("We couldn't read this request."),
    "json_invalid": N_("The body isn't valid JSON."),
    "json_not_an_object": N_("The body must be one JSON object."),
    "host_unknown": N_("This service isn't available at this host name."),
    "not_found": N_("There's nothing at this address. Check it, or go to the start page."),
    "method_not_allowed": N_("This address doesn't accept that kind of request."),
    "request_entity_too_large": N_("This request is too large or has too many fields. Send less and try again."),
    "unsupported_media_type": N_("Send this as a form or as JSON."),
    "too_many_requests": N_("Too many attempts. Wait a moment, then try again."),
    "too_many_messages": N_("Too many messages were sent there. Check for one that has arrived, or try again later."),
    "internal_server_error": N_("Something went wrong on our side and nothing was changed. Try again in a moment."),
    "service_unavailable": N_("The service is busy and nothing was changed. Try again in a moment."),
    "service_read_only": N_(
        "We're doing maintenance. You can look at everything, but changes and new sign-ins have to wait. "
        "Nothing was changed."
    ),
}


class Message(str):
    """A message for people, with the stable code for API clients."""

    code: str

    def __new__(cls, text: str, code: str) -> Message:
        """Create a message from ``text`` and its ``code``."""
        sentence = super().__new__(cls, text)
        sentence.code = code
        return sentence


def message(code: str, **facts: Any) -> Message:
    """Return the message for ``code`` with ``facts`` filled in. Raise KeyError for an unknown code."""
    return Message(gettext(MESSAGES[code], **facts), code)


def code_of(text: str) -> str:
    """Return the code of ``text``; ``invalid_input`` for a message from a library."""
    return getattr(text, "code", "invalid_input")
