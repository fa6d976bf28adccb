"""Someone who may no longer use an app: its tokens are rejected immediately, and it is notified."""

from __future__ import annotations

import json

import pytest

from app.db.retention import registered_cleanups
from app.extensions import db
from app.groups.models import GroupMembership
from app.oidc.models import Grant
from tests.devices import Device, tv
from tests.functional.admin.conftest import make_administrator
from tests.functional.oidc.test_resources import API, allowed, is_active
from tests.functional.oidc.test_resources import add as add
from tests.functional.oidc.test_resources import stranger as stranger
from tests.functional.operator.conftest import operate as operate
from tests.groups import put_in
from tests.oidc import register, work
from tests.signed_in import sign_in
from tests.wire import Wire

LASTING = "openid offline_access"


@pytest.fixture
def staff(app, ada, people):
    """A group with Ada and someone else."""
    put_in(app, ada, "staff")
    put_in(app, people.open("bob@example.com"), "staff")
    return "staff"


@pytest.fixture
def wiki(app, staff, endpoint):
    """An app with back-channel logout, only for the group."""
    return register(app, "wiki", groups=[staff], backchannel_logout_uri=endpoint.url)


class Given:
    """What the ways of losing access need."""

    def __init__(self, app, ada, people, operate):
        self.app, self.ada, self.operate = app, ada, operate
        grace = make_administrator(app, people.open("grace@example.com", methods=["email", "authenticator"]))
        self.consoles = [sign_in(Wire(app, language), grace) for language in ("form", "json")]

    @property
    def handle(self) -> str:
        from app.users import User

        with self.app.app_context():
            return db.session.get_one(User, self.ada.id).handle

    def types(self, *words):
        done = self.operate(*words)
        assert done.exit_code == 0, done.output


@pytest.fixture
def given(app, ada, people, operate):
    return Given(app, ada, people, operate)


def by_a_form_of_the_groups_page(given):
    assert given.consoles[0].post(f"/admin/groups/staff/members/{given.handle}/remove").ok


def by_json_of_the_groups_page(given):
    assert given.consoles[1].post(f"/admin/groups/staff/members/{given.handle}/remove").ok


def on_the_persons_page(given):
    assert given.consoles[0].post(f"/admin/people/{given.handle}/groups/staff/leave").ok


def deleted_in_the_console(given):
    assert given.consoles[1].post("/admin/groups/staff/delete", sure=True).ok


def by_a_command(given):
    given.types("groups", "remove", "staff", given.ada.email)


def deleted_by_a_command(given):
    given.types("groups", "delete", "staff", "--yes")


def the_app_is_for_others(given):
    given.types("groups", "create", "admins")
    given.types("clients", "change", "wiki", "--group", "admins")


WAYS = (
    by_a_form_of_the_groups_page, by_json_of_the_groups_page, on_the_persons_page, deleted_in_the_console,
    by_a_command, deleted_by_a_command, the_app_is_for_others,
)  # fmt: skip


@pytest.fixture
def logout_sids(app, wiki, endpoint, deliver):
    """Runs the worker's job and the outbox, and returns the sids in the app's logout tokens."""

    def read():
        work(app)
        deliver()
        return [wiki.claims(each.token)["sid"] for each in endpoint.posted]

    return read


@pytest.mark.parametrize("scope", ["openid", LASTING])
@pytest.mark.parametrize("lose", WAYS, ids=lambda each: each.__name__)
def test_losing_group_access_rejects_tokens_and_sends_a_logout_token(given, wiki, browser, logout_sids, lose, scope):
    tokens = wiki.tokens(browser, scope=scope)
    lose(given)
    assert wiki.userinfo(tokens["access_token"]).status_code == 401
    assert not is_active(wiki, tokens["access_token"])
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]


def test_revoked_tokens_stay_invalid_after_rejoining_the_group(app, given, wiki, browser, ada, logout_sids):
    tokens = wiki.tokens(browser, scope=LASTING)
    by_a_command(given)
    put_in(app, ada, "staff")
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert len(logout_sids()) == 1
    assert wiki.userinfo(wiki.tokens(browser)["access_token"]).status_code == 200
    assert len(logout_sids()) == 1


def test_ended_tokens_stay_invalid_after_client_groups_are_restored(given, wiki, browser, logout_sids):
    tokens = wiki.tokens(browser, scope=LASTING)
    the_app_is_for_others(given)
    assert len(logout_sids()) == 1
    given.types("clients", "change", "wiki", "--group", "staff")
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert wiki.userinfo(wiki.tokens(browser)["access_token"]).status_code == 200
    assert len(logout_sids()) == 1


