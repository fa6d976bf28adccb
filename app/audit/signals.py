"""Blinker signals for code in the same process, sent by the app. None carries a passcode."""

from __future__ import annotations

from typing import Any

from blinker import NamedSignal, Namespace

from app.extensions import this_app

_namespace = Namespace()

user_authenticated = _namespace.signal("user-authenticated")
user_unauthenticated = _namespace.signal("user-unauthenticated")
user_failed_authn = _namespace.signal("user-failed-authn")
us_security_token_sent = _namespace.signal("us-security-token-sent")
us_profile_changed = _namespace.signal("us-profile-changed")
user_registered = _namespace.signal("user-registered")
user_not_registered = _namespace.signal("user-not-registered")
confirm_instructions_sent = _namespace.signal("confirm-instructions-sent")
user_confirmed = _namespace.signal("user-confirmed")
change_email_instructions_sent = _namespace.signal("change-email-instructions-sent")
change_email_confirmed = _namespace.signal("change-email-confirmed")
user_deletion_requested = _namespace.signal("user-deletion-requested")
user_deletion_undone = _namespace.signal("user-deletion-undone")
user_deleted = _namespace.signal("user-deleted")
wan_registered = _namespace.signal("wan-registered")
wan_deleted = _namespace.signal("wan-deleted")
tf_security_token_sent = _namespace.signal("tf-security-token-sent")
tf_code_confirmed = _namespace.signal("tf-code-confirmed")
tf_profile_changed = _namespace.signal("tf-profile-changed")
tf_disabled = _namespace.signal("tf-disabled")


def send(signal: NamedSignal, **facts: Any) -> None:
    """Send ``signal`` from the current app."""
    if signal.receivers:
        signal.send(this_app(), **facts)
