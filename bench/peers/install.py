"""Install the peers' dependencies under ``.cache/bench``, at first use and when their pins have changed."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from bench.servers import ROOT

HERE = Path(__file__).parent
PLACE = ROOT / ".cache" / "bench"


def python_of(peer: str) -> str:
    """Return the Python of a virtual environment with the packages pinned in ``PEER.txt``."""
    pins, place = HERE / f"{peer}.txt", PLACE / peer

    def install() -> None:
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        command = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet", "--require-hashes"]
        subprocess.run([*command, "--requirement", str(pins)], check=True)

    _if_changed(place, [pins], install)
    return str(place / "bin" / "python")


def node_app(name: str) -> Path:
    """Return a copy of the Node app ``name`` next to the packages pinned in ``package-lock.json``, where it finds them.

    better-sqlite3 is compiled here, so that only packages are downloaded.
    """
    place = PLACE / "node"
    files = [HERE / "package.json", HERE / "package-lock.json"]

    def install() -> None:
        place.mkdir(parents=True)
        for file in files:
            shutil.copy(file, place)
        subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=place, check=True)
        quiet = os.environ | {"npm_config_build_from_source": "true"}
        command = ["npm", "rebuild", "--silent", "--ignore-scripts=false", "better-sqlite3"]
        subprocess.run(command, cwd=place, env=quiet, check=True)

    _if_changed(place, files, install)
    return Path(shutil.copy(HERE / name, place))


def _if_changed(place: Path, pins: list[Path], install: Callable[[], None]) -> None:
    """Install into an empty ``place``, unless exactly these pins are already installed there."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in pins)).hexdigest()
    done = place / "installed"
    if not done.exists() or done.read_text() != digest:
        print(f"installing {place.name} into {place} ...", flush=True)
        shutil.rmtree(place, ignore_errors=True)
        install()
        done.write_text(digest)
