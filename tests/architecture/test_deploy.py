"""The systemd units and Kubernetes manifests in deploy/ are valid, and as hardened as the Compose setup."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from config import environment
from config.settings import Settings
from tests.databases import KEY, ROOT
from tests.requirements import program

KUBERNETES = "1.33"
UNITS = sorted((ROOT / "deploy/systemd").glob("*.service"))
PYTHON = "/srv/latchkey/.venv/bin/flask"
EXPOSED = 20
"""Maximum exposure level by systemd-analyze, in tenths. A unit without any protection has 96."""


def manifests() -> list[dict[str, Any]]:
    """Return every document of deploy/kubernetes."""
    files = sorted((ROOT / "deploy/kubernetes").glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [document for document in manifests() if document["kind"] == kind]


def pods() -> dict[str, dict[str, Any]]:
    """Return each pod's spec, by the name of its Deployment or Job."""
    with_pods = of_kind("Deployment") + of_kind("Job")
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in with_pods}


@pytest.mark.parametrize("document", manifests(), ids=lambda each: f"{each['kind']}-{each['metadata']['name']}")
def test_manifests_match_the_kubernetes_schema(document):
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_kubernetes_schema_rejects_a_misspelled_field():
    (service,) = of_kind("Service")
    service["spec"]["port"] = service["spec"].pop("ports")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(service, KUBERNETES, strict=True)


@pytest.mark.parametrize("name", ["latchkey-migrate", "latchkey-web", "latchkey-worker"])
def test_pods_run_with_minimal_privileges(name):
    pod = pods()[name]
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # LATCHKEY_PORT of a Service would be read as a setting
    assert pod["securityContext"] == {
        "runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }  # fmt: skip
    assert f"USER {pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}" in dockerfile()
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"cpu", "memory"} == set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_probes_use_the_right_endpoints():
    (web,) = pods()["latchkey-web"]["containers"]
    assert web["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert web["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert "readyz" not in str(web["startupProbe"])  # or a database outage would restart starting pods
    assert str(next(port["containerPort"] for port in web["ports"] if port["name"] == "http")) in web["command"]
    assert "--no-worker" in web["command"]
    assert pods()["latchkey-web"]["terminationGracePeriodSeconds"] >= 5 + 45


def test_selectors_match_exactly_one_workload():
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in of_kind("Deployment") + of_kind("Job")]
    selecting = [each["spec"]["selector"] for each in of_kind("Service")]
    selecting += [each["spec"]["selector"]["matchLabels"] for each in of_kind("Deployment")]
    selecting += [each["spec"]["selector"]["matchLabels"] for each in of_kind("PodDisruptionBudget")]
    selecting += [each["spec"]["podSelector"]["matchLabels"] for each in of_kind("NetworkPolicy")]
    for wanted in selecting:
        assert len([each for each in labels if wanted.items() <= each.items()]) == 1, wanted
    (budget,), web = of_kind("PodDisruptionBudget"), of_kind("Deployment")[0]
    assert budget["spec"]["minAvailable"] < web["spec"]["replicas"]  # or no node could be drained
    (ingress,), (service,) = of_kind("Ingress"), of_kind("Service")
    backend = ingress["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend["name"] == service["metadata"]["name"]
    assert backend["port"]["name"] in [port["name"] for port in service["spec"]["ports"]]


def test_config_map_settings_are_valid_and_secrets_have_no_values(tmp_path, monkeypatch):
    (config,), (secret,) = of_kind("ConfigMap"), of_kind("Secret")
    assert set(secret["stringData"].values()) == {""}
    mount = "/run/secrets/latchkey/"
    read = {value.removeprefix(mount) for name, value in config["data"].items() if name.endswith("_FILE")}
    assert read == set(secret["stringData"])
    for pod in pods().values():
        (container,) = pod["containers"]
        assert {each["mountPath"] + "/" for each in container["volumeMounts"]} >= {mount}
    files = {"secret_keys": KEY, "database_url": "postgresql://latchkey@db/latchkey",
             "mail_url": "smtps://a:b@mail.example.com"}  # fmt: skip
    for name, value in files.items():
        (tmp_path / name).write_text(value)
    for name, value in config["data"].items():
        monkeypatch.setenv(name, value.replace(mount, f"{tmp_path}/"))
    assert environment.read(Settings.model_fields)
    assert Settings.load().warnings == ()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_units_pass_verification_and_security_analysis(unit, tmp_path):
    analyze = program("systemd-analyze")
    copy = tmp_path / unit.name  # the program it starts has to exist
    copy.write_text(unit.read_text().replace(PYTHON, str(shutil.which("true"))))
    assert copy.read_text() != unit.read_text()
    done = subprocess.run([analyze, "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])
    command = [analyze, "security", "--offline=true", "--no-pager", f"--threshold={EXPOSED}", str(copy)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_systemd_units_differ_only_in_what_they_run():
    web, worker, migrate = (keys_of(ROOT / f"deploy/systemd/latchkey-{name}.service") for name in
                            ("web", "worker", "migrate"))  # fmt: skip
    own = {"Description", "ExecStart", "RuntimeDirectory", "RuntimeDirectoryMode", "KillMode", "LimitNOFILE"}
    assert {name for name in web.keys() | worker.keys() if web.get(name) != worker.get(name)} == own
    assert {name for name in worker.keys() | migrate.keys() if worker.get(name) != migrate.get(name)} == {
        "Description", "ExecStart", "Type", "Restart", "RestartSec", "RestartPreventExitStatus", "TimeoutStopSec",
        "StartLimitIntervalSec", "WantedBy",
    }  # fmt: skip
    bounces = keys_of(ROOT / "deploy/systemd/latchkey-bounces.service")
    assert {name for name in worker.keys() | bounces.keys() if worker.get(name) != bounces.get(name)} == {
        "Description", "ExecStart", "RuntimeDirectory", "RuntimeDirectoryMode", "TimeoutStopSec",
    }  # fmt: skip
    assert web["RestartPreventExitStatus"] == ["78"]
    assert web["ExecStart"] == [f"{PYTHON} serve --unix /run/latchkey/web.sock --workers 2 --no-worker"]


def keys_of(unit: Path) -> dict[str, list[str]]:
    """Return the values of each key of a unit, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_nginx_masks_the_same_paths_below_a_sub_path():
    text = (ROOT / "deploy/nginx.conf").read_text()
    (below,) = re.findall(r"kept>/\.\*/\(([^)]+)\)/", text)
    assert set(below.split("|")) == set(re.findall(r"^ +~\^/(\S+)/ /", text, re.MULTILINE))
