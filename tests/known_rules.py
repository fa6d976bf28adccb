"""URL rules that are compiled once per process: all applications have the same 200.

Compiling them takes four fifths of the time to create an application.
"""

from __future__ import annotations

from typing import Any, ClassVar

from werkzeug.routing import Rule


class KnownRule(Rule):
    """A URL rule that reuses the result of compiling an identical one."""

    compiled: ClassVar[dict[Any, dict[str, Any]]] = {}

    def compile(self) -> None:
        """Reuse the result of compiling an identical rule."""
        key = self.rule, self.host, self.subdomain, self.merge_slashes, repr(self.defaults)
        if key not in self.compiled:
            before = dict(vars(self))
            super().compile()
            self.compiled[key] = {
                name: value
                for name, value in vars(self).items()
                if name == "arguments" or before.get(name, ...) is not value
            }
        vars(self).update(self.compiled[key])
