"""``flask serve`` and ``flask worker``: a separate address serves the metrics of all their processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path

import pytest

from app.monitoring import shared_files
from tests.databases import ROOT
from tests.functional.monitoring.conftest import Scrape, read
from tests.serving import free_port
from tests.sinks import until

pytestmark = pytest.mark.one_database

EVENTS = "latchkey_events_total"
AT = 'instance="a:9464",job="latchkey"'
STARTED = f'latchkey_processes_started_total{{{AT},kind="web"}}'
SEEN = f'latchkey_request_seconds_count{{{AT},method="GET",route="/us-signin",status="2xx"}}'


def over_socket(path: str, request: str = "GET /metrics") -> str:
    """Return what is answered at a Unix socket, head included."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(f"{request} HTTP/1.0\r\n\r\n".encode())
        return b"".join(iter(lambda: client.recv(65536), b"")).decode()


def scraped(path: str) -> Scrape:
    return read(over_socket(path).partition("\r\n\r\n")[2])


def started(path: str) -> float:
    """Return how many web processes have started; 0 while there is no response."""
    try:
        return scraped(path).values.get(STARTED, 0.0)
    except OSError:
        return 0.0


def test_metrics_endpoint_covers_all_processes_including_dead_ones(make_server, fresh_database, tmp_path, fires):
    path = str(tmp_path / "m.sock")
    server = make_server(fresh_database, LATCHKEY_METRICS_LISTEN=f"unix:{path}")
    until(lambda: Path(path).exists())
    for _ in range(40):
        urllib.request.urlopen(f"{server.url}/us-signin", timeout=5).close()
    first = scraped(path)
    assert (first[SEEN], first[STARTED]) == (40, 2)
    assert first[f'latchkey_processes_started_total{{{AT},kind="worker"}}'] == 1
    until(lambda: sum(scraped(path).of("latchkey_workers").values()) == 1)
    kinds = {"web": 2, "worker": 1, "supervisor": 1, "metrics": 1}
    until(lambda: number_of_processes(scraped(path)) == kinds)
    body, json = b'{"identity": "ada@example.com", "chosen_method": "email"}', {"Content-Type": "application/json"}
    asked = urllib.request.Request(f"{server.url}/us-signin/send-code", body, json)
    urllib.request.urlopen(asked, timeout=5).close()
    assert scraped(path)[f'latchkey_database_commit_seconds_count{{{AT},kind="web"}}'] == 1
    assert Path(path).stat().st_mode & 0o007 == 0
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{server.url}/metrics", timeout=5)
    assert over_socket(path, "GET /healthz").startswith("HTTP/1.0 404")
    assert over_socket(path, "POST /metrics").startswith("HTTP/1.0 404")

    story, [directory] = [first], counted_in(server)
    for _ in range(2):  # one that dies right after the start has the server start all of them again
        os.kill(killed := web_process(server), signal.SIGKILL)
        until(lambda: started(path) > story[-1][STARTED])
        story.append(scraped(path))
        [left] = list(directory.glob(f"histogram_{killed}.db"))
        assert left.stat().st_size < 512 * 1024, "room is kept for one that has ended"
    assert story[-1][SEEN] == 40
    fires("LatchkeyProcessesDie", quiet=[first], loud=story[1:])
    hangs = web_process(server)
    os.kill(hangs, signal.SIGSTOP)  # a process that hangs in Python sends no heartbeat either
    [directory] = counted_in(server)
    os.utime(directory / f"beat-{hangs}", (time.time() - 60,) * 2)
    fault = scraped(path)
    os.kill(hangs, signal.SIGCONT)
    fires("LatchkeyProcessHangs", quiet=[first], loud=[fault])
    until(lambda: scraped(path)[f"latchkey_process_silence_seconds{{{AT}}}"] < 20)

    directories = counted_in(server)
    server.stop()
    assert not Path(path).exists()
    assert [each for each in directories if each.exists()] == []


def number_of_processes(found: Scrape) -> dict[str, int]:
    """Return how many processes of each kind report memory and open files."""
    of = [found.of(f"latchkey_process_{name}") for name in ("resident_bytes", "open_files", "open_files_limit")]
    kinds = [Counter(series.partition('kind="')[2].partition('"')[0] for series in each) for each in of]
    assert kinds[0] == kinds[1] == kinds[2]
    return dict(kinds[0])


def counted_in(server) -> list[Path]:
    """Return the directories in which the processes of this server count."""
    return list(Path("/dev/shm").glob(f"latchkey-metrics-{server.process.pid}-*"))


def web_process(server) -> int:
    """Return a web process of this server: one that has the metrics file open and isn't its worker."""
    import psutil

    [directory] = counted_in(server)
    kept = [each for each in directory.glob("counter_*.db") if b'kind": "web"' in each.read_bytes()]
    pids = [int(each.stem.removeprefix("counter_")) for each in kept]
    return next(pid for pid in pids if psutil.pid_exists(pid))


def test_worker_start_is_refused_if_the_metrics_address_is_in_use(app, make_app, monkeypatch, capsys, figures):
    from app import shutdown

    monkeypatch.setattr(shutdown, "event_set_by", lambda *_signals: threading.Event())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]  # noqa: UP031 - shorter
        done = make_app(metrics_listen=address).test_cli_runner().invoke(args=["worker"])
    assert done.exit_code == 69
    assert f"can't show metrics at {address}" in done.stderr
    assert "LATCHKEY_METRICS_LISTEN of its own" in done.stderr


