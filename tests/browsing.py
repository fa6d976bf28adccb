"""A real Chromium, and axe-core to check pages."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.databases import ROOT
from tests.requirements import missing, program
from tests.serving import Server

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OF_COLOUR = ["color-contrast", "link-in-text-block"]
"""The rules that check colors."""

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = os.environ.get("LATCHKEY_TEST_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
"""Path of Chromium: from LATCHKEY_TEST_CHROMIUM, or found on the system. The headless shell is Chromium without
windows, and needs half the CPU time for the same pages."""


EXPLAINED = {
    "color-contrast": {
        ".door .brand > span, .door-line > bdi": "the door is a gradient with a lock on it; its text has "
        "4.5:1 or more on the lighter of its colors (tests/unit/config/test_colors.py)",
        ".steps > li dt": "a step's number is a pseudo-element beside it, and covers nothing",
    },
    "frame-tested": {"iframe.letter-page": "a developer's look at an email, in which no script runs"},
}
"""Results that axe-core reports as incomplete and we have checked: why, by rule and selector. All others are faults."""

FAULTS = """async ([options, explained]) => {
  const found = await axe.run(document, options);
  const is = (node, selectors) => selectors.some((each) => document.querySelector(node.target[0])?.matches(each));
  const undecided = found.incomplete.map((fault) => {
    const nodes = fault.nodes.filter((node) => !is(node, explained[fault.id] || []));
    return { ...fault, impact: "incomplete", nodes };
  });
  return found.violations.concat(undecided.filter((fault) => fault.nodes.length));
}"""
"""Runs axe-core, and returns only the faults: transferring all results took as long as finding them."""

UNNAMED = """() => {
  const seen = new Map();
  for (const { id } of document.querySelectorAll("[id]")) seen.set(id, (seen.get(id) || 0) + 1);
  const twice = [...seen].filter(([, count]) => count > 1).map(([id]) => `id "${id}" twice`);
  const text = (id) => document.getElementById(id)?.textContent.trim() || "";
  const name = (control) => [
    control.getAttribute("aria-label"),
    ...(control.getAttribute("aria-labelledby") || "").split(/\\s+/).map(text),
    ...[...(control.labels || [])].map((label) => label.textContent),
    control.matches("button, a, summary") ? control.textContent : "",
    control.title,
  ].some((each) => each && each.trim());
  const controls = document.querySelectorAll("input:not([type=hidden]), select, textarea, button, a[href], summary");
  const unnamed = [...controls].filter((control) => !name(control));
  return twice.concat(unnamed.map((control) => `no name: ${control.outerHTML.slice(0, 120)}`));
}"""
"""Finds duplicate IDs and controls without a name, visible or not."""


def serious_faults(page: Any, only: list[str] | None = None) -> list[str]:
    """Return the faults that axe-core finds on a Playwright ``page``, of any impact, with their location.

    Includes incomplete results that aren't in ``EXPLAINED``, duplicate IDs, and controls without a name.
    :param only: check these rules only, and nothing else
    """
    if not AXE.exists():
        program("npm")
        missing("axe-core is not installed (make node_modules/axe-core/axe.min.js)")
    if page.evaluate("typeof axe === 'undefined'"):
        page.evaluate(AXE.read_text())
    rules = {"type": "rule", "values": only} if only else {"type": "tag", "values": RULES}
    options = {"runOnly": rules, "resultTypes": ["violations", "incomplete"], "iframes": False}
    faults = page.evaluate(FAULTS, [options, {rule: list(of) for rule, of in EXPLAINED.items()}])
    told = [
        f"{fault['id']} ({fault['impact']}): {fault['help']} at {[node['target'] for node in fault['nodes']]}"
        for fault in faults
    ]
    return told + ([] if only else page.evaluate(UNNAMED))


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A Chromium for this test process."""
    executable = CHROMIUM or program("chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_browser(chromium: Any, live_server: Server) -> Iterator[Callable[..., Any]]:
    """Opens isolated browsers: ``new_browser(color_scheme="dark")`` returns a Playwright page.

    Script errors and content security policy violations are collected in ``page.faults``.
    """
    contexts = []

    def open_page(**options: Any) -> Any:
        context = chromium.new_context(base_url=live_server.url, **options)
        contexts.append(context)
        context.set_default_timeout(30_000)
        page = context.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda line: page.faults.append(line.text) if "Content Security" in line.text else None)
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_browser: Callable[..., Any]) -> Any:
    """A Playwright page in its own browser, at ``live_server``: ``page.goto("/us-signin")``."""
    return new_browser()