def test_tokens_issued_after_client_groups_were_restored_stay_valid(given, wiki, browser, logout_sids):
    the_app_is_for_others(given)
    given.types("clients", "change", "wiki", "--group", "staff")
    tokens = wiki.tokens(browser)
    assert logout_sids() == []
    assert wiki.userinfo(tokens["access_token"]).status_code == 200


@pytest.mark.both_databases
@pytest.mark.parametrize("scope", ["openid", LASTING])
@pytest.mark.parametrize("groups", [["staff"], ["staff", "admins"], [""]], ids=["back", "more", "everyone"])
def test_tokens_stay_invalid_when_groups_are_restored_before_the_worker_ran(
    given, wiki, browser, logout_sids, scope, groups
):
    tokens, code = wiki.tokens(browser, scope=scope), wiki.code(browser, scope=scope)
    the_app_is_for_others(given)
    given.types("clients", "change", "wiki", *(word for name in groups for word in ("--group", name)))
    for has_worked in (False, True):
        assert wiki.userinfo(tokens["access_token"]).status_code == 401
        assert not is_active(wiki, tokens["access_token"])
        assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
        assert wiki.exchange(code).json["error"] == "invalid_grant"
        assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]], has_worked
    assert wiki.userinfo(wiki.tokens(browser)["access_token"]).status_code == 200
    assert len(logout_sids()) == 1


@pytest.mark.both_databases
def test_member_of_both_the_old_and_the_new_group_keeps_tokens(app, ada, given, wiki, browser, logout_sids):
    given.types("groups", "create", "admins")
    put_in(app, ada, "admins")
    tokens = wiki.tokens(browser)
    for groups in (["admins"], ["others", "admins"], ["staff"]):
        given.types("clients", "change", "wiki", *(word for name in groups for word in ("--group", name)))
        assert wiki.userinfo(tokens["access_token"]).status_code == 200
        assert is_active(wiki, tokens["access_token"])
        tokens = wiki.refresh(tokens["refresh_token"]).json
    assert logout_sids() == []
    assert wiki.refresh(tokens["refresh_token"]).status_code == 200


@pytest.mark.both_databases
@pytest.mark.parametrize("name", ["admin", "s", "a_b", "a"])
def test_group_whose_name_resembles_an_allowed_one_gives_no_access(app, ada, given, wiki, browser, name):
    put_in(app, ada, name)
    tokens = wiki.tokens(browser)
    given.types("clients", "change", "wiki", "--group", "admins", "--group", "a.b")
    given.types("clients", "change", "wiki", "--group", "staff")
    assert wiki.userinfo(tokens["access_token"]).status_code == 401


def test_losing_group_access_revokes_offline_access_after_logout(app, ada, given, wiki, browser, logout_sids):
    tokens = wiki.tokens(browser, scope=LASTING)
    assert browser.post("/logout").ok
    by_a_command(given)
    put_in(app, ada, "staff")
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert len(logout_sids()) == 1, "of the session's end"


@pytest.mark.both_databases
def test_leaving_a_group_of_a_disabled_client_revokes_offline_access(app, ada, given, wiki, browser, logout_sids):
    tokens = wiki.tokens(browser, scope=LASTING)
    given.types("clients", "disable", "wiki")
    assert len(logout_sids()) == 1
    by_a_command(given)
    put_in(app, ada, "staff")
    given.types("clients", "enable", "wiki")
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert len(logout_sids()) == 1


def test_member_of_any_allowed_group_keeps_access_to_the_client(app, given, ada, browser, endpoint, deliver):
    put_in(app, ada, "staff")
    put_in(app, ada, "guests")
    wiki = register(app, "wiki", groups=["staff", "guests"], backchannel_logout_uri=endpoint.url)
    tokens = wiki.tokens(browser)
    by_a_command(given)
    assert wiki.userinfo(tokens["access_token"]).status_code == 200
    assert wiki.refresh(tokens["refresh_token"]).status_code == 200
    deliver()
    assert endpoint.posted == []


def test_leaving_a_group_affects_no_other_apps_or_members(app, given, wiki, browser, people, logout_sids, rows):
    blog, carol = register(app, "blog"), people.open("carol@example.com", methods=["email"])
    put_in(app, carol, "staff")
    others = sign_in(Wire(app, "form"), carol)
    mine, hers = blog.tokens(browser), wiki.tokens(others)
    by_a_command(given)
    assert blog.refresh(mine["refresh_token"]).status_code == 200
    assert wiki.refresh(hers["refresh_token"]).status_code == 200
    assert logout_sids() == []
    assert [grant.revoked_at for grant in rows(Grant)] == [None, None]


