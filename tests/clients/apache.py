"""Debian's Apache with mod_auth_openidc in front of an app without OpenID Connect."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.requirements import program

MODULES = Path("/usr/lib/apache2/modules")
LOADED = ("mpm_event", "authn_core", "authz_core", "authz_user", "headers", "proxy", "proxy_http", "auth_openidc")
CONFIGURATION = """
ServerRoot {directory}
ServerName 127.0.0.1
PidFile {directory}/apache.pid
ErrorLog {directory}/error.log
LogLevel warn auth_openidc:info
Listen 127.0.0.1:{port}
{modules}
{user}
StartServers 1
ThreadsPerChild 8
MaxRequestWorkers 16

ProxyPass / {app}/
{recipe}
"""
START_WITHIN = 20.0


@contextmanager
def apache(directory: Path, port: int, **values: str) -> Iterator[Path]:
    """Run Apache with this configuration until the block is left; gives its error log.

    :param values: what stands in braces: ``app``, the address behind it, and ``recipe``
    """
    executable = program("apache2")
    modules = "\n".join(f"LoadModule {name}_module {MODULES}/mod_{name}.so" for name in LOADED)
    user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""  # it refuses to run as root
    configuration, log = directory / "apache.conf", directory / "error.log"
    configuration.write_text(CONFIGURATION.format(directory=directory, port=port, modules=modules, user=user, **values))
    running = subprocess.Popen([executable, "-f", str(configuration), "-D", "FOREGROUND"], cwd=directory)
    try:
        _wait_for(f"http://127.0.0.1:{port}/", running, log)
        yield log
    finally:
        running.terminate()
        running.wait(10)


def _wait_for(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert running.poll() is None, log.read_text() if log.exists() else "Apache has ended"
        assert time.monotonic() < deadline, "Apache does not answer"
        time.sleep(0.05)
