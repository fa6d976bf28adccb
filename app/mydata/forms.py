"""Forms of these pages."""

from __future__ import annotations

from app.web.forms import HouseForm, TickField


class ButtonForm(HouseForm):
    """A button, and nothing to fill in."""


class LeaveForm(HouseForm):
    """The button that closes the account, and a box so that nobody presses it by a slip."""

    sure = TickField("Delete my account and everything that is kept about me")


class KeepForm(HouseForm):
    """The button that keeps the account, and a box that no machine ticks which only presses buttons."""

    sure = TickField("I want to keep my account")
