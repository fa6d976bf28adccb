"""Traces, as an OTLP receiver gets them over HTTP from the real exporter."""

from __future__ import annotations

import gzip
import itertools
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.sinks import code_in, links_in

pytestmark = pytest.mark.one_database

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


NUMBERS = itertools.count()
"""Each of these applications is made anew: what it was made with before is not asked for again."""


class Receiver(ThreadingHTTPServer):
    """Receives spans like a collector; ``spans`` are dictionaries, and ``raw`` is everything received."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: list[dict] = []
        self.resources: list[dict] = []
        self.raw = b""
        self.paths: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest as Sent

        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        self.server.raw += body
        self.server.paths.append(self.path)
        for group in Sent.FromString(body).resource_spans:
            self.server.resources.append(values(group.resource.attributes))
            for scope in group.scope_spans:
                self.server.spans += [
                    {"name": span.name, "trace": span.trace_id, "id": span.span_id, "parent": span.parent_span_id,
                     "status": span.status.code, "events": list(span.events), **values(span.attributes)}
                    for span in scope.spans
                ]  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_rest) -> None:
        return


def values(attributes) -> dict:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
def receiver():
    server = Receiver()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def traced(receiver, make_app, monkeypatch):
    """Creates an application that sends its traces to the receiver."""
    from app import spans

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=tests")
    kept = []
    yield lambda **different: kept.append(make_app(brand_name=f"Traced {next(NUMBERS)}", **different)) or kept[-1]
    spans.tracer().span_processor.shutdown()
    spans.disable()


@pytest.fixture
def arrived(receiver):
    """Sends what is recorded so far, and returns the spans that came."""
    from app import spans

    def send() -> list[dict]:
        spans.tracer().span_processor.force_flush()
        return receiver.spans

    return send


def test_sign_in_exports_request_statement_and_delivery_spans_without_secrets(traced, receiver, arrived, people, smtp):
    from app import outbox
    from app.extensions import db

    people.open(email="ada@example.com", methods=["email"])
    app = traced()
    client = app.test_client()
    client.post("/us-signin/send-code", json={"identity": "ada@example.com", "chosen_method": "email"})
    with app.app_context():
        for message_id in list(db.session.scalars(db.select(outbox.Message.id))):
            outbox.deliver(message_id)
    mail = smtp.to("ada@example.com")[-1]
    code, [link, *_] = code_in(mail), links_in(mail)
    answer = client.post("/us-signin", json={"identity": "ada@example.com", "passcode": code})
    assert answer.status_code == 200
    client.get(link.partition("localhost")[2])
    client.get("/nothing/s3cr3t?token=s3cr3t", headers={"User-Agent": "s3cr3t", "X-Request-ID": "s3cr3t" * 4})

    spans = arrived()
    names = [span["name"] for span in spans]
    assert {"POST /us-signin/send-code", "POST /us-signin", "GET", "deliver mail", "SELECT", "INSERT"} <= set(names)
    signed_in = next(span for span in spans if span["name"] == "POST /us-signin")
    below = [span for span in spans if span["parent"] == signed_in["id"]]
    assert {span["db.system.name"] for span in below} == {"sqlite"}
    assert any("auth_session" in span["db.query.text"] for span in below)
    assert signed_in["http.response.status_code"] == 200
    sent = next(span for span in spans if span["name"] == "deliver mail")
    assert (sent["latchkey.kind"], sent["latchkey.outcome"]) == ("sign_in", "sent")
    assert {span.get("http.route") for span in spans} >= {"/us-signin", "/us-signin/send-code"}
    assert receiver.resources[0]["service.name"] == "latchkey"
    assert receiver.resources[0]["deployment.environment"] == "tests"
    assert set(receiver.paths) == {"/v1/traces"}

    secrets = [code, link.rpartition("/")[2], "ada@example.com", "example.com", "s3cr3t", "127.0.0.1"]
    secrets += [cookie.value for cookie in client._cookies.values()]
    assert len(secrets) > 7
    assert [each for each in secrets if each and each.encode() in receiver.raw] == []
    assert not any(span["events"] for span in spans)


def test_failed_request_span_has_no_error_message(traced, arrived, receiver, monkeypatch):
    app = traced()

    def fails(*_rest):
        raise RuntimeError("s3cr3t words")

    monkeypatch.setitem(app.view_functions, "status.healthz", fails)
    assert app.test_client().get("/healthz").status_code == 500
    [span] = [span for span in arrived() if span["name"] == "GET /healthz"]
    assert (span["error.type"], span["status"]) == ("500", 2)
    assert b"s3cr3t" not in receiver.raw


def test_failed_statement_span_has_only_the_error_type(traced, arrived, receiver, people):
    import sqlalchemy as sa

    from app import spans
    from app.extensions import db

    app = traced()
    with app.app_context(), pytest.raises(sa.exc.OperationalError), spans.span("work"):
        db.session.execute(sa.text("SELECT s3cr3t_function(:value)"), {"value": "p4rameter"})
    [span] = [span for span in arrived() if span["name"] == "SELECT"]
    [work] = [span for span in arrived() if span["name"] == "work"]
    assert (span["error.type"], span["status"]) == ("OperationalError", 2)
    assert (work["error.type"], work["events"]) == ("OperationalError", [])
    assert b"p4rameter" not in receiver.raw


def test_worker_polling_creates_no_spans(traced, arrived):
    from app import spans
    from app.outbox import leases

    app = traced()
    with app.app_context():
        leases.due()
        with spans.span("marker"):
            pass
    assert [span["name"] for span in arrived()] == ["marker"]


@pytest.mark.parametrize("proxies", [0, 1])
def test_traceparent_is_continued_only_behind_a_trusted_proxy(traced, arrived, proxies):
    app = traced(trusted_proxies=proxies)
    app.test_client().get("/healthz", headers={"traceparent": PARENT})
    [span] = [span for span in arrived() if span["name"] == "GET /healthz"]
    assert (span["trace"].hex() == PARENT[3:35]) is bool(proxies)


def test_tracing_is_off_by_default(client, receiver):
    from app import spans

    client.get("/healthz")
    assert spans.tracer() is None


@pytest.mark.parametrize(
    ("variables", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ],
)
def test_standard_otel_variables_enable_and_disable_tracing(monkeypatch, variables, asked):
    from app.monitoring import opentelemetry

    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert opentelemetry.is_asked_for() is asked


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin", "Set it to otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
    ],
)
def test_unsupported_otel_exporter_or_protocol_is_refused(monkeypatch, capsys, name, value, said):
    from app.monitoring import opentelemetry

    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        opentelemetry.refuse_what_we_lack()
    assert ended.value.code == 78
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry"])
def test_start_without_the_opentelemetry_packages_prints_the_install_command(monkeypatch, capsys, missing):
    from app.monitoring import opentelemetry

    for name in [name for name in sys.modules if name.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    with pytest.raises(SystemExit) as ended:
        opentelemetry.refuse_what_we_lack()
    assert ended.value.code == 78
    assert "pip install --require-hashes -r requirements/otel.txt" in capsys.readouterr().err
