"""What servers are forked from (tests/serving.py): the application loaded, and an application created once.

A server then finds its URL rules compiled and the caches of libraries filled.
"""

from __future__ import annotations

import gc

from flask import Flask

from app import create_app
from config.settings import Settings
from tests import preloaded  # noqa: F401
from tests.databases import KEY
from tests.known_rules import KnownRule

Flask.url_rule_class = KnownRule
values = {"environment": "development", "secret_keys": KEY, "database_url": "sqlite:///:memory:", "log_level": "error"}
create_app(Settings(**values))
gc.collect()
gc.freeze()
