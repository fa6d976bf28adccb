"""Custom templates override ours, which are used if one fails; a command reports the errors."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
import structlog

from app import own_templates
from app.cli import message_samples, templates
from tests.databases import ROOT

pytestmark = pytest.mark.one_database

SIGN_IN = '{% extends "builtin/signin/signin.html" %}\n{% block page %}\n<p>Hello</p>\n{{ super() }}\n{% endblock %}'
OF_EMAILS = {"code", "until", "link", "late", "asked", "denial"}
OF_MESSAGES = {
    *("brand", "public_url", "host", "support_contact", "language", "direction"),
    *("colors", "dark_colors", "tag"),
}


@pytest.fixture
def operate(app):
    """Runs a command: ``operate("templates", "check")``; ``on=`` another application."""
    return lambda *words, on=None: (on or app).test_cli_runner().invoke(args=words)


@pytest.fixture
def own_app(make_app, tmp_path):
    """Return the application with these templates, by their names."""

    def make(**templates: str):
        for name, source in templates.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        return make_app(templates_folder=str(tmp_path))

    return lambda templates: make(**templates)


@pytest.fixture
def checked(own_app, operate, tmp_path):
    """Return the check's output about templates, without their folder."""

    def check(templates: dict[str, str]) -> list[str]:
        done = operate("templates", "check", on=own_app(templates))
        lines = done.output.replace(f"{tmp_path}/", "").splitlines()
        assert done.exit_code == (1 if re.search(r":\d+: ", done.output) else 0), done.output
        return [line for line in lines if re.match(r"\S+:\d+: ", line)]

    return check


def page_and_faults(app, path: str = "/us-signin"):
    """Return a page, and the log lines about templates."""
    with structlog.testing.capture_logs() as lines:
        answer = app.test_client().get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True), [line for line in lines if line["event"] == "template.failed"]


def test_custom_template_overrides_and_can_extend_the_built_in_one(own_app):
    page, faults = page_and_faults(own_app({"signin/signin.html": SIGN_IN}))
    assert "<p>Hello</p>" in page
    assert 'action="/us-signin/send-code"' in page
    assert faults == []


def test_custom_layout_applies_to_built_in_pages(own_app):
    layout = '{% extends "builtin/ui/doorway.html" %}{% block panel %}<p>Our own panel</p>{% endblock %}'
    app = own_app({"ui/doorway.html": layout})
    for path in ("/us-signin", "/register"):
        assert "Our own panel" in page_and_faults(app, path)[0]


BROKEN = [
    ("{% block page %}\n{% if %}\n{% endblock %}", 2),
    ("\n{{ brand.nothing.here }}", 2),
    ('\n\n{% extends "nothing.html" %}', 3),
    ("{{ brand|no_such_filter }}", 1),
    ("<p>\n</p>\n{{ 1 / 0 }}", 3),
    (SIGN_IN.replace("Hello", "{{ form.nothing.label.text }}"), 3),
]


@pytest.mark.parametrize(("source", "line"), BROKEN)
def test_failing_custom_template_falls_back_to_the_built_in_and_is_logged(own_app, tmp_path, source, line):
    page, faults = page_and_faults(own_app({"signin/signin.html": source}))
    assert 'action="/us-signin/send-code"' in page
    assert [(fault["log_level"], fault["template"], fault["line"]) for fault in faults] == [
        ("error", "signin/signin.html", line)
    ]
    assert faults[0]["file"] == str(tmp_path / "signin/signin.html")


def test_failing_custom_layout_falls_back_on_every_page(own_app):
    app = own_app({"base.html": "{% block layout %}"})
    for path in ("/us-signin", "/register"):
        page, faults = page_and_faults(app, path)
        assert 'class="doorway"' in page
        assert len(faults) == 1


def test_unreadable_custom_template_falls_back_to_the_built_in(own_app, tmp_path):
    app = own_app({"signin/signin.html": SIGN_IN})
    (tmp_path / "ui").mkdir()
    (tmp_path / "ui/doorway.html").write_bytes(b"\xff\xfe")
    page, faults = page_and_faults(app)
    assert 'class="doorway"' in page
    assert [(fault["file"], fault["line"]) for fault in faults] == [(str(tmp_path / "ui/doorway.html"), 1)]


def test_error_outside_custom_templates_is_raised_without_rendering_again(own_app):
    asked = []

    class Broken:
        def __format__(self, _spec: str) -> str:
            asked.append(self)
            raise RuntimeError

    values = {"brand": Broken(), "public_url": "http://localhost"}
    with own_app({"signin/signin.html": SIGN_IN}).app_context(), pytest.raises(RuntimeError):
        own_templates.render("sms/already_registered.txt", values)
    assert len(asked) == 1


