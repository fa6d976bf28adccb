"""With forced colors and reduced motion, every control is still visible."""

from __future__ import annotations

import pytest

from tests.functional.admin.conftest import make_administrator

STRANGERS = ("/us-signin", "/register")
OWNERS = ("/", "/us-setup", "/mf-recovery-codes", "/tokens", "/admin")

UNSEEN = """() => {
  const shown = (selector) => [...document.querySelectorAll(selector)].filter((part) => part.checkVisibility());
  const name = (part) => `${part.tagName} ${part.className}: ${part.textContent.trim().slice(0, 30)}`;
  const px = (text) => parseFloat(text) || 0;
  const flat = shown(".button, .badge, .tag, .card, .notice, .key, .codes, .way-icon, select, .field > input");
  const faults = flat.filter((part) => !px(getComputedStyle(part).borderTopWidth)).map(name);
  const marked = shown("[aria-current]").filter((part) => getComputedStyle(part).outlineStyle === "none");
  const ground = getComputedStyle(document.body).backgroundColor;
  const drawn = shown(".chart rect, .way-icon svg").filter((part) => {
    const { fill, stroke } = getComputedStyle(part);
    return [fill, stroke].every((each) => each === "none" || each === ground);
  });
  return [...faults, ...marked.map((part) => `not marked: ${name(part)}`), ...drawn.map(() => "not drawn")];
}"""
"""Parts that only a background or shadow would set off, and icons in the background color."""

MOVING = """() => [...document.querySelectorAll("*")].filter((part) => {
  const { transitionDuration, animationName } = getComputedStyle(part);
  return animationName !== "none" || transitionDuration.split(", ").some((each) => parseFloat(each) > 0);
}).map((part) => part.className)"""

RING = """() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
  if (document.activeElement === document.body) return true;  // past the last control
  return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
}"""


@pytest.fixture
def pages(shared_app, people, email, new_browser, sign_in):
    """Yields the page at each of the paths."""
    grace = make_administrator(shared_app, people.open(email=email, methods=["email", "authenticator"]))
    people.give_codes(grace)
    page = new_browser(forced_colors="active", reduced_motion="reduce")

    def walk():
        for path in (*STRANGERS, *OWNERS):
            if path == OWNERS[0]:
                sign_in(grace, page)
            page.goto(path)
            yield path, page

    return walk


def test_forced_colors_keep_borders_visible_and_reduced_motion_is_respected(pages):
    found = [(path, fault) for path, page in pages() for fault in page.evaluate(UNSEEN) + page.evaluate(MOVING)]
    assert found == []


def test_focused_element_has_a_visible_ring_in_forced_colors(pages):
    for path, page in pages():
        for _ in range(4):
            page.keyboard.press("Tab")
            assert page.evaluate(RING), (path, page.evaluate("document.activeElement.outerHTML"))
