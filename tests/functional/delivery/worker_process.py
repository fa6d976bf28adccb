"""A worker process with the trial message kind: ``python -m tests.functional.delivery.worker_process``."""

from __future__ import annotations

import signal


def main() -> None:
    """Deliver until SIGTERM, with settings from the environment."""
    from app import create_app, shutdown
    from app.outbox import worker
    from config.settings import Settings
    from tests.functional.delivery.conftest import trial_words
    from tests.messages import teach

    app = create_app(Settings.load())
    teach(app, "trial", trial_words)
    worker.run(app, shutdown.event_set_by(signal.SIGTERM))


if __name__ == "__main__":
    main()
