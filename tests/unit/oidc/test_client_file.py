"""The clients file: valid contents, and the error for each mistake."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.crypto import secrets
from app.oidc.client_file import FIELDS, SETTING, read_clients
from app.oidc.clients import Client
from config.problems import ConfigurationError
from tests.client_rows import SECRET, Signer
from tests.databases import ROOT
from tests.images import svg

DIGEST = f"sha256:{secrets.digest(SECRET)}"
GRAFANA = f"""
[clients.grafana]
name = "Grafana"
redirect_uris = ["https://grafana.example.com/login/generic_oauth"]
secret_digest = "{DIGEST}"
"""


@pytest.fixture
def write(tmp_path):
    """Writes the clients file: ``write(text)`` returns its path."""

    def store(text: str | bytes, name: str = "clients.toml") -> str:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    return store


@pytest.fixture
def faults(write):
    """Returns what is wrong with a text: ``faults("[clients.x]")``."""

    def read(text: str | bytes) -> list[str]:
        clients, problems = read_clients(write(text))
        assert not problems or not clients
        return [f"{problem.what}. {problem.remedy}" for problem in problems]

    return read


def test_client_is_read_with_defaults(write):
    clients, problems = read_clients(write(GRAFANA))
    assert problems == []
    [client] = clients.values()
    assert (client.id, client.name, client.source) == ("grafana", "Grafana", "file")
    assert client.redirect_uris == ("https://grafana.example.com/login/generic_oauth",)
    assert client.secret_digests == (secrets.digest(SECRET),)
    assert (client.consent, client.pkce, client.auth_method) == ("ask", "required", "secret")


def test_every_field_can_be_set(write, tmp_path):
    [key] = Signer("EdDSA").jwks["keys"]
    text = f"""
