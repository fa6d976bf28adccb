"""What a server and each ``flask`` command load first."""

from __future__ import annotations

import subprocess
import sys

from tests.databases import KEY, ROOT

LOAD = """
import gc
looked = []
gc.callbacks.append(lambda phase, info: looked.append(info["generation"]))
import app, config.settings
looked.clear()
import wsgi
print(len(looked), gc.isenabled(), gc.get_freeze_count() > 100_000)
"""


def test_loaded_modules_are_frozen_before_garbage_collection():
    environment = {"LATCHKEY_ENVIRONMENT": "development", "LATCHKEY_SECRET_KEYS": KEY, "FLASK_SKIP_DOTENV": "1"}
    command = [sys.executable, "-c", LOAD]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    looked, enabled, frozen = done.stdout.split()
    assert (looked, enabled, frozen) == ("0", "True", "True"), done.stdout + done.stderr
