"""An export is created once, even if its worker dies, and in little memory, however large it is."""

from __future__ import annotations

import threading
import tracemalloc

import pytest
import sqlalchemy as sa

from app import clock
from app.audit import Event
from app.privacy import export_requests
from app.privacy.models import Export, ExportChunk
from tests.functional.privacy.conftest import exported
from tests.signed_in import sign_in

pytestmark = pytest.mark.both_databases

MIB = 1024 * 1024


@pytest.fixture
def asked(json_wire, ada):
    """The browser of someone whose export is waiting."""
    sign_in(json_wire, ada)
    assert json_wire.post("/my-data/export").ok
    return json_wire


@pytest.fixture
def much(app, ada):
    """That many events of someone."""

    def write(count: int) -> None:
        from app.crypto import secrets
        from app.extensions import db

        row = {"name": "sign_in.failed", "user_id": ada.id, "facts": {"reason": "wrong_code"}, "request_id": ""}
        with app.app_context():
            for _ in range(0, count, 1000):
                each = [row | {"at": clock.now(), "support_id": secrets.reference(), "address": secrets.token(),
                               "agent": ""} for _ in range(1000)]  # fmt: skip
                db.session.execute(sa.insert(Event), each)
            db.session.commit()

    return write


def fetched(wire, rows) -> dict:
    """Return the contents of the archive."""
    return exported(wire.get(f"/my-data/export/{rows(Export)[0].id}"))


def test_export_contains_many_rows_exactly_once(asked, much, work, rows):
    much(3000)
    work()
    marks = [row["support_id"] for row in fetched(asked, rows)["events"] if row["event"] == "sign_in.failed"]
    assert len(set(marks)) == len(marks) == 3000


def test_export_contains_all_rows_with_the_same_timestamp(asked, much, work, rows, database):
    much(2000)
    database.query("UPDATE event SET at = (SELECT max(at) FROM event) RETURNING id")
    work()
    marks = [row["support_id"] for row in fetched(asked, rows)["events"]]
    assert len(set(marks) - {""}) >= 2000


def test_memory_use_does_not_grow_with_the_export(asked, much, app, rows):
    much(8000)
    with app.app_context():
        export_requests.readme(clock.now(), [], [])  # catalogs and formats are loaded once
    tracemalloc.start()
    with app.app_context():
        from app.extensions import db

        export_requests.build_one(threading.Event())
        db.session.commit()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows(Export)[0].size > MIB / 2  # random texts do not pack
    assert peak < 3 * MIB


def test_oversized_export_is_truncated_with_a_note(asked, much, work, rows, monkeypatch):
    monkeypatch.setattr(export_requests, "MAX_ROWS", 1000)
    much(3000)
    work()
    answer = asked.get(f"/my-data/export/{rows(Export)[0].id}")
    assert len(exported(answer)["events"]) == 1000
    assert "Only the newest rows are in: events." in archive_text(answer)


def archive_text(answer) -> str:
    """Return the README of the archive in an answer."""
    from tests.functional.privacy.conftest import archive

    return archive(answer).read("README.txt").decode()


def test_concurrent_workers_build_an_export_once(asked, app, rows):
    start = threading.Barrier(8)

    def work() -> None:
        from app.outbox import jobs

        start.wait()
        with app.app_context():
            jobs.run_jobs(threading.Event())

    threads = [threading.Thread(target=work) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert [(export.state, export.attempts) for export in rows(Export)] == [("ready", 1)]
    assert len(rows(Event, name="export.ready")) == 1


def test_crashed_build_is_resumed_after_the_lease_expires(asked, much, app, work, rows, clock):
    much(4000)
    crash(app, after=3)
    assert (rows(Export)[0].state, len(rows(ExportChunk))) == ("making", 3)
    work()
    assert rows(Export)[0].state == "making"
    clock.shift(61)
    work()
    export = rows(Export)[0]
    assert (export.state, export.attempts) == ("ready", 2)
    assert {chunk.attempt for chunk in rows(ExportChunk)} == {2}
    assert len(fetched(asked, rows)["events"]) > 4000


def crash(app, *, after: int) -> None:
    """Make a worker crash after that many pieces."""

    class Died(BaseException):
        pass

    class Dying(threading.Event):
        pieces = 0

        def is_set(self) -> bool:
            self.pieces += 1
            if self.pieces > after:
                raise Died
            return False

    with app.app_context(), pytest.raises(Died):
        export_requests.build_one(Dying())


def test_stalled_worker_does_not_change_an_export_built_by_another(asked, much, app, work, rows, clock):
    much(5000)
    overtake = Overtaking(lambda: (clock.shift(61), work()))
    with app.app_context():
        export_requests.build_one(overtake)
    export = rows(Export)[0]
    assert (export.state, export.attempts) == ("ready", 2)
    assert {chunk.attempt for chunk in rows(ExportChunk)} <= {1, 2}
    assert len(fetched(asked, rows)["events"]) > 5000
    assert len(rows(Event, name="export.ready")) == 1


class Overtaking(threading.Event):
    """A worker that pauses at its second piece until another has finished."""

    def __init__(self, meanwhile) -> None:
        super().__init__()
        self.meanwhile, self.pieces = meanwhile, 0

    def is_set(self) -> bool:
        self.pieces += 1
        if self.pieces == 2:
            in_thread = threading.Thread(target=self.meanwhile)
            in_thread.start()
            in_thread.join()
        return False


def test_stopping_worker_releases_the_export_immediately(asked, app, work, rows):
    stop = threading.Event()
    stop.set()
    with app.app_context():
        from app.extensions import db

        export_requests.build_one(stop)
        db.session.commit()
    assert rows(Export)[0].state == "waiting"
    work()
    assert rows(Export)[0].state == "ready"


def test_failing_build_is_retried_and_finally_marked_failed(asked, work, rows, clock, monkeypatch):
    monkeypatch.setattr(export_requests, "readme", lambda *_: 1 / 0)
    for _ in range(6):
        work()
        clock.shift(61)
    assert (rows(Export)[0].state, rows(ExportChunk), len(rows(Event, name="export.failed"))) == ("failed", [], 1)
    monkeypatch.undo()
    assert asked.get("/my-data").json["exports"][0]["state"] == "failed"


def test_export_with_a_tampered_chunk_returns_404(asked, much, work, rows, database):
    much(5000)
    work()
    first, second = (row[0] for row in database.query("SELECT sealed FROM export_chunk ORDER BY number LIMIT 2"))
    database.query(f"UPDATE export_chunk SET sealed = '{second}' WHERE sealed = '{first}' RETURNING number")
    assert asked.get(f"/my-data/export/{rows(Export)[0].id}").status == 404


def test_running_worker_builds_the_export_and_sends_the_email(make_app, json_wire, ada, rows, smtp):
    from app.outbox import worker

    app, stop = make_app(outbox_sweep_every=0.2), threading.Event()
    assert sign_in(json_wire, ada).post("/my-data/export").ok
    thread = threading.Thread(target=worker.run, args=(app, stop), daemon=True)
    thread.start()
    smtp.wait()
    stop.set()
    thread.join(10)
    assert rows(Export)[0].state == "ready"
