"""``flask clients``: add, show, change, rotate, disable and delete clients."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest

from app.audit import Event
from app.cli.client_options import OPTIONS
from app.crypto import secrets
from app.oidc.clients import REGISTERED, client_of
from app.oidc.models import OAuthClient, OAuthClientOrigin
from tests.client_rows import SECRET, Signer

URI = "https://grafana.example.com/login/generic_oauth"
GRAFANA = ("clients", "create", "Grafana", "--redirect-uri", URI)


@pytest.fixture
def grafana(operate) -> str:
    """A client, as its command added it; returns its secret."""
    result = operate(*GRAFANA, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["client_secret"]


@pytest.fixture
def stored(rows):
    """Reads a client back from its row: ``stored("grafana")``."""
    return lambda client_id="grafana": client_of(rows(OAuthClient, id=client_id)[0])


def events(rows) -> list[str]:
    return [event.name for event in rows(Event)]


# --- create -------------------------------------------------------------------------------------


def test_create_prints_the_settings_for_the_app(operate, rows):
    result = operate(*GRAFANA)
    assert (result.exit_code, result.stderr) == (0, "")
    [row] = rows(OAuthClient)
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0] == ["Added", "Grafana.", "Give", "the", "app:"]
    assert ["Discovery", "URL", "http://localhost/.well-known/openid-configuration"] in lines
    assert ["Client", "ID", "grafana"] in lines
    assert ["Redirect", "URIs", URI] in lines
    assert ["Scopes", "openid", "profile", "email", "phone", "groups", "offline_access"] in lines
    [secret] = [words[2] for words in lines if words[:2] == ["Client", "secret"]]
    assert row.secret_digest == secrets.digest(secret)
    assert secrets.has_prefix(secret, "lks_")
    assert (row.id, row.source) == ("grafana", "command")
    assert [event.facts for event in rows(Event)] == [{"client": "grafana", "by": "operator"}]
    assert secret not in repr([event.facts for event in rows(Event)])


def test_create_supports_json_output(operate, rows):
    found = json.loads(operate(*GRAFANA, "--json").stdout)
    secret = found.pop("client_secret")
    assert rows(OAuthClient)[0].secret_digest == secrets.digest(secret)
    assert found == {
        "discovery_url": "http://localhost/.well-known/openid-configuration",
        "issuer": "http://localhost",
        "client_id": "grafana",
        "redirect_uris": [URI],
        "scopes": ["openid", "profile", "email", "phone", "groups", "offline_access"],
    }


def test_every_client_field_has_an_option(operate, stored, tmp_path):
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps(Signer("EdDSA").jwks))
    result = operate(
        "clients", "create", "Everything", "--id", "every", "--redirect-uri", "https://a.example.com/cb",
        "--redirect-uri", "com.example.app:/cb", "--post-logout-uri", "https://a.example.com/",
        "--backchannel-uri", "http://app:3000/logout", "--origin", "https://a.example.com",
        "--home-url", "https://a.example.com/",
        "--policy-url", "https://a.example.com/p", "--terms-url", "https://a.example.com/t", "--scope", "openid",
        "--scope", "email", "--grant", "authorization_code", "--grant", "device_code", "--group", "staff",
        "--level", "aal2", "--trusted", "--pkce", "optional", "--auth-method", "client_secret_post",
        "--jwks", str(keys), "--alg", "ES256", "--access-token", "jwt", "--subject", "pairwise",
        "--sector", "example.com", "--resource", "https://api.example.com/",
        "--serves", "https://app.example.com/api", "--serves-all", "--introspects", "--require-pushed",
        "--require-dpop", "--max-age", "3600",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    client = stored("every")
    unset = {name for name in REGISTERED if getattr(client, name) == type(client).model_fields[name].get_default()}
    assert unset == {"logo_url"}  # sent by the app, but never shown
    assert client.grant_types == ("authorization_code", "urn:ietf:params:oauth:grant-type:device_code")
    fields = {option.name for option in _parameters()}
    assert fields == REGISTERED - {"name", "logo_url"}
    assert "there is no group staff" in result.stderr
    assert "http://app:3000/logout can be read on its way" in result.stderr


DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


@pytest.mark.parametrize(
    ("options", "grants"),
    [
        ([], ("refresh_token", DEVICE)),
        (["--redirect-uri", URI], ("authorization_code", "refresh_token", DEVICE)),
        (["--grant", "device_code"], (DEVICE,)),
    ],
)
def test_device_client_output_includes_the_device_url(operate, stored, options, grants):
    result = operate("clients", "create", "TV", "--device", "--public", *options)
    assert result.exit_code == 0, result.output
    assert stored("tv").grant_types == grants
    assert re.search(r"^  Device URL +http://localhost/oauth/device$", result.stdout, re.MULTILINE)
    assert ("Redirect URIs" in result.stdout) is ("--redirect-uri" in options)


def test_output_of_other_clients_does_not_mention_devices(operate):
    assert "Device" not in operate(*GRAFANA).stdout


def _parameters():
    def command() -> None: ...

    for option in OPTIONS:
        option(command)
    return command.__click_params__


def test_public_client_gets_no_secret(operate, rows):
    result = operate(*GRAFANA, "--public")
    assert (result.exit_code, rows(OAuthClient)[0].secret_digest) == (0, None)
    assert "ecret" not in result.stdout


def test_client_id_is_derived_from_the_name(operate, rows):
    for name in ("Paperless NGX", "  Ö Home/Assistant! ", "日本"):
        assert operate("clients", "create", name.strip(), "--redirect-uri", URI).exit_code == 0
    home, paperless = sorted(row.id for row in rows(OAuthClient) if "-" in row.id)
    assert (home, paperless) == ("home-assistant", "paperless-ngx")
    assert len(rows(OAuthClient)) == 3


@pytest.mark.one_database
@pytest.mark.parametrize(("words", "reason"), [
    (("clients", "create", "X"), "redirect_uris is empty"),
    (("clients", "create", "", "--redirect-uri", URI), "NAME: "),
    (("clients", "create", "a\u202eb", "--redirect-uri", URI), "NAME: must be one line"),
    ((*GRAFANA, "--redirect-uri", "javascript:alert(1)"), "--redirect-uri: 'javascript:alert(1)'"),
    ((*GRAFANA, "--redirect-uri", "https://x.example/*"), "has a *"),
    ((*GRAFANA, "--origin", "https://x.example/"), "--origin: 'https://x.example/' is no origin"),
    ((*GRAFANA, "--group", "Staff"), "--group: 'Staff' is no group"),
    ((*GRAFANA, "--id", "my app"), "--id: must be printable ASCII"),
    ((*GRAFANA, "--id", "x" * 256), "--id: "),
    ((*GRAFANA, "--public", "--pkce", "optional"), "pkce can be optional for"),
    ((*GRAFANA, "--auth-method", "private_key_jwt"), "needs the client's public keys"),
])  # fmt: skip
def test_invalid_client_options_are_rejected(operate, rows, words, reason):
    result = operate(*words)
    assert result.exit_code == 1
    assert reason in result.stderr
    assert (rows(OAuthClient), rows(Event)) == ([], [])


@pytest.mark.one_database
def test_jwks_file_that_is_not_json_is_rejected(operate, tmp_path):
    broken = tmp_path / "keys.json"
    broken.write_text("{")
    assert "--jwks: the file isn't JSON." in operate(*GRAFANA, "--jwks", str(broken)).stderr


@pytest.mark.both_databases
def test_client_id_already_in_use_is_rejected(operate, grafana, rows):
    result = operate(*GRAFANA)
    assert (result.exit_code, result.stderr) == (
        1,
        "Error: There is already a client 'grafana'. Choose another --id.\n",
    )
    assert rows(OAuthClient)[0].secret_digest == secrets.digest(grafana)


# --- list and show ------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_list_shows_every_client(operate, grafana):
    operate("clients", "create", "Gitea", "--redirect-uri", "https://git.example.com/cb")
    operate("clients", "disable", "gitea")
    result = operate("clients", "list")
    assert result.stdout.splitlines() == [
        "ID  NAME  SOURCE  STATE",
        "gitea  Gitea  command  disabled",
        "grafana  Grafana  command  enabled",
    ]
    assert result.stderr == "2 clients.\n"
    gitea, _ = map(json.loads, operate("clients", "list", "--json").stdout.splitlines())
    assert (gitea["id"], gitea["state"], gitea["redirect_uris"]) == (
        "gitea",
        "disabled",
        ["https://git.example.com/cb"],
    )


@pytest.mark.both_databases
def test_list_continues_past_a_batch(operate, app, monkeypatch):
    from app.oidc import client_store
    from tests.client_rows import register

    monkeypatch.setattr(client_store, "BATCH", 2)
    for number in range(5):
        register(app, f"app-{number}")
    assert [line.split()[0] for line in operate("clients", "list").stdout.splitlines()[1:]] == [
        f"app-{number}" for number in range(5)
    ]


def test_list_without_clients_is_empty(operate):
    assert (operate("clients", "list").stdout, operate("clients", "list").stderr) == ("", "0 clients.\n")


@pytest.mark.both_databases
def test_show_prints_every_field_but_no_secret(operate, grafana, rows):
    result = operate("clients", "show", "grafana")
    assert result.exit_code == 0
    assert "Discovery URL   http://localhost/.well-known/openid-configuration" in result.stdout
    facts = json.loads(operate("clients", "show", "grafana", "--json").stdout)
    assert facts.keys() >= REGISTERED
    assert (facts["secrets"], facts["state"], facts["source"]) == (1, "enabled", "command")
    for output in (result.stdout, json.dumps(facts)):
        assert grafana not in output
        assert rows(OAuthClient)[0].secret_digest not in output


@pytest.mark.one_database
@pytest.mark.parametrize("command", ["show", "rotate-secret", "disable", "enable", "delete", "change"])
def test_unknown_client_is_reported(operate, command):
    more = {"change": ("--ask",), "delete": ("--yes",)}.get(command, ())
    result = operate("clients", command, "nobody", *more)
    assert result.exit_code == 1
    assert "There is no client 'nobody'. See: flask clients list" in result.stderr


# --- change -------------------------------------------------------------------------------------


@pytest.mark.both_databases
def test_change_replaces_only_the_named_fields(operate, grafana, stored, rows):
    operate("groups", "create", "staff")
    before = stored()
    result = operate("clients", "change", "grafana", "--group", "staff", "--trusted", "--origin", "https://a.example.com",
                     "--origin", "https://b.example.com")  # fmt: skip
    assert (result.exit_code, result.stdout, result.stderr) == (0, "grafana: changed.\n", "")
    after = stored()
    assert (after.groups, after.consent) == (("staff",), "trusted")
    assert after.model_copy(update={"groups": (), "consent": "ask", "origins": ()}) == before
    assert [row.origin for row in rows(OAuthClientOrigin)] == ["https://a.example.com", "https://b.example.com"]
    operate("clients", "change", "grafana", "--group", "", "--ask", "--origin", "https://b.example.com", "--name", "G")
    assert (stored().groups, stored().consent, stored().name) == ((), "ask", "G")
    assert [row.origin for row in rows(OAuthClientOrigin)] == ["https://b.example.com"]
    assert events(rows) == ["client.created", "group.created", "client.changed", "client.changed"]


def test_changing_client_type_removes_or_creates_its_secret(operate, grafana, rows):
    assert operate("clients", "change", "grafana", "--public").exit_code == 0
    assert rows(OAuthClient)[0].secret_digest is None
    result = operate("clients", "change", "grafana", "--auth-method", "secret")
    [secret] = [line.split()[2] for line in result.stdout.splitlines() if "Client secret" in line]
    assert rows(OAuthClient)[0].secret_digest == secrets.digest(secret) != secrets.digest(grafana)


def test_change_to_an_invalid_client_is_rejected(operate, grafana, stored):
    before = stored()
    for words in (("--redirect-uri", ""), ("--redirect-uri", "https://x/#"), ("--public", "--pkce", "optional")):
        assert operate("clients", "change", "grafana", *words).exit_code == 1
    assert operate("clients", "change", "grafana").exit_code == 2
    assert stored() == before


# --- rotate-secret ------------------------------------------------------------------------------


def test_old_secret_is_accepted_for_24_hours_after_rotation(operate, grafana, stored, rows, clock):
    result = operate("clients", "rotate-secret", "grafana", "--json")
    new = json.loads(result.stdout)["client_secret"]
    assert "accepted for 24 hours" in result.stderr
    assert new != grafana
    assert stored().secret_digests == (secrets.digest(new), secrets.digest(grafana))
    clock.shift(timedelta(hours=24).total_seconds() + 1)
    assert stored().secret_digests == (secrets.digest(new),)
    [event] = rows(Event, name="client.secret_rotated")
    assert event.facts == {"client": "grafana", "overlap": 86400, "by": "operator"}


@pytest.mark.parametrize(("overlap", "seconds"), [
    ("0", 0), ("90", 90), ("30m", 1800), ("24h", 86400), ("7d", 604800), ("2w", 1209600), ("PT1H", 3600), ("1D", 86400),
])  # fmt: skip
def test_old_secret_is_accepted_during_the_given_overlap(operate, grafana, stored, rows, overlap, seconds, clock):
    result = operate("clients", "rotate-secret", "grafana", "--overlap", overlap, "--json")
    assert result.exit_code == 0, result.output
    accepted = 1 if not seconds else 2
    assert len(stored().secret_digests) == accepted
    if seconds:
        clock.shift(seconds - 5)
        assert len(stored().secret_digests) == 2
        clock.shift(10)
        assert len(stored().secret_digests) == 1
    else:
        assert rows(OAuthClient)[0].old_secret_digest is None


@pytest.mark.one_database
@pytest.mark.parametrize("overlap", ["", "soon", "-1h", "1y", "24 h", "9999999999d", "1h30m", "99999999w"])
def test_invalid_overlap_is_rejected(operate, grafana, rows, overlap):
    result = operate("clients", "rotate-secret", "grafana", "--overlap", overlap)
    assert result.exit_code == 2, result.output
    assert rows(OAuthClient)[0].secret_digest == secrets.digest(grafana)


def test_second_rotation_keeps_only_the_previous_secret(operate, grafana, stored):
    first = json.loads(operate("clients", "rotate-secret", "grafana", "--json").stdout)["client_secret"]
    second = json.loads(operate("clients", "rotate-secret", "grafana", "--json").stdout)["client_secret"]
    assert stored().secret_digests == (secrets.digest(second), secrets.digest(first))


def test_rotating_the_secret_of_a_public_client_is_rejected(operate, rows):
    operate(*GRAFANA, "--public")
    result = operate("clients", "rotate-secret", "grafana")
    assert (result.exit_code, rows(OAuthClient)[0].secret_digest) == (1, None)
    assert "grafana has no secret (auth_method none)." in result.stderr


# --- disable, enable, delete --------------------------------------------------------------------


@pytest.mark.both_databases
def test_client_can_be_disabled_and_enabled(operate, grafana, app, rows):
    from app.oidc.clients import find_client

    def is_found() -> bool:
        with app.app_context():
            return find_client("grafana") is not None

    assert operate("clients", "disable", "grafana").stdout == "grafana: disabled.\n"
    assert not is_found()
    assert operate("clients", "disable", "grafana").stdout == "grafana: already disabled.\n"
    result = operate("clients", "enable", "grafana", "nobody")
    assert (result.exit_code, result.stdout) == (1, "grafana: enabled.\n")
    assert is_found()
    assert events(rows) == ["client.created", "client.disabled", "client.enabled"]


def test_disabled_client_is_rejected_until_enabled(operate, app, json_wire, people):
    from tests.oidc import register
    from tests.signed_in import sign_in

    party = register(app, "grafana", consent="trusted")
    wire = sign_in(json_wire, people.open())
    tokens = party.tokens(wire, scope="openid offline_access")
    operate("clients", "disable", "grafana")
    assert party.userinfo(tokens["access_token"]).status_code == 401
    assert party.refresh(tokens["refresh_token"]).json["error"] == "invalid_client"
    assert wire.client.get(party.request()).status_code == 400
    operate("clients", "enable", "grafana")
    assert party.userinfo(tokens["access_token"]).status_code == 200
    assert party.refresh(tokens["refresh_token"]).status_code == 200


def test_old_and_new_secret_both_get_tokens_during_overlap(operate, app, json_wire, people):
    from tests.oidc import register
    from tests.signed_in import sign_in

    party = register(app, "grafana", consent="trusted")
    wire = sign_in(json_wire, people.open())
    old = party.secret
    party.secret = json.loads(operate("clients", "rotate-secret", "grafana", "--json").stdout)["client_secret"]
    assert party.tokens(wire)
    party.secret = old
    assert party.tokens(wire)
    operate("clients", "rotate-secret", "grafana", "--overlap", "0")
    assert party.exchange(party.code(wire)).json["error"] == "invalid_client"


@pytest.mark.both_databases
def test_delete_removes_a_client_with_its_tokens_and_consents(operate, app, json_wire, people, rows):
    from app.oidc.models import AccessToken, Consent, Grant
    from tests.oidc import register, work
    from tests.signed_in import sign_in

    party = register(app, "grafana", consent="trusted", origins=["https://a.example.com"])
    wire = sign_in(json_wire, people.open())
    tokens = party.tokens(wire, scope="openid offline_access")
    assert party.userinfo(tokens["access_token"]).status_code == 200
    other = register(app, "other", consent="trusted")
    kept = other.tokens(wire)
    result = operate("clients", "delete", "grafana", "--yes")
    assert (result.exit_code, result.stdout) == (0, "grafana: deleted.\n")
    work(app)
    for model in (OAuthClient, OAuthClientOrigin, Grant, Consent):
        assert [row for row in rows(model) if getattr(row, "client_id", "") == "grafana"] == []
    assert len(rows(AccessToken)) == 1
    register(app, "grafana", consent="trusted")
    assert party.userinfo(tokens["access_token"]).status_code == 401
    assert other.userinfo(kept["access_token"]).status_code == 200


def test_delete_asks_for_confirmation(operate, grafana, rows):
    result = operate("clients", "delete", "grafana", stdin="n\n")
    assert (result.exit_code, len(rows(OAuthClient))) == (1, 1)
    assert "Delete grafana (Grafana), its tokens and consents?" in result.stdout
    assert operate("clients", "delete", "grafana", stdin="y\n").exit_code == 0
    assert rows(OAuthClient) == []


# --- the clients file ---------------------------------------------------------------------------

FILE = f"""
[clients.grafana]
name = "Grafana of the file"
redirect_uris = ["{URI}"]
secret_digest = "sha256:{secrets.digest(SECRET)}"
groups = ["staff"]
"""


@pytest.fixture
def clients_file(tmp_path):
    path = tmp_path / "clients.toml"
    path.write_text(FILE)
    return path


@pytest.fixture
def filed_app(app, make_app, file_of):
    """The application with a clients file."""
    return make_app(clients_file=str(file_of(FILE)))


def test_clients_file_takes_precedence_over_the_database(operate, grafana, filed_app):
    assert operate("clients", "list", on=filed_app).stdout.splitlines()[1:] == [
        "grafana  Grafana of the file  file  enabled",
        "grafana  Grafana  command  hidden",
    ]
    shown = operate("clients", "show", "grafana", on=filed_app)
    assert "Grafana of the file" in shown.stdout
    assert "the database also has a client with this ID" in shown.stderr
    checked = operate("clients", "check", on=filed_app)
    assert (checked.exit_code, checked.stdout) == (0, "1 client in the file, 1 client in the database, 0 to fix.\n")
    assert "Note: grafana: the database also has a client with this ID, which isn't used" in checked.stderr
    assert "Note: grafana: there is no group staff: flask groups create staff" in checked.stderr


@pytest.mark.parametrize("command", ["rotate-secret", "disable", "delete", "change"])
def test_client_of_the_file_cannot_be_changed_by_command(operate, filed_app, rows, command):
    more = {"change": ("--ask",), "delete": ("--yes",)}.get(command, ())
    result = operate("clients", command, "grafana", *more, on=filed_app)
    assert result.exit_code == 1
    assert "grafana is in the clients file: change it there, and restart." in result.stderr


def test_client_id_used_in_the_file_is_rejected(operate, filed_app, rows):
    result = operate(*GRAFANA, on=filed_app)
    assert (result.exit_code, rows(OAuthClient)) == (1, [])
    assert "The clients file has a client 'grafana'. Choose another --id." in result.stderr


def test_check_validates_the_given_file(operate, tmp_path, clients_file):
    good = operate("clients", "check", str(clients_file))
    assert (good.exit_code, good.stdout) == (0, "1 client in the file, 0 clients in the database, 0 to fix.\n")
    clients_file.write_text(FILE + f'secret = "{SECRET}"\n')
    bad = operate("clients", "check", str(clients_file))
    assert (bad.exit_code, bad.stdout) == (1, "0 clients in the file, 0 clients in the database, 1 to fix.\n")
    assert bad.stderr.startswith(f"{clients_file} line 7: clients.grafana.secret is a secret in plaintext")
    assert SECRET not in bad.output
    gone = operate("clients", "check", str(tmp_path / "nowhere"))
    assert (gone.exit_code, "can't be read" in gone.stderr) == (1, True)


@pytest.mark.both_databases
def test_check_without_a_file_validates_the_database(operate, app, grafana):
    from app.extensions import db

    assert operate("clients", "check").stdout == (
        "LATCHKEY_CLIENTS_FILE isn't set.\n0 clients in the file, 1 client in the database, 0 to fix.\n"
    )
    with app.app_context():
        db.session.get(OAuthClient, "grafana").registered = {"name": ""}
        db.session.commit()
    broken = operate("clients", "check")
    assert (broken.exit_code, "0 clients in the database, 1 to fix" in broken.stdout) == (1, True)
    assert "grafana: its row is no longer a client" in broken.stderr


# --- digest and registration-token --------------------------------------------------------------


@pytest.mark.one_database
def test_digest_generates_a_secret_and_its_file_line(operate):
    result = operate("clients", "digest")
    secret = result.stderr.split()[-1]
    assert secrets.has_prefix(secret, "lks_")
    assert result.stdout == f'secret_digest = "sha256:{secrets.digest(secret)}"\n'


@pytest.mark.one_database
def test_digest_of_an_existing_secret_is_printed(operate):
    result = operate("clients", "digest", "--existing", stdin=SECRET + "\n")
    assert (result.stdout, result.stderr) == (f'secret_digest = "sha256:{secrets.digest(SECRET)}"\n', "")
    for wrong in ("", "t0o-short", "ünïcode-0123456789-0123456789"):
        refused = operate("clients", "digest", "--existing", stdin=wrong)
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert not wrong or wrong not in refused.stderr


@pytest.mark.both_databases
def test_registration_token_is_printed_once_and_stored_as_digest(operate, rows, clock):
    from app.oidc.models import RegistrationToken

    result = operate("clients", "registration-token", "--uses", "3", "--lasts", "2h", "--name", "CI")
    token = result.stdout.strip()
    [row] = rows(RegistrationToken)
    assert (row.digest, row.uses_left, row.name) == (secrets.digest(token), 3, "CI")
    assert timedelta(minutes=119) < row.expires_at - clock.now() <= timedelta(hours=2)
    assert "Valid for 3 clients at http://localhost/oauth/register" in result.stderr
    assert [event.facts for event in rows(Event)] == [{"token": "CI", "uses": 3, "by": "operator"}]
    assert token not in repr([event.facts for event in rows(Event)])


@pytest.mark.one_database
@pytest.mark.parametrize("words", [("--uses", "0"), ("--lasts", "0"), ("--lasts", "x"), ("--name", "x" * 65)])
def test_invalid_registration_token_options_are_rejected(operate, rows, words):
    from app.oidc.models import RegistrationToken

    assert operate("clients", "registration-token", *words).exit_code in (1, 2)
    assert rows(RegistrationToken) == []
