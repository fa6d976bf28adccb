"""Through PgBouncer in transaction mode: everything works, and deadlines hold without session settings."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.db import attach, engine_options, engine_url, unavailable
from tests.databases import ROOT, Database
from tests.faults.accounts import open_many
from tests.faults.pgbouncer import pgbouncer
from tests.faults.visitors import Visitor, code_for, signed_in_visitor
from tests.sinks import until

pytestmark = pytest.mark.one_database

ASLEEP = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
SHOWN = """
    SELECT current_setting('statement_timeout'), current_setting('lock_timeout'), current_setting('synchronous_commit')
"""


@pytest.fixture
def behind(databases):
    """A PostgreSQL database, without a pooler."""
    made = databases.fresh("postgresql")
    yield made
    made.disconnect()


@pytest.fixture
def pooled(behind, tmp_path):
    """Its URL through PgBouncer."""
    with pgbouncer(behind, tmp_path) as url:
        yield url


@pytest.fixture
def engine(pooled):
    """An engine through PgBouncer whose statements the server cancels after a second; ours would after ten."""
    engine = sa.create_engine(engine_url(pooled), **engine_options(pooled, timeout=1, pool_size=8, pooled=True))
    attach(engine, timeout=10)
    yield engine
    engine.dispose()


def test_many_concurrent_sign_ins_work_through_a_transaction_pooler(behind, pooled, start, smtp):
    addresses = open_many(behind, 4)
    server = start(Database("postgresql", pooled), workers=3, LATCHKEY_DATABASE_POOLER="transaction")
    signed_in: list[Visitor] = []

    def come(address: str) -> None:
        for _ in range(3):
            signed_in.append(signed_in_visitor(server.url, address, smtp))

    threads = [threading.Thread(target=come, args=(address,), daemon=True) for address in addresses]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(signed_in) == 12, server.output
    assert all(visitor.is_signed_in() for visitor in signed_in)
    wrong = Visitor(server.url)
    since = len(smtp.mails)
    wrong.send_code(addresses[0])
    code = code_for(addresses[0], smtp, since, 10)
    assert [wrong.sign_in(addresses[0], "00000000").status for _ in range(2)] == [400, 400]
    assert wrong.sign_in(addresses[0], code).status == 200
    assert wrong.get("/activity").status == 200
    assert behind.query("SELECT max(tries) FROM challenge") == [(3,)]
    assert behind.query("SELECT count(*) FROM auth_session") == [(13,)]
    assert [line for line in server.output.splitlines() if "Traceback" in line or "error" in line] == []


@pytest.mark.parametrize("before", [None, "CREATE TEMPORARY TABLE before (x integer) ON COMMIT DROP"])
def test_statement_timeout_applies_with_and_without_a_transaction(behind, engine, before):
    with Session(engine) as session:
        if before:
            session.execute(sa.text(before))
        began = time.monotonic()
        with pytest.raises(sa.exc.OperationalError) as cut:
            session.execute(sa.text("SELECT pg_sleep(20)"))
    assert isinstance(cut.value.orig, psycopg.errors.QueryCanceled), "it is the server that ends it"
    assert unavailable(cut.value)
    assert 0.9 < time.monotonic() - began < 3
    assert behind.query(ASLEEP) == [(0,)]


def test_timeout_applies_to_waiting_for_a_lock(behind, engine):
    behind._connection.execute("CREATE TABLE held (x integer)")
    with psycopg.connect(behind.url) as holder:
        holder.execute("LOCK TABLE held")
        with Session(engine) as session, pytest.raises(sa.exc.OperationalError) as cut:
            session.execute(sa.text("INSERT INTO held VALUES (1)"))
        assert isinstance(cut.value.orig, (psycopg.errors.LockNotAvailable, psycopg.errors.QueryCanceled))


def test_session_settings_do_not_leak_to_other_pooler_clients(engine, pooled):
    with Session(engine) as session:
        assert tuple(session.execute(sa.text(SHOWN)).one()) == ("1s", "1s", "off")
        session.execute(sa.text("CREATE TABLE kept (x integer)"))
        assert tuple(session.execute(sa.text(SHOWN)).one()) == ("1s", "1s", "on"), "a transaction waits for the disk"
        session.commit()
    with psycopg.connect(pooled, autocommit=True, prepare_threshold=None) as stranger:
        for _ in range(6):
            assert stranger.execute(SHOWN).fetchone()[:2] == ("0", "0")


def test_failed_autocommit_statement_leaves_the_connection_usable(engine):
    with Session(engine) as session:
        session.execute(sa.text("CREATE TABLE once (x integer PRIMARY KEY)"))
        session.commit()
        one = sa.text("INSERT INTO once VALUES (1)").execution_options(autocommit=True)
        session.execute(one)
        with pytest.raises(sa.exc.IntegrityError):
            session.execute(one)
        assert session.scalar(sa.text("SELECT count(*) FROM once")) == 1


@pytest.mark.parametrize("more", ["", "ignore_startup_parameters = options"])
def test_start_is_refused_behind_an_undeclared_connection_pooler(behind, tmp_path, make_server, more):
    with pgbouncer(behind, tmp_path, more) as url:
        server = make_server(Database("postgresql", url), start=False)
        for command in (["serve", "--port", str(server.port)], ["worker"], ["users", "list"], ["doctor"]):
            run = [sys.executable, "-m", "flask", "--app", "wsgi", *command]
            environment = server.environment | {"PATH": "/usr/bin"}
            done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
            assert done.returncode == (78 if command[0] in ("serve", "worker") else 1), done.stderr
            said = done.stdout + done.stderr
            assert "LATCHKEY_DATABASE_URL leads to a connection pooler" in said
            assert "Set LATCHKEY_DATABASE_POOLER=transaction" in said
            assert "Traceback" not in said


def test_server_recovers_after_a_pooler_restart(behind, tmp_path, start, smtp):
    address = open_many(behind, 1)[0]
    with pgbouncer(behind, tmp_path) as url:
        server = start(Database("postgresql", url), LATCHKEY_DATABASE_POOLER="transaction")
        visitor = signed_in_visitor(server.url, address, smtp)
    assert visitor.get("/").status == 503
    assert visitor.get("/readyz").status == 503
    port = int(url.rpartition(":")[2].partition("/")[0])
    with pgbouncer(behind, tmp_path, port=port):
        until(lambda: visitor.get("/readyz").status == 200, 10)
        assert visitor.is_signed_in()
