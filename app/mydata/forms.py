"""Forms of these pages."""

from __future__ import annotations

from app.web.forms import HouseForm


class ButtonForm(HouseForm):
    """A button, and nothing to fill in."""
