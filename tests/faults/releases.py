"""Other releases: the previous one, from git, and a later one with another migration."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.databases import ROOT

RELEASED = "5fc6051e39e06f87fcbcb63e8ed85b4201d21c6b"
"""The commit that was released last, until there are tags."""

WHAT_RUNS = ("app", "config", "migrations", "wsgi.py", "openapi.yaml")

NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{number:04}", "{after}", None, None


def upgrade() -> None:
    op.add_column("user", sa.Column("of_the_next_release", sa.String(8), nullable=True))
    op.create_table("of_the_next_release", sa.Column("id", sa.Integer(), primary_key=True))


def downgrade() -> None:
    op.drop_table("of_the_next_release")
    op.drop_column("user", "of_the_next_release")
"""


@dataclass(frozen=True)
class Release:
    """A release unpacked in ``directory``; ``head`` is its newest migration."""

    directory: Path
    head: str


def release_before(directory: Path) -> Release | None:
    """Unpack the previous release: the last tag, or RELEASED. None if git has neither (a shallow clone)."""
    described = _git("describe", "--tags", "--abbrev=0", "--match", "v*")
    commit = described.stdout.decode().strip() if described.returncode == 0 else RELEASED
    if _git("cat-file", "-e", f"{commit}^{{commit}}").returncode:
        assert not _is_whole(), f"{commit} is no commit: name the release before this one in RELEASED"
        return None
    archive = _git("archive", "--format=tar", commit, *WHAT_RUNS)
    assert archive.returncode == 0, archive.stderr
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
        tar.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python 3.11.2 has none
        tar.extractall(directory)
    return Release(directory, _newest(directory))


def _is_whole() -> bool:
    """Return whether this is a repository with its full history."""
    shallow = _git("rev-parse", "--is-shallow-repository")
    return shallow.returncode == 0 and shallow.stdout.strip() == b"false"


def next_release(directory: Path) -> Release:
    """Create a release from this one, with one more migration."""
    directory.mkdir()
    for name in WHAT_RUNS:
        take = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        take(ROOT / name, directory / name)
    head = _newest(directory)
    number = int(head) + 1
    path = directory / "migrations" / "versions" / f"{number:04}_of_the_next_release.py"
    path.write_text(NEXT.format(number=number, after=head))
    return Release(directory, f"{number:04}")


def _newest(directory: Path) -> str:
    names = (path.name for path in (directory / "migrations" / "versions").glob("*.py"))
    return max(found[0] for name in names if (found := re.match(r"[0-9]{4}", name)))


def _git(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=False)
