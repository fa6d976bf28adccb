"""The Docker Compose setup is valid, fits the settings, and is hardened for the public internet."""

import re
from pathlib import Path

import pytest
import yaml

from config.problems import variable
from config.settings import Settings

pytestmark = pytest.mark.one_database

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = ("web", "worker", "migrate")
NGINX = (ROOT / "deploy/nginx.conf").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def images() -> list[str]:
    """Return every image in docker-compose.yml and the Dockerfile."""
    return [service["image"] for service in SERVICES.values()] + re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)


def test_compose_defines_all_services():
    assert {"nginx", "web", "worker", "migrate", "postgres", "redis", "mail"} == set(SERVICES)
    assert SERVICES["web"]["deploy"]["replicas"] == 2
    assert SERVICES["worker"]["command"] == ["flask", "worker"]
    assert SERVICES["migrate"]["command"] == ["flask", "db", "upgrade"]
    assert SERVICES["migrate"]["restart"] == "no"


@pytest.mark.parametrize("name", OURS)
def test_environment_variables_are_existing_settings(name):
    known = {variable(field) + ending for field in Settings.model_fields for ending in ("", "_FILE")}
    assert set(SERVICES[name]["environment"]) <= known


def test_latchkey_services_share_their_settings():
    assert all(SERVICES[name]["environment"] == SERVICES["web"]["environment"] for name in OURS)
    assert SERVICES["web"]["environment"]["LATCHKEY_ENVIRONMENT"] == "production"


def test_replicas_setting_matches_the_number_of_web_processes():
    web = SERVICES["web"]
    workers = int(web["command"][web["command"].index("--workers") + 1])
    assert int(web["environment"]["LATCHKEY_REPLICAS"]) == web["deploy"]["replicas"] * workers


def test_secrets_are_read_from_declared_files():
    for service in SERVICES.values():
        names = set(service.get("secrets", ()))
        assert names <= set(COMPOSE["secrets"])
        files = {text for key, text in service.get("environment", {}).items() if key.endswith("_FILE")}
        assert files <= {f"/run/secrets/{name}" for name in names}
        assert not {"LATCHKEY_SECRET_KEYS", "LATCHKEY_DATABASE_URL", "POSTGRES_PASSWORD"} & set(
            service.get("environment", ())
        )


def test_make_secrets_writes_each_declared_secret():
    script = (ROOT / "deploy/make-secrets").read_text()
    for name, secret in COMPOSE["secrets"].items():
        assert secret["file"] == f"./deploy/secrets/{name}"
        assert re.search(rf"^write {name} |\$folder/{re.escape(name)}\"", script, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_containers_are_read_only_and_unprivileged(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert "cap_add" not in service


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"worker", "migrate"}))
def test_compose_servers_have_a_healthcheck(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_web_and_worker_wait_for_migrations_and_stores():
    for name in ("web", "worker"):
        conditions = {on: how["condition"] for on, how in SERVICES[name]["depends_on"].items()}
        assert conditions == {
            "migrate": "service_completed_successfully",
            "postgres": "service_healthy",
            "redis": "service_healthy",
        }


def test_only_nginx_publishes_public_ports():
    open_ports = {name: [str(port) for port in service.get("ports", ())] for name, service in SERVICES.items()}
    faced = {name for name, ports in open_ports.items() if any(not port.startswith("127.0.0.1:") for port in ports)}
    assert faced == {"nginx"}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert all(set(service["networks"]) <= set(COMPOSE["networks"]) for service in SERVICES.values())


def test_images_are_pinned_and_name_no_registry():
    for image in images():
        name, _, tag = image.partition(":")
        assert image == "latchkey:local" or re.search(r"[0-9]+\.[0-9]+|^[0-9]+-", tag), image
        assert "latest" not in tag
        assert "." not in name.split("/")[0]


def test_image_runs_as_unprivileged_user_with_hashed_packages():
    assert re.findall(r"^USER (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "10001:10001"
    assert "--require-hashes" in DOCKERFILE
    assert len(re.findall(r"^FROM ", DOCKERFILE, re.MULTILINE)) == 2
    assert "LATCHKEY_SECRET" not in DOCKERFILE


def test_docker_context_includes_only_runtime_files():
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert lines[0] == "*"
    assert {"!app", "!config", "!migrations", "!wsgi.py", "!requirements/production.txt"} <= set(lines)
    assert not {"!.env", "!deploy", "!deploy/secrets", "!var", "!.git"} & set(lines)


def test_nginx_upstreams_are_compose_services():
    assert re.findall(r"set \$latchkey ([a-z-]+):(\d+);", NGINX) == [("web", "8000")]
    assert set(re.findall(r"proxy_pass (\S+);", NGINX)) == {"http://$latchkey"}
    assert "--port" in SERVICES["web"]["command"]
    assert SERVICES["web"]["command"][SERVICES["web"]["command"].index("--port") + 1] == "8000"


def test_nginx_certificate_files_are_declared_secrets():
    files = set(re.findall(r"/run/secrets/(\S+);", NGINX))
    assert files == set(SERVICES["nginx"]["secrets"])


def test_nginx_overwrites_trusted_forwarding_headers():
    assert SERVICES["web"]["environment"]["LATCHKEY_TRUSTED_PROXIES"] == "1"
    sent = dict(re.findall(r"proxy_set_header (\S+) (\S+);", NGINX))
    assert sent["X-Forwarded-For"] == "$remote_addr"
    assert sent["X-Forwarded-Proto"] == "https"
    assert {sent[name] for name in ("Forwarded", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix")} == {
        '""'
    }


def test_nginx_access_log_contains_no_query_or_token():
    formats = re.search(r"log_format latchkey(.*?);", NGINX, re.DOTALL)
    assert formats
    assert not re.search(r"\$(request|request_uri|args|query_string|http_referer|http_cookie)\b", formats[1])
    assert "error_log /dev/stderr crit;" in NGINX


def test_nginx_log_contains_upstream_and_request_id():
    formats = re.search(r"log_format latchkey(.*?);", NGINX, re.DOTALL)
    assert formats
    assert {"$upstream_addr", "$request_id"} <= set(re.findall(r"\$\w+", formats[1]))
    assert "proxy_set_header X-Request-ID $request_id;" in NGINX


def test_compose_settings_are_valid_in_production(monkeypatch, tmp_path):
    """With the environment of web, its defaults and generated secrets."""
    contents = {"secret_keys": "5f1d9be2c07a4483a6e1d2b7f90c3358", "database_url": "postgresql://l:p@postgres:5432/l"}
    for name, text in SERVICES["web"]["environment"].items():
        value = re.sub(r"\$\{[A-Z_]+:-(.*?)\}", r"\1", text)
        if name.endswith("_FILE"):
            file = tmp_path / Path(value).name
            file.write_text(contents[file.name])
            value = str(file)
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("FLASK_DEBUG", raising=False)
    settings = Settings.load()
    assert settings.origin == "https://localhost:8443"
    assert settings.key_texts == [contents["secret_keys"]]


def test_nginx_masks_paths_with_tokens_in_its_log(app):
    masked = re.findall(r"~\^(/\S+/) \S+/-;", NGINX)
    secret = {
        rule.rule.partition("<")[0] for rule in app.url_map.iter_rules() if re.search("<(token|state)>", rule.rule)
    }
    assert secret == set(masked)