def test_metrics_on_the_public_port_are_refused(app, capsys):
    from app.serving import startup

    port = free_port()
    settings = app.extensions["latchkey.settings"].model_copy(update={"metrics_listen": f"0.0.0.0:{port}"})
    before, app.extensions["latchkey.settings"] = app.extensions["latchkey.settings"], settings
    try:
        with pytest.raises(SystemExit) as ended:
            startup.prepare_metrics(app, ("127.0.0.1", port))
    finally:
        app.extensions["latchkey.settings"] = before
    assert ended.value.code == 78
    assert f"share port {port}" in capsys.readouterr().err


def test_standalone_worker_serves_its_own_metrics(app, figures, make_app, tmp_path):
    from app import metrics, monitoring

    path = str(tmp_path / "w.sock")
    metrics.turn_off()
    alone = make_app(metrics_listen=f"unix:{path}")
    monitoring.show_worker(alone)
    found = scraped(path)
    assert found[f'latchkey_processes_started_total{{{AT},kind="worker"}}'] == 1
    assert found[f"latchkey_database_up{{{AT}}}"] == 1


def test_stale_metrics_socket_is_replaced_but_no_other_file(app, figures, tmp_path):
    from app.monitoring import listener

    path = tmp_path / "m.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    server = listener.bind(app, f"unix:{path}", figures)
    with pytest.raises(SystemExit):
        listener.check_bindable(f"unix:{path}")
    server.server_close()
    file = tmp_path / "file"
    file.write_text("not ours")
    with pytest.raises(SystemExit):
        listener.check_bindable(f"unix:{file}")
    assert file.read_text() == "not ours"


def test_metrics_stay_off_if_the_disk_has_no_room_for_them(monkeypatch, tmp_path, capsys):
    import errno

    from app import metrics
    from app.monitoring import shared_files

    def full(*_rest: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv(shared_files.VARIABLE, str(tmp_path))
    monkeypatch.setattr(os, "posix_fallocate", full)
    assert not shared_files.count_here("web")
    assert not metrics.is_on()


def test_metric_files_of_dead_processes_are_truncated(tmp_path, monkeypatch):
    """In a process of its own: the library reads the directory's name when it is loaded."""
    count = (
        "from app import metrics; from app.monitoring import shared_files as f;"
        "f.count_here('web'); metrics.EVENTS.count('x', by=5)"
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", count], cwd=ROOT, env=environment, check=True)
    before = {path: path.stat().st_size for path in tmp_path.glob("*.db")}
    assert sorted(before.values()) == [1024 * 1024, 2 * 1024 * 1024]

    from prometheus_client.multiprocess import MultiProcessCollector

    from app.monitoring import shared_files

    def counted() -> float:
        found = MultiProcessCollector(None, str(tmp_path)).collect()
        return sum(sample.value for family in found for sample in family.samples if sample.name == EVENTS)

    assert counted() == 5
    shared_files.truncate_dead_files(tmp_path)
    assert all(path.stat().st_size < 64 * 1024 for path in before)
    assert counted() == 5


def test_metric_directories_of_killed_servers_are_removed(tmp_path):
    from app.monitoring import shared_files

    dead = subprocess.Popen(["true"])
    dead.wait()
    for name in (f"latchkey-metrics-{dead.pid}-x", f"latchkey-metrics-{os.getpid()}-x", "latchkey-metrics-odd-x"):
        (tmp_path / name).mkdir()
    shared_files.remove_stale_directories(tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        f"latchkey-metrics-{os.getpid()}-x", "latchkey-metrics-odd-x",
    ]  # fmt: skip


@pytest.mark.parametrize("address", ["127.0.0.1:9464", "[::1]:9464", "0.0.0.0:1", "unix:/run/latchkey/m.sock"])
def test_valid_metrics_address_is_accepted(address):
    from config.settings import Settings

    assert Settings(metrics_listen=address).metrics_listen == address


@pytest.mark.parametrize(
    "address",
    ["9464", ":9464", "localhost:9464", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", "::1:9464", "[127.0.0.1]:9464",
     "127.0.0.1:94 64", "unix:m.sock", "unix:/run/", "unix:/" + "x" * 100, "http://127.0.0.1:9464"],
)  # fmt: skip
def test_invalid_metrics_address_is_rejected(address):
    from pydantic import ValidationError

    from config.settings import Settings

    with pytest.raises(ValidationError, match="9464"):
        Settings(metrics_listen=address)


def test_metrics_file_is_never_empty_under_its_own_name(tmp_path, monkeypatch):
    """A scrape while a process starts would fail on an empty file."""
    sizes = []

    def allocate(descriptor: int, begin: int, size: int) -> None:
        sizes.extend(path.stat().st_size for path in tmp_path.glob("*.db"))
        os.ftruncate(descriptor, max(size, os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "posix_fallocate", allocate)
    file = tmp_path / "counter_1.db"
    shared_files.allocate(file, 8192)
    assert (sizes, file.stat().st_size, list(tmp_path.iterdir())) == ([], 8192, [file])
    file.write_bytes(b"counted" + bytes(8185))
    shared_files.allocate(file, 16384)
    assert (sizes, file.stat().st_size, file.read_bytes()[:7]) == ([8192], 16384, b"counted")
