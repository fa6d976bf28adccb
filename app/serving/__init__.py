"""``flask serve``: the production server, its worker processes and the delivery of messages, as one program.

Promises: it refuses to start unsafe, a slow client holds no place in the application, what dies is started again,
and a stop lets running requests end and leaves no process behind.
"""

from app.serving.cli import serve_command

__all__ = ["serve_command"]