@pytest.mark.parametrize(("heading", "said"), [("Hi {{ brand }}", "Hi Latchkey"), ("{{ 1 / 0 }}", "Your sign-in code")])
def test_mail_uses_the_custom_template_or_falls_back(own_app, operate, tmp_path, heading, said):
    source = '{% extends "builtin/mail/sign_in.html" %}{% block heading %}' + heading + "{% endblock %}"
    done = operate("mail", "preview", str(tmp_path / "preview"), on=own_app({"mail/sign_in.html": source}))
    assert done.exit_code == 0
    assert said in (tmp_path / "preview/en/sign_in.html").read_text()


def test_built_in_templates_render_with_sample_data(operate):
    done = operate("templates", "check")
    assert (done.exit_code, re.sub(r"\d+", "N", done.output)) == (
        0,
        "Rendered N templates without errors (no LATCHKEY_TEMPLATES_FOLDER is set).\n",
    )


def test_valid_custom_templates_pass_templates_check(checked):
    part = '{% from "ui/form.html" import field with context %}<p>{{ brand }}</p>'
    assert checked({"signin/signin.html": SIGN_IN + '{% include "part.html" %}', "part.html": part}) == []


@pytest.mark.parametrize(
    ("name", "source", "faults"),
    [
        ("signin/signin.html", "<p>\n{% if %}", ["2: Expected an expression, got 'end of statement block'"]),
        ("signin/signin.html", "\n{{ brand|nothing }}", ["2: No filter named 'nothing'."]),
        (
            "signin/signin.html",
            "{{ nmae }}",
            ["1: 'nmae' isn't a value of this template", "1: UndefinedError: 'nmae'"],
        ),
        ("signin/signin.html", "{% if False %}{{ nmae }}{% endif %}", ["1: 'nmae' isn't a value of this template"]),
        (
            "signin/signin.html",
            '{% extends "ui/doorway.html" %}\n{% block pgae %}{% endblock %}',
            ["2: block 'pgae' is in no template that this one extends"],
        ),
        ("mail/sign_in.txt", "{{ asked.browser }}\n{{ asked.brwoser }}", ["2: UndefinedError: 'dict object' has no"]),
        (
            "sms/sign_in.txt",
            "{{ code }} {{ cdoe }}",
            ["1: 'cdoe' isn't a value of this template", "1: UndefinedError:"],
        ),
        ("signin/sign_in.html", "Hello", ["1: replaces no built-in template, and none of yours uses it"]),
    ],
)
def test_templates_check_reports_file_line_and_error(checked, name, source, faults):
    found = checked({name: source})
    assert len(found) == len(faults), found
    assert all(line.startswith(f"{name}:{fault}") for line, fault in zip(found, faults, strict=True)), found


def test_templates_check_reports_a_non_text_template(own_app, operate, tmp_path):
    (tmp_path / "base.html").write_bytes(b"\xff\xfe")
    done = operate("templates", "check", on=own_app({}))
    assert done.exit_code == 1
    assert "base.html:1: can't be read (UnicodeDecodeError)" in done.output


def test_templates_list_shows_blocks_and_values(operate):
    assert "signin/signin.html\n" in operate("templates", "list").output
    said = operate("templates", "list", "mail/changed.html").output
    assert "heading" in said.splitlines()[0]
    assert "undo" in said.splitlines()[1]
    assert operate("templates", "list", "nothing.html").exit_code == 2


def documented() -> dict[str, set[str]]:
    """Return the rows of the tables in the page about templates."""
    rows = re.findall(r"^\| `([\w./]+)` \|(.*)\|$", (ROOT / "docs/templates.md").read_text(), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", names)) for name, names in rows}


def test_documented_blocks_exist(app):
    layouts = {name: names for name, names in documented().items() if "." in name}
    with app.app_context():
        assert layouts == {name: set(templates.blocks_of(name)) for name in layouts}


def test_message_template_values_are_documented(app):
    messages = {name: names for name, names in documented().items() if "." not in name}
    used: dict[str, set[str]] = {}
    with app.app_context():
        for name in templates.built_in_names():
            if name.startswith(("mail/", "sms/")) and not name.startswith(templates.PARTS):
                values = templates.variables_of(name) - OF_MESSAGES - OF_EMAILS
                used.setdefault(name.partition(".")[0], set()).update(values)
    assert messages == used


def test_globals_of_a_template_are_a_dict_that_is_fast_to_copy(app):
    assert type(app.jinja_env.get_template("mail/sign_in.txt").globals) is dict


def test_every_link_in_a_sample_message_has_the_path_of_a_page(app):
    origin = app.extensions["latchkey.settings"].public_url
    with app.test_request_context():
        values = [value for sample in message_samples.samples() for value in sample.facts.values()]
    links = {value.removeprefix(origin) for value in values if isinstance(value, str) and value.startswith(origin)}
    assert len(links) > 5
    pages = app.url_map.bind("localhost")
    for link in links:
        assert pages.match(urlsplit(link).path, "GET"), link
