"""The registry: which methods the settings may contain."""

from __future__ import annotations

import pytest

from config.problems import ConfigurationError

pytestmark = pytest.mark.one_database


@pytest.mark.parametrize("field", ["methods", "second_factor_for"])
@pytest.mark.parametrize("name", ["pigeon", "webauthn", "recovery_code"])
def test_unknown_method_is_rejected_by_setting_name(make_app, field, name):
    with pytest.raises(ConfigurationError) as refused:
        make_app(**{field: ("email", name)})
    assert [problem.setting for problem in refused.value.problems] == [f"LATCHKEY_{field.upper()}"]
    assert name not in str(refused.value)
    assert "Use password, email, authenticator, sms." in str(refused.value)


def test_configuration_error_exits_with_status_78(capsys):
    with pytest.raises(ConfigurationError) as refused:
        raise ConfigurationError([])
    with pytest.raises(SystemExit) as ended:
        refused.value.exit()
    assert ended.value.code == 78
    assert capsys.readouterr().err.startswith("Latchkey does not start with these settings:")
