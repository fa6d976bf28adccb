"""``sub`` and ``sid``: permanent, and useless to other apps."""

from __future__ import annotations

import re
import threading

import pytest

from app.cli.keys import reseal
from app.crypto.encryption import DecryptionError, KeyRing, kid_of
from app.extensions import db, keyring
from app.oidc.clients import Client
from app.oidc.models import IdentifierSecret
from app.oidc.subjects import sid_for, subject_for
from tests.databases import KEY
from tests.functional.operator.conftest import NEW_KEY

HANDLE, SESSION = "h" * 43, "5" * 32
NAME = re.compile(r"[\w-]{43}\Z", re.ASCII)


def client(client_id="wiki", *, host="wiki.example.com", **more) -> Client:
    return Client(id=client_id, name="Wiki", redirect_uris=(f"https://{host}/callback",), **more)


PAIRWISE = client(subject="pairwise")


@pytest.fixture
def names(app):
    """``sub`` and ``sid`` from an app of this installation, in a separate context."""

    def make(of=app, of_client=PAIRWISE, handle=HANDLE, session_id=SESSION) -> tuple[str, str]:
        with of.app_context():
            return subject_for(handle, of_client), sid_for(session_id, of_client.id)

    return make


@pytest.mark.one_database
def test_public_subject_is_the_user_handle(app):
    with app.app_context():
        assert subject_for(HANDLE, client()) == HANDLE


def test_pairwise_sub_and_sid_are_opaque_43_character_strings(names):
    sub, sid = names()
    assert NAME.match(sub)
    assert NAME.match(sid)
    assert len({sub, sid, HANDLE}) == 3


def test_sub_and_sid_survive_secret_key_rotation(app, make_app, names, rows):
    before = names()
    rotating, new = make_app(secret_keys=f"{NEW_KEY},{KEY}"), make_app(secret_keys=NEW_KEY)
    assert names(rotating) == before
    with rotating.app_context():
        reseal()
    assert [kid_of(row.secret) for row in rows(IdentifierSecret)] == [KeyRing([NEW_KEY]).kid]
    assert names(new) == before


def test_sub_and_sid_differ_by_client_but_sub_is_shared_in_a_sector(names):
    mine = names()
    wiki = names(of_client=client("blog", host="blog.example.com", subject="pairwise"))
    assert not set(mine) & set(wiki)
    one = names(of_client=client("one", sector="example.com", subject="pairwise"))
    two = names(of_client=client("two", host="two.example.com", sector="example.com", subject="pairwise"))
    assert one[0] == two[0]
    assert one[1] != two[1]


def test_private_use_scheme_clients_have_separate_sectors(names):
    def native(client_id):
        uris = (f"com.example.{client_id}:/callback",)
        return Client(id=client_id, name="App", auth_method="none", redirect_uris=uris, subject="pairwise")

    assert names(of_client=native("one"))[0] != names(of_client=native("two"))[0]


def test_sub_differs_by_user_and_sid_by_session(names):
    assert names()[0] != names(handle="i" * 43)[0]
    assert names()[1] != names(session_id="6" * 32)[1]


@pytest.mark.both_databases
def test_rolled_back_naming_secret_is_not_cached(app, names):
    with app.app_context():
        db.session.execute(db.delete(IdentifierSecret))  # a write came before
        undone = sid_for(SESSION, "wiki")
        assert sid_for(SESSION, "wiki") == undone
        db.session.rollback()
    kept = names()
    assert kept[1] != undone
    app.extensions.pop("latchkey.oidc.naming")
    assert names() == kept


@pytest.mark.both_databases
def test_concurrent_first_uses_create_one_naming_secret(app, names, rows):
    made: list[tuple[str, str]] = []
    start = threading.Barrier(8)

    def make():
        with app.app_context():
            start.wait()
            app.extensions.pop("latchkey.oidc.naming", None)
            made.append((subject_for(HANDLE, PAIRWISE), sid_for(SESSION, "wiki")))

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    assert len(rows(IdentifierSecret)) == 1


@pytest.mark.both_databases
def test_cached_naming_secret_needs_no_query(app, names, statements):
    names()
    with statements() as seen:
        names()
    assert seen == []


def test_naming_secret_sealed_for_another_purpose_is_rejected(app, names):
    names()
    with app.app_context():
        db.session.execute(db.update(IdentifierSecret).values(secret=keyring.seal(b"0" * 32, "enrolled_method", "1")))
        db.session.commit()
    app.extensions.pop("latchkey.oidc.naming")
    with pytest.raises(DecryptionError):
        names()