[clients."https://app.example.com/id"]
name = "Everything"
secret_digest = ["{DIGEST}", "sha256:{"0" * 64}"]
auth_method = "client_secret_post"
jwks = {{ keys = [{{ kty = "OKP", crv = "Ed25519", x = "{key["x"]}" }}] }}
redirect_uris = ["https://app.example.com/cb", "com.example.app:/cb"]
post_logout_redirect_uris = ["https://app.example.com/"]
backchannel_logout_uri = "http://app:3000/logout"
origins = ["https://app.example.com"]
home_url = "https://app.example.com/"
logo = "logos/app.svg"
policy_url = "https://app.example.com/privacy"
terms_url = "https://app.example.com/terms"
scopes = ["openid", "email"]
grant_types = ["authorization_code"]
groups = ["staff", "it.admins"]
level = "aal2"
consent = "trusted"
pkce = "optional"
id_token_alg = "EdDSA"
access_token = "jwt"
subject = "pairwise"
sector = "example.com"
resources = ["https://api.example.com/"]
serves = ["https://app.example.com/api"]
serves_all = true
introspects = true
require_pushed = true
require_dpop = true
default_max_age = 3600
"""
    (tmp_path / "logos").mkdir()
    write(svg(), "logos/app.svg")
    clients, problems = read_clients(write(text))
    assert problems == []
    client = clients["https://app.example.com/id"]
    unset = {name for name in Client.model_fields if getattr(client, name) == Client.model_fields[name].get_default()}
    assert unset == {"source", "logo_url"}, "the text above leaves a field as it is by default"
    named = {line.partition(" = ")[0] for line in text.splitlines() if " = " in line}
    assert named == set(FIELDS) - {"secret_file"}


def test_client_secret_is_read_from_secret_file(write):
    write(SECRET + "\n", "grafana.secret")
    text = GRAFANA.replace(f'secret_digest = "{DIGEST}"', 'secret_file = "grafana.secret"')
    clients, problems = read_clients(write(text))
    assert problems == []
    assert clients["grafana"].secret_digests == (secrets.digest(SECRET),)
    assert SECRET not in repr(clients)


def test_public_and_private_key_jwt_clients_need_no_secret(write):
    public = '[clients.spa]\nname = "SPA"\nredirect_uris = ["https://spa.example.com/"]\nauth_method = "none"\n'
    [key] = Signer("EdDSA").jwks["keys"]
    keys = f'jwks = {{ keys = [{{ kty = "OKP", crv = "Ed25519", x = "{key["x"]}" }}] }}\n'
    signing = public.replace("clients.spa", "clients.cli").replace('"none"', '"private_key_jwt"') + keys
    clients, problems = read_clients(write(public + signing))
    assert (list(clients), problems) == (["spa", "cli"], [])


def with_line(line: str, instead_of: str = "") -> str:
    """Return the file with one line more, or another one for the line that begins so."""
    if instead_of:
        return "\n".join(line if each.startswith(instead_of) else each for each in GRAFANA.splitlines()) + "\n"
    return GRAFANA + line + "\n"


WRONG = {
    "no TOML": ("[clients.grafana\n", "isn't valid TOML: ", "line 1, column 17"),
    "a field twice": (with_line('name = "x"'), "isn't valid TOML: ", "line 6"),
    "a client twice": (GRAFANA + GRAFANA, "isn't valid TOML: ", "line 7"),
    "no UTF-8": (b"\xff", "points to a file that is not UTF-8 text", ""),
    "another table": ('[client.x]\nname = "x"', "line 1: client isn't a table of clients", "[clients.grafana]"),
    "no table": ("clients = 7", "line 1: clients contains more than tables", ""),
    "a list of tables": ('[[clients]]\nname = "x"', "line 1: clients contains more than tables", ""),
    "a value among tables": ("[clients]\nx = 1", "clients contains more than tables", ""),
    "a clear secret": (with_line(f'secret = "{SECRET}"'), "line 6: clients.grafana.secret is a secret in plaintext",
                       "flask clients digest prints that line"),
    "a clear secret by another name": (with_line(f'client_secret = "{SECRET}"'), "is a secret in plaintext", ""),
    "a clear secret as digest": (with_line(f'secret_digest = "{SECRET}"', "secret_digest"),
                                 'line 5: clients.grafana.secret_digest must be "sha256:"', "flask clients digest"),
    "a digest of another length": (with_line(f'secret_digest = "{DIGEST[:-1]}"', "secret_digest"), "must be", ""),
    "a digest without its mark": (with_line(f'secret_digest = "{DIGEST[7:]}"', "secret_digest"), "must be", ""),
    "digests that are none": (with_line("secret_digest = [7]", "secret_digest"), "must be", ""),
    "no secret": (with_line("", "secret_digest"), "line 2: clients.grafana has no secret: set", "flask clients digest"),
    "an empty list of digests": (with_line("secret_digest = []", "secret_digest"), "has no secret", ""),
    "a misspelt field": (with_line('redirect_uri = "x"'), "line 6: clients.grafana.redirect_uri isn't a field",
                         "Did you mean redirect_uris?"),
    "a field of the command": (with_line("trusted = true"), "isn't a field", 'Write consent = "trusted".'),
    "an unknown field": (with_line("zzz = 1"), "isn't a field", "docs/apps.md"),
    "its id": (with_line('id = "x"'), "line 6: clients.grafana.id isn't a field", "in the table's header"),
    "its source": (with_line('source = "command"'), "isn't a field", ""),
    "its digests": (with_line("secret_digests = []"), "isn't a field", "Did you mean secret_digest?"),
    "no name": (with_line("", "name"), "line 2: clients.grafana.name: is missing", ""),
    "an empty name": (with_line('name = ""', "name"), "line 3: clients.grafana.name: ", ""),
    "a name that turns": (with_line('name = "a\\u202Eb"', "name"), "clients.grafana.name: must be one line", ""),
    "a name of a wrong type": (with_line("name = 7", "name"), "line 3: clients.grafana.name: must be text", ""),
    "one address": (with_line('redirect_uris = "https://x.example/"', "redirect"), "redirect_uris: must be a list", ""),
    "a number as address": (with_line("redirect_uris = [7]", "redirect"), "a value in the list must be text", ""),
    "no address": (with_line("redirect_uris = []", "redirect"), "line 2: clients.grafana: redirect_uris is empty", ""),
    "a wrong address": (with_line('redirect_uris = ["javascript:alert(1)"]', "redirect"),
                        "line 4: clients.grafana.redirect_uris: ", ""),
    "a pattern": (with_line('redirect_uris = ["https://x.example/*"]', "redirect"), "has a *", ""),
    "a fragment": (with_line('redirect_uris = ["https://x.example/#"]', "redirect"), "has a fragment", ""),
    "an unknown scope": (with_line('scopes = ["openid", "admin"]'), "clients.grafana.scopes: unknown: admin", ""),
    "an unknown grant": (with_line('grant_types = ["password"]'), "unknown: password", ""),
    "an unknown word": (with_line('pkce = "plain"'), "line 6: clients.grafana.pkce: must be 'required' or", ""),
    "a group with no name": (with_line('groups = ["Staff"]'), "clients.grafana.groups: 'Staff' is no group", ""),
    "an origin with a path": (with_line('origins = ["https://x.example/"]'), "is no origin", ""),
    "a private key": (with_line('jwks = { keys = [{ kty = "oct", k = "AAAA" }] }'), "has a private or shared key", ""),
    "a key set that is none": (with_line("jwks = { keys = 7 }"), "line 6: clients.grafana.jwks: it is no key set", ""),
    "public and optional": (with_line('auth_method = "none"\npkce = "optional"', "secret_digest"),
                            "line 2: clients.grafana: pkce can be optional for", ""),
    "public with a secret": (with_line('auth_method = "none"'), "a public client (auth_method none) has no secret", ""),
    "public without TLS": (with_line('auth_method = "none"\nredirect_uris = ["http://x.example/"]', "redirect")
                           .replace("secret_digest", "#"), "needs https://", ""),
    "public and introspects": (with_line('auth_method = "none"\nintrospects = true', "secret_digest"),
                               "introspects is for clients with a secret", ""),
    "no keys": (with_line('auth_method = "private_key_jwt"'), "needs the client's public keys", ""),
    "pairwise on two hosts": (with_line('redirect_uris = ["https://a.example/", "https://b.example/"]\n'
                                        'subject = "pairwise"', "redirect"), "needs a sector", ""),
    "a negative age": (with_line("default_max_age = -1"), "line 6: clients.grafana.default_max_age: ", ""),
    "a date": (with_line("default_max_age = 2026-01-01"), "default_max_age: must be a whole number", ""),
    "an id with a blank": ('[clients."my app"]\nname = "x"\nauth_method = "none"\nredirect_uris = ["https://x.example/"]',
                           "line 1: clients.my app: must be printable ASCII", ""),
    "a secret nowhere": (with_line('secret_file = "nowhere"', "secret_digest"),
                         "line 5: clients.grafana.secret_file points to a file that can't be read", ""),
    "a secret's file of a wrong type": (with_line("secret_file = 7", "secret_digest"), "secret_file", ""),
    "a logo nowhere": (with_line('logo = "nowhere.svg"'),
                       "line 6: clients.grafana.logo points to a file that can't be read", "Use another file"),
    "a logo of a wrong type": (with_line("logo = 7"), "line 6: clients.grafana.logo", ""),
    "a logo that is no image": (with_line('logo = "clients.toml"'), "points to a file that isn't a PNG", ""),
    "a logo elsewhere": (with_line('logo_url = "https://x.example/x.svg"'), "isn't a field", 'logo = "app.svg"'),
    "both": (with_line('secret_file = "nowhere"'), "is set, and so is secret_digest", "Keep one of them."),
}  # fmt: skip


@pytest.mark.parametrize(("text", "what", "remedy"), WRONG.values(), ids=WRONG)
def test_problem_names_line_and_remedy(faults, text, what, remedy):
    found = faults(text)
    assert any(what in each and remedy in each for each in found), found
    assert SECRET not in repr(found)
    assert all(len(each) < 300 for each in found)


def test_all_problems_are_reported_in_line_order(faults):
    text = with_line("zzz = 1", "name") + '[clients.b]\nname = 1\n[clients.c]\npkce = "x"\n'
    numbers = [int(re.match(r"line (\d+):", each)[1]) for each in faults(text)]
    assert numbers == sorted(numbers)
    assert set(numbers) == {2, 3, 7, 8, 9}


@pytest.mark.parametrize(
    "secret", ["t0o-short", "with a new\nline in the middle of it", "ünïcode-0123456789-0123456789"]
)
def test_invalid_secret_in_secret_file_is_rejected(write, secret):
    write(secret, "grafana.secret")
    text = GRAFANA.replace(f'secret_digest = "{DIGEST}"', 'secret_file = "grafana.secret"')
    _, [problem] = read_clients(write(text))
    assert "secret_file points to a file with a secret that" in problem.what
    assert secret not in str(problem)


def test_missing_or_oversized_clients_file_is_rejected(write, tmp_path):
    _, [gone] = read_clients(str(tmp_path / "nowhere.toml"))
    assert str(gone).startswith(f"{SETTING} points to a file that can't be read (No such file or directory).")
    _, [large] = read_clients(write("#" * 1_048_577))
    assert "is larger than 1 MiB" in str(large)


def test_empty_file_has_no_clients(write):
    assert read_clients(write("")) == ({}, [])


# --- at start -----------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_file_client_is_found_without_a_query(make_app, write, statements):
    from app.oidc.clients import find_client

    app = make_app(clients_file=write(GRAFANA))
    with app.app_context(), statements() as seen:
        assert find_client("grafana").name == "Grafana"
    assert seen == []


@pytest.mark.one_database
def test_startup_with_invalid_clients_file_fails(make_app, write):
    with pytest.raises(ConfigurationError) as refused:
        make_app(clients_file=write(with_line("zzz = 1")))
    assert str(refused.value).startswith("LATCHKEY_CLIENTS_FILE line 6: clients.grafana.zzz isn't a field of a client.")


@pytest.mark.one_database
def test_process_with_invalid_clients_file_exits_with_78_and_no_traceback(write, tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    environment |= {
        "LATCHKEY_ENVIRONMENT": "development",
        "LATCHKEY_SECRET_KEYS": "for-tests-alone-4f1d0c0b8f7e4a2e9d6c5b3a29180706",
        "LATCHKEY_DATABASE_URL": f"sqlite:///{tmp_path}/latchkey.db",
        "LATCHKEY_CLIENTS_FILE": write(with_line(f'secret = "{SECRET}"')),
    }
    command = [sys.executable, "-m", "flask", "--app", "wsgi", "users", "list"]
    done = subprocess.run(command, cwd=Path(ROOT), env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78, done.stderr
    assert "LATCHKEY_CLIENTS_FILE line 6: clients.grafana.secret is a secret in plaintext" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr
