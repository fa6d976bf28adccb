"""The logging of a test process, kept while a test changes it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from app import observability


@contextmanager
def logging_kept() -> Iterator[None]:
    """Restore what is logged, and how: later tests in this process may look for warnings."""
    root = logging.getLogger()
    handlers, level, configured = root.handlers[:], root.level, structlog.get_config()
    try:
        yield
    finally:
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**configured)
        observability.bind_request_log()
