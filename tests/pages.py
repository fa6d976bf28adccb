"""Parse a page as a person reads it: fields, errors, notices, links."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple

VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"))
PROTECTION = ("csrf_token", "nonce")


class Button(NamedTuple):
    """A button on a page.

    :ivar text: its label
    :ivar form: attributes of the form that it submits
    :ivar is_folded: whether it is inside closed details
    """

    text: str
    attributes: dict[str, str]
    form: dict[str, str]
    is_folded: bool

    @property
    def is_main(self) -> bool:
        """Whether it is a primary button."""
        return "button-main" in self.attributes.get("class", "").split()

    @property
    def is_for_enter(self) -> bool:
        """Whether nobody sees it: the Enter key presses it, as the first of its form."""
        return self.attributes.get("aria-hidden") == "true"

    @property
    def path(self) -> str:
        """The path that it submits its form to."""
        return self.attributes.get("formaction", self.form.get("action", ""))


class Page(HTMLParser):
    """A parsed page.

    :ivar errors: messages by field name; "" has the error notices
    :ivar notices: (kind, message), where kind is "success", "info" or "error"
    :ivar inputs: (name, attributes) of each control, in order
    :ivar buttons: all buttons, in order
    :ivar links: targets of all links
    :ivar hidden: (path that its form submits to, name, value) of each hidden control
    :ivar boxes: attributes of elements that a script works on (data-passkey)
    :ivar support_id: ID by which an operator finds the request, or ""
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.errors: dict[str, list[str]] = {}
        self.notices: list[tuple[str, str]] = []
        self.inputs: list[tuple[str, dict[str, str]]] = []
        self.buttons: list[Button] = []
        self.links: list[str] = []
        self.hidden: list[tuple[str, str, str]] = []
        self.forms: list[dict[str, str]] = []
        self.boxes: list[dict[str, str]] = []
        self.title = ""
        self.heading = ""
        self.support_id = ""
        self._names_by_id: dict[str, str] = {}
        self._open: list[tuple[str, dict[str, str]]] = []
        self._texts: list[list[str]] = []
        self.feed(html)
        self.close()

    def value(self, name: str) -> str | None:
        """Return the value of the first control called ``name``, or None."""
        return next((attributes.get("value") for found, attributes in self.inputs if found == name), None)

    def attributes(self, name: str) -> dict[str, str]:
        """Return the attributes of the first control called ``name``. Raise StopIteration if there is none."""
        return next(attributes for found, attributes in self.inputs if found == name)

    def hidden_of(self, path: str) -> dict[str, str]:
        """Return the hidden fields of forms that submit to ``path``, except CSRF tokens and nonces."""
        return {name: value for action, name, value in self.hidden if action == path and name not in PROTECTION}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in ("input", "select", "textarea", "button") and "name" in attributes:
            self.inputs.append((attributes["name"], attributes))
            self._names_by_id[attributes.get("id", attributes["name"])] = attributes["name"]
            if attributes.get("type") == "hidden":
                self.hidden.append((self._form.get("action", ""), attributes["name"], attributes.get("value", "")))
        elif tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        elif tag == "form":
            self.forms.append(attributes)
        elif "data-passkey" in attributes:
            self.boxes.append(attributes)
        if tag not in VOID:
            self._open.append((tag, attributes))
            self._texts.append([])

    def handle_data(self, data: str) -> None:
        for texts in self._texts:
            texts.append(data)

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            name, attributes = self._open.pop()
            text = " ".join("".join(self._texts.pop()).split())
            self._closed(name, attributes, text)
            if name == tag:
                return

    def _closed(self, tag: str, attributes: dict[str, str], text: str) -> None:
        classes = attributes.get("class", "").split()
        if "field-error" in classes:
            field = attributes.get("id", "").removesuffix("-error")
            self.errors.setdefault(self._names_by_id.get(field, field), []).append(text)
        elif tag == "button":
            is_folded = any(name == "details" and "open" not in given for name, given in self._open)
            self.buttons.append(Button(text, attributes, self._form, is_folded))
        elif tag == "title":
            self.title = text
        elif "support-line" in classes:
            self.support_id = text.removeprefix("Support ID: ")
        elif tag == "h1":
            self.heading = text
        elif tag == "p" and (kind := self._notice_kind()):
            self.notices.append((kind, text))
            if kind == "error":
                self.errors.setdefault("", []).append(text)

    @property
    def _form(self) -> dict[str, str]:
        return next((attributes for tag, attributes in reversed(self._open) if tag == "form"), {})

    def _notice_kind(self) -> str | None:
        for _, attributes in self._open:
            classes = attributes.get("class", "").split()
            if "notice" in classes:
                return next((name.removeprefix("notice-") for name in classes if name.startswith("notice-")), "info")
        return None
