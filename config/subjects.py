"""Settings grouped into the sections of docs/settings.md, in its order."""

SUBJECTS: dict[str, tuple[str, ...]] = {
    "The service": (
        "environment", "database_url", "secret_keys", "public_url", "allowed_hosts", "trusted_proxies", "languages",
        "log_level", "log_format", "replica_name", "metrics_listen", "registration", "registration_domains",
        "registration_denied_domains", "disposable_domains_file", "registration_by_phone",
    ),
    "Brand": (
        "brand_name", "brand_logo", "brand_logo_dark", "brand_icon", "brand_color", "brand_color_dark", "brand_line",
        "brand_image", "templates_folder", "terms_url", "privacy_url", "support_contact",
    ),
    "Database, Redis, requests": (
        "redis_url", "database_pooler", "statement_timeout", "pool_size", "replicas", "body_limit", "json_depth",
        "csrf_cookie_name", "hsts",
    ),
    "Mail": (
        "mail_url", "mail_fallback_url", "mail_sender", "support_mail", "mail_allow_plaintext", "mail_timeout",
        "mail_answer_timeout",
    ),
    "SMS": (
        "sms_url", "sms_headers", "sms_success", "sms_provider", "sms_fallback_provider", "sms_fallback_url",
        "sms_fallback_headers", "sms_fallback_success", "sms_connect_timeout", "sms_timeout", "twilio_account_sid",
        "twilio_auth_token", "twilio_sender", "twilio_url",
    ),
    "Mail that comes back": (
        "bounces_postmark_secret", "bounces_ses_topics", "bounces_mailgun_key", "bounces_sendgrid_key",
        "mail_bounce_address", "suppress_for", "soft_bounces", "soft_bounce_span",
    ),
    "Queue and outbox": (
        "queue_url", "worker_threads", "outbox_sweep_every", "outbox_keep", "events_keep", "webhook_networks",
        "webhooks_keep", "statistics_keep", "delete_wait", "unconfirmed_keep", "export_keep",
    ),
    "Signing in": (
        "methods", "identity_attributes", "phone_region_default", "second_factor", "second_factor_for",
        "default_remember_me", "mail_unknown", "generic_responses", "totp_issuer",
    ),
    "Passkeys": (
        "passkeys", "passkey_rp_id", "passkey_origins", "passkey_user_verification", "passkey_starts_per_address",
        "passkey_counter",
    ),
    "Redirects": (
        "redirect_behavior", "post_login_url", "post_logout_url", "login_error_url", "post_register_url",
        "post_confirm_url", "confirm_error_url", "post_change_email_url", "change_email_error_url",
        "emails_per_account", "post_verify_url", "us_post_setup_url",
    ),
    "Codes and links": (
        "limits", "email_code_digits", "sms_code_digits", "email_code_lifetime", "sms_code_lifetime",
        "challenge_tries", "failures_per_hour", "failures_per_day", "failures_in_a_row", "failures_in_a_row_rest",
        "link_approval_tries", "open_challenges",
    ),
    "Limits": (
        "mail_resend_wait", "sms_resend_wait", "mails_per_hour", "mails_per_day", "sms_per_hour", "sms_per_day",
        "sms_known_browser", "sms_setups_per_hour", "mails_per_hour_overall", "sms_per_day_overall",
        "overall_kept_percent", "sms_countries", "sms_breaker_sends", "sms_breaker_percent", "sms_breaker_rest",
        "starts_per_address", "exchanges_per_address", "failures_per_address", "address_window", "denied_penalty",
        "address_shared_share",
    ),
    "Apps (OpenID Connect)": (
        "apps_file", "clients_file", "forward_auth_proxies", "forward_auth_cookie_domain", "client_documents",
        "client_document_hosts", "client_documents_loopback", "oauth_access_token_lifetime", "oauth_jwt_lifetime",
        "oauth_refresh_idle", "oauth_refresh_absolute", "oauth_key_rotation",
    ),
    "The console": (
        "admin", "admin_listen", "admin_networks", "admin_idle", "admin_absolute",
    ),
    "Freshness and lifetimes": (
        "recovery_wait", "recovery_starts", "us_setup_within", "second_factor_within", "trust_for",
        "change_email_within", "change_undo_within", "confirm_email_within", "freshness", "freshness_strength",
        "new_method_wait", "freshness_grace_period", "session_idle", "session_absolute", "two_factor_idle",
        "two_factor_absolute", "refresh_tokens", "refresh_absolute", "refresh_idle", "personal_tokens",
        "personal_token_max_age", "token_max_age", "csrf_lifetime", "password_blocklist", "imported_password_salt",
        "password_length_min",
    ),
}  # fmt: skip
"""Fields of Settings by section title."""
