"""record the destination of messages, and add worker leases

Revision: 0031, after 0030

The index that the previous release uses is dropped: its queries are slower with the two new ones, but work.
"""

import sqlalchemy as sa
from alembic import op

from migrations import online

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def upgrade() -> None:
    to = sa.column("to", sa.String)
    find = sa.func.strpos if op.get_bind().dialect.name == "postgresql" else sa.func.instr
    domain = sa.case(
        (sa.column("channel") == "mail", sa.func.substr(to, find(to, "@") + 1)), else_=sa.column("channel")
    )
    waiting = sa.column("next_attempt_at").is_not(None) & (sa.column("destination") == "")
    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
        if_not_exists=True,
    )
    online.add_column("message", sa.Column("destination", sa.String(254), server_default=sa.text("''"), nullable=False))
    online.update("message", {"destination": domain}, waiting)
    new, again = ("attempts = 0 AND next_attempt_at IS NOT NULL", "attempts > 0 AND next_attempt_at IS NOT NULL")
    online.create_index("ix_message_new", "message", ["destination", "next_attempt_at"], where=new)
    online.create_index("ix_message_again", "message", ["next_attempt_at", "destination"], where=again)
    online.drop_index("ix_message_next_attempt_at", "message")


def downgrade() -> None:
    op.drop_table("lease")
    op.create_index("ix_message_next_attempt_at", "message", ["next_attempt_at"])
    op.drop_index("ix_message_again", table_name="message")
    op.drop_index("ix_message_new", table_name="message")
    op.drop_column("message", "destination")
