"""count failed attempts in windows of an hour and a day

The previous release packs their times into ``failures``, which this one leaves empty; existing ones are counted here.
While servers of both releases run, each counts on its own.

Revision: 0041, after 0040
"""

import time
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

TIMES = ("failed_at", "hour_began_at", "day_began_at")
COUNTS = ("hour_count", "hour_before", "day_count", "day_before")
MOST = 50
"""Times in ``failures``, unless the settings allow more failures a day."""


def upgrade() -> None:
    for name in TIMES:
        online.add_column("standing", sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    for name in COUNTS:
        online.add_column("standing", sa.Column(name, sa.SmallInteger(), server_default="0", nullable=False))
    now = datetime.now(UTC)
    values = dict.fromkeys(TIMES, now) | {"hour_count": since(3600), "day_count": since(24 * 3600)}
    online.update("standing", values, sa.and_(sa.column("failed_at").is_(None), since(24 * 3600) > 0))


def since(seconds: int) -> sa.ColumnElement[int]:
    """Return how many of a row's failures are that recent: each has 20 characters, the first 13 are milliseconds."""
    begin = f"{int((time.time() - seconds) * 1000):013d}"
    times = [sa.func.substr(sa.column("failures"), 20 * place + 1, 13) for place in range(MOST)]
    return sum((sa.case((each > begin, 1), else_=0) for each in times), sa.literal_column("0"))


def downgrade() -> None:
    for name in (*TIMES, *COUNTS):
        op.drop_column("standing", name)  # not in a batch, which copies the table and loses its trigger
