"""Sessions are opened in one place, so that the tail of every sign-in exists once."""

from tests.house.sources import modules


def test_open_session_is_called_from_one_module():
    of_flask = "app/web/flashes.py"  # a method of Flask's has the same name
    callers = [module.name for module in modules() for _ in module.calls("open_session") if module.name != of_flask]
    assert len(callers) == 1, f"open_session() is called in {callers}"


def test_flask_login_signs_nobody_in_elsewhere():
    callers = [module.name for module in modules() for _ in module.calls("login_user")]
    assert callers in ([], ["app/sessions/opening.py"])
