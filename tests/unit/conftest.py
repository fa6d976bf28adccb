"""Settings of property-based tests."""

from __future__ import annotations

import hypothesis

hypothesis.settings.register_profile(
    "no-deadline", deadline=None
)  # the first example pays for tables read at first use
hypothesis.settings.load_profile("no-deadline")
