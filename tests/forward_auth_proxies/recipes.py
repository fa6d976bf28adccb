"""The proxy configurations of docs/integrate as printed, with only addresses and files of this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.certificates import write_certificate
from tests.databases import ROOT
from tests.forward_auth_proxies.visitor import Visitor
from tests.requirements import missing, program

START_WITHIN = 15.0
LOGIN, WIKI = "login.example.com", "wiki.example.com"


@dataclass(frozen=True)
class Places:
    """Where things are on this machine.

    :ivar port: where the proxy listens
    :ivar latchkey: port of Latchkey
    :ivar app: port of the app
    :ivar directory: for files; ``tls.crt`` and ``tls.key`` are in it
    """

    port: int
    latchkey: int
    app: int
    directory: Path


def block(name: str, language: str, *changes: tuple[str, str]) -> str:
    """Return the one block of a recipe in this language, with ``changes`` (pattern, instead)."""
    document = (ROOT / f"docs/integrate/{name}.md").read_text()
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", document, re.DOTALL | re.MULTILINE)
    for pattern, instead in changes:
        text, found = re.subn(pattern, instead, text)
        assert found, f"docs/integrate/{name}.md has no {pattern} any more"
    return text


def _backends(places: Places) -> tuple[tuple[str, str], ...]:
    return (r"127\.0\.0\.1:8000", f"127.0.0.1:{places.latchkey}"), (r"127\.0\.0\.1:9000", f"127.0.0.1:{places.app}")


def nginx(places: Places) -> list[str]:
    """Write the file of nginx's recipe; return what runs it."""
    here = places.directory
    recipe = block(
        "nginx",
        "nginx",
        *_backends(places),
        (r"listen 443 ssl", f"listen 127.0.0.1:{places.port} ssl"),
        (r"/etc/ssl/\S+\.(crt|key)", rf"{here}/tls.\1"),
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = " ".join(f"{kind}_temp_path {here}/{kind};" for kind in kinds)
    as_root = "user root; " if os.getuid() == 0 else ""  # else its workers can't write here
    text = (
        f"{as_root}pid {here}/nginx.pid; error_log {here}/error.log; events {{}}\nhttp {{ access_log off; {temporary}\n"
    )
    (here / "nginx.conf").write_text(f"{text}{recipe}}}\n")
    return [program("nginx"), "-c", str(here / "nginx.conf"), "-g", "daemon off;"]


def caddy(places: Places, path: str = "") -> list[str]:
    """Write the Caddyfile of Caddy's recipe; return what runs it, at ``path`` where not as a package brings it."""
    tls = f"tls {places.directory}/tls.crt {places.directory}/tls.key"
    recipe = block(
        "caddy", "caddyfile", *_backends(places), (r"(?m)^(\w+\.example\.com) \{", rf"\1:{places.port} {{\n\t{tls}")
    )
    text = f"{{\n\tadmin off\n\tauto_https off\n\tdefault_bind 127.0.0.1\n}}\n{recipe}"
    (places.directory / "Caddyfile").write_text(text)
    return [path or _of_wheel("caddy"), "run", "--config", str(places.directory / "Caddyfile")]


def caddy_of_debian(places: Places) -> list[str]:
    """The same for an older Caddy, which hands more on of what a visitor sent."""
    return caddy(places, program("caddy"))


def haproxy(places: Places) -> list[str]:
    """Write the two files of HAProxy's recipe; return what runs it."""
    here = places.directory
    (here / "tls.pem").write_text((here / "tls.crt").read_text() + (here / "tls.key").read_text())
    recipe = block(
        "haproxy",
        "haproxy",
        *_backends(places),
        (r"bind :443 ssl crt \S+", f"bind 127.0.0.1:{places.port} ssl crt {here}/tls.pem"),
        (r"/etc/haproxy/latchkey\.lua", f"{here}/latchkey.lua"),
    )
    (here / "latchkey.lua").write_text(block("haproxy", "lua"))
    (here / "haproxy.cfg").write_text(recipe)
    return [program("haproxy"), "-db", "-f", str(here / "haproxy.cfg")]


def traefik(places: Places) -> list[str]:
    """Write the file of Traefik's recipe; return what runs it."""
    here = places.directory
    recipe = block("traefik", "yaml", *_backends(places), (r"/etc/ssl/\S+\.(crt|key)", rf"{here}/tls.\1"))
    (here / "apps.yaml").write_text(recipe)
    return [
        _of_wheel("traefik"),
        f"--entryPoints.websecure.address=127.0.0.1:{places.port}",
        f"--providers.file.filename={here}/apps.yaml",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
    ]


def envoy(places: Places) -> list[str]:
    """Write the file of Envoy's recipe; return what runs it."""
    here = places.directory
    recipe = block(
        "envoy",
        "yaml",
        (r"address: 0\.0\.0\.0, port_value: 443", f"address: 127.0.0.1, port_value: {places.port}"),
        (r"port_value: 8000", f"port_value: {places.latchkey}"),
        (r"http://127\.0\.0\.1:8000", f"http://127.0.0.1:{places.latchkey}"),
        (r"port_value: 9000", f"port_value: {places.app}"),
        (r"/etc/ssl/\S+\.(crt|key)", rf"{here}/tls.\1"),
    )
    (here / "envoy.yaml").write_text(recipe)
    return [
        envoy_program(),
        "-c",
        str(here / "envoy.yaml"),
        "--use-dynamic-base-id",
        "--concurrency",
        "1",
        "-l",
        "warn",
    ]


RECIPES: dict[str, Callable[[Places], list[str]]] = {
    each.__name__: each for each in (nginx, caddy, haproxy, traefik, envoy)
}
OLDER = {"caddy_of_debian": caddy_of_debian}


def _of_wheel(name: str) -> str:
    """Return where a program is that a package of requirements/development.txt brings."""
    path = Path(sys.executable).parent / name
    return str(path) if path.exists() else missing(f"{name} is not installed (requirements/development.txt)")


def envoy_program() -> str:
    """Return where Envoy itself is, past the script that runs it. Its package has none for some machines."""
    found = find_spec("envoy")
    return (
        str(Path(found.origin).parent / "_bin" / "envoy")
        if found and found.origin
        else missing("envoy is not installed (requirements/development.txt)")
    )


@contextmanager
def running(kind: str, places: Places, *changes: tuple[str, str]) -> Iterator[None]:
    """Run a proxy until the block ends, its recipe with ``changes`` (text, instead)."""
    write_certificate(places.directory / "tls.crt", places.directory / "tls.key", WIKI)
    command = (RECIPES | OLDER)[kind](places)
    for text, instead in changes:
        _change(places.directory, text, instead)
    log = places.directory / "output"
    home = {"PATH": os.environ["PATH"], "HOME": str(places.directory)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=places.directory, env=home, stdout=output, stderr=output)
    try:
        _wait_for(places.port, process, log)
        yield
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _change(directory: Path, text: str, instead: str) -> None:
    """Change the one place where a file of a recipe has ``text``."""
    (path,) = [each for each in directory.iterdir() if each.suffix not in (".pem", ".key") and text in each.read_text()]
    assert path.read_text().count(text) == 1, f"{text} stands more than once"
    path.write_text(path.read_text().replace(text, instead))


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_WITHIN
    while True:  # a port may be open before its configuration is read
        with suppress(OSError):
            if Visitor(port, WIKI).ask("/").status not in (0, 404):
                return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
