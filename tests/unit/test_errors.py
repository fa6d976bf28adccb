"""A Rejected has what a response needs."""

from app.errors import ReauthenticationRequired, Rejected


def test_rejection_has_code_field_status_and_facts():
    refusal = Rejected("too_many", "identity", 429, retry_after=30)
    assert (refusal.code, refusal.field, refusal.status) == ("too_many", "identity", 429)
    assert refusal.facts == {"retry_after": 30}


def test_rejection_defaults_to_status_400_on_the_whole_form():
    assert (Rejected("api_error").field, Rejected("api_error").status, Rejected("api_error").facts) == ("", 400, {})


def test_reauthentication_required_is_not_a_rejection():
    assert not issubclass(ReauthenticationRequired, Rejected)
