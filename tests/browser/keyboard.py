"""A keyboard user: Tab, Enter, Space and letters, no mouse."""

from __future__ import annotations

from typing import Any

FOCUSED = """() => {
  const at = document.activeElement;
  const words = at.labels?.length ? at.labels[0].textContent : at.getAttribute("aria-label") || at.textContent;
  const looks = getComputedStyle(at), box = at.getBoundingClientRect();
  return {
    tag: at.tagName,
    name: words.replace(/\\s+/g, " ").trim(),
    marked: (looks.outlineStyle !== "none" && looks.outlineWidth !== "0px") || looks.boxShadow !== "none",
    inView: box.bottom > 0 && box.top < innerHeight,
  };
}"""

MAX_STOPS = 60


class Keyboard:
    """The keyboard of one page. Every element that Tab reaches must have a visible focus."""

    def __init__(self, page: Any) -> None:
        self.page = page

    def to(self, name: str) -> None:
        """Press Tab until an element whose name starts with ``name`` has the focus. Raises AssertionError."""
        passed: list[str] = []
        at = self.page.evaluate(FOCUSED)
        for _ in range(MAX_STOPS):
            if at["tag"] not in ("BODY", "MAIN") and at["name"].startswith(name):
                assert at["inView"], f"{name} has the focus out of sight"
                return
            passed.append(at["name"][:40])
            self.page.keyboard.press("Tab")
            at = self._at_focus()
        raise AssertionError(f"Tab does not lead to {name!r} on {self.page.url}; it led to {passed}")

    def write(self, name: str, text: str) -> None:
        """Go to a field and type."""
        self.to(name)
        self.page.keyboard.type(text)

    def press(self, key: str = "Enter") -> None:
        """Press a key that opens or checks something on this page."""
        self.page.keyboard.press(key)

    def go(self, name: str = "") -> None:
        """Press Enter, on the element named ``name`` or the focused one, and wait for the next page."""
        if name:
            self.to(name)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def _at_focus(self) -> dict[str, Any]:
        """Return the focused element. Raises AssertionError if the focus isn't visible."""
        at: dict[str, Any] = self.page.evaluate(FOCUSED)
        assert at["tag"] in ("BODY", "IFRAME") or at["marked"], f"nothing shows that {at['name']!r} has the focus"
        return at