@pytest.mark.both_databases
def test_deleting_a_group_sends_a_logout_token_for_each_member(app, given, wiki, browser, people, logout_sids):
    carol = people.open("carol@example.com", methods=["email"])
    put_in(app, carol, "staff")
    others = sign_in(Wire(app, "form"), carol)
    sids = {wiki.claims(wiki.tokens(each)["id_token"])["sid"] for each in (browser, others)}
    deleted_by_a_command(given)
    assert set(logout_sids()) == sids
    assert len(logout_sids()) == 2


def take_the_row(app, ada):
    """Remove someone from every group without notifying anyone, as a concurrent change would."""
    with app.app_context():
        db.session.execute(db.delete(GroupMembership).where(GroupMembership.user_id == ada.id))
        db.session.commit()


def test_token_checks_read_group_membership_directly(app, ada, wiki, browser):
    tokens, code = wiki.tokens(browser), wiki.code(browser)
    take_the_row(app, ada)
    assert wiki.exchange(code).json["error"] == "invalid_grant"
    assert wiki.userinfo(tokens["access_token"]).status_code == 401
    assert not is_active(wiki, tokens["access_token"])
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    put_in(app, ada, "staff")
    assert wiki.refresh(tokens["refresh_token"]).status_code == 200, "nothing was spent, and nobody is accused of reuse"


@pytest.mark.both_databases
def test_refresh_retry_is_rejected_after_losing_group_membership(app, ada, wiki, browser, rows):
    tokens = wiki.tokens(browser)
    assert wiki.refresh(tokens["refresh_token"]).status_code == 200
    take_the_row(app, ada)
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    assert rows(Grant)[0].revoked_at is None, "nobody copied a token"


@pytest.mark.both_databases
def test_approved_device_gets_no_tokens_after_losing_group_membership(app, ada, staff, browser):
    device = Device(tv(app, groups=[staff]))
    assert browser.post("/device/consent", user_code=device.user_code, allow="yes").ok
    take_the_row(app, ada)
    assert device.poll().json["error"] == "invalid_grant"


@pytest.mark.both_databases
def test_group_check_adds_no_query_to_token_requests(wiki, app, browser, statements):
    blog = register(app, "blog")
    counts = []
    for each in (blog, blog, wiki):  # at first the keys are read
        tokens = each.tokens(browser)
        with statements() as seen:
            assert each.userinfo(tokens["access_token"]).status_code == 200
            assert each.refresh(tokens["refresh_token"]).status_code == 200
            assert is_active(each, tokens["access_token"])
        counts.append(len(seen))
    assert counts[1] == counts[2]


def test_tokens_for_a_resource_require_its_group_membership(app, ada, add, stranger, browser, staff, clock):
    api = add("api", serves=[API], serves_all=True, groups=[staff])
    tokens = allowed(stranger, browser, resource=API)
    assert is_active(api, tokens["access_token"])
    take_the_row(app, ada)
    assert not is_active(api, tokens["access_token"])
    refused = stranger.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json["error"]) == (400, "invalid_target")
    put_in(app, ada, staff)
    clock.shift(31)  # nothing was exchanged, of which a copy would be accused
    assert is_active(api, stranger.refresh(tokens["refresh_token"]).json["access_token"])


def clean_up(app):
    """Run the worker's cleanups until none finds anything more."""
    with app.app_context():
        for cleanup in registered_cleanups():
            more = True
            while more:
                more = cleanup()
                db.session.commit()


def client_of_file(make_app, path, groups, **more):
    """Return a service whose clients file has the app for these groups."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in more.items()]
    path.write_text("\n".join(["[clients.wiki]", 'name = "Wiki"', f"groups = {json.dumps(groups)}", *lines, ""]))
    return make_app(clients_file=str(path))


@pytest.mark.both_databases
def test_worker_sends_logout_token_when_clients_file_changed_the_groups(
    app, make_app, tmp_path, browser, wiki, staff, endpoint, logout_sids
):
    from app.crypto import secrets

    fields = {"redirect_uris": [wiki.redirect_uri], "consent": "trusted", "backchannel_logout_uri": endpoint.url}
    fields["secret_digest"] = f"sha256:{secrets.digest(wiki.secret)}"
    tokens = wiki.tokens(browser, scope=LASTING)
    clean_up(client_of_file(make_app, tmp_path / "1.toml", [staff], **fields))
    assert logout_sids() == []
    changed = client_of_file(make_app, tmp_path / "2.toml", ["admins"], **fields)
    wiki.http = changed.test_client(use_cookies=False)
    assert wiki.userinfo(tokens["access_token"]).status_code == 401
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant"
    clean_up(changed)
    assert logout_sids() == [wiki.claims(tokens["id_token"])["sid"]]
    wiki.http = app.test_client(use_cookies=False)
    assert wiki.refresh(tokens["refresh_token"]).json["error"] == "invalid_grant", "it has ended for good"
