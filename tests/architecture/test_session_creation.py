"""Sessions are created in one place, with which every sign-in ends."""

from tests.architecture.sources import modules


def test_create_session_is_called_from_one_module():
    callers = [module.name for module in modules() for _ in module.calls("create_session")]
    assert len(callers) == 1, f"create_session() is called in {callers}"


def test_login_user_is_called_only_by_the_session_store():
    callers = [module.name for module in modules() for _ in module.calls("login_user")]
    assert callers in ([], ["app/sessions/store.py"])
