"""The supervisor's SIGTERM handler, in the supervisor and in processes it just forked."""

import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.synchronize import Event
from types import SimpleNamespace

from app.serving import supervisor
from app.serving.supervisor import stop_workers, stopping_here


def test_forked_process_exits_on_sigterm_before_installing_its_handler():
    handler = stopping_here(lambda: None)
    forked = os.fork()
    if forked == 0:
        signal.signal(signal.SIGTERM, handler)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(2)
        os._exit(1)
    assert os.waitpid(forked, 0)[1] == 0


def test_sigterm_handler_stops_the_supervisor():
    stopped = threading.Event()
    stopping_here(stopped.set)(signal.SIGTERM, None)
    assert stopped.wait(5)


def test_stop_signal_is_repeated_to_an_unresponsive_worker(monkeypatch):
    monkeypatch.setattr(supervisor, "REPEAT_INTERVAL", 0.05)
    context = multiprocessing.get_context("fork")
    listens = context.Event()
    forgetful = context.Process(target=_forget_the_first, args=(listens,))
    forgetful.start()
    assert listens.wait(10)
    server = SimpleNamespace(wrks=[SimpleNamespace(inner=forgetful, terminate=forgetful.terminate)])
    threading.Thread(target=stop_workers, args=(server, lambda: None), daemon=True).start()
    forgetful.join(10)
    server.wrks.clear()
    assert forgetful.exitcode == 0


def _forget_the_first(listens: Event) -> None:
    told = []
    signal.signal(signal.SIGTERM, lambda *_: told.append(1))
    listens.set()
    until = time.monotonic() + 8
    while len(told) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    os._exit(0 if len(told) > 1 else 1)
