"""Entering a device's code in a real browser with only the keyboard, with JavaScript and without."""

from __future__ import annotations

import pytest

from tests.browser.keyboard import Keyboard
from tests.browser.test_apps_sign_in import sign_in_by_mail
from tests.devices import Device, tv

both = pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])


@both
@pytest.mark.parametrize("allow", [True, False], ids=["allowed", "refused"])
def test_signed_out_user_signs_in_and_allows_or_denies_a_device(
    new_browser, people, email, mailbox, shared_app, script, allow
):
    people.open(email=email, methods=["email"])
    device = Device(tv(shared_app, f"tv-{email}", consent="ask"))
    page = new_browser(java_script_enabled=script)
    page.goto(f"/device?user_code={device.user_code}" if allow else "/device")
    sign_in_by_mail(page, email, mailbox)
    page.get_by_role("heading", name="Connect a device").wait_for()
    keys = Keyboard(page)
    if allow:
        keys.go("Continue")
    else:  # the field already has the focus
        page.keyboard.type(device.user_code.lower())
        keys.go()
    page.get_by_role("heading", name="Connect Living room TV?").wait_for()
    keys.go("Allow" if allow else "Don't allow")
    page.get_by_role("heading", name="Device connected" if allow else "Device not connected").wait_for()
    if allow:
        assert device.tokens()["access_token"]
    else:
        assert device.error() == "access_denied"
