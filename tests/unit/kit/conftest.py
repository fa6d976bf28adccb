"""Hypothesis without a deadline: the first example pays for tables that are read at first use."""

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
