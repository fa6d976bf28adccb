"""messages know their destination; leases of workers

Revision: 0031, after 0030

The index of the release before is dropped: its queries are served by the two new ones less well, but it works.
"""

import sqlalchemy as sa
from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None


def partial(name: str, where: str, *columns: str) -> None:
    op.create_index(name, "message", columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


def upgrade() -> None:
    op.add_column(
        "message", sa.Column("destination", sa.String(length=254), server_default=sa.text("''"), nullable=False)
    )
    message = sa.table("message", *map(sa.column, ("channel", "to", "destination", "next_attempt_at")))
    find = sa.func.strpos if op.get_bind().dialect.name == "postgresql" else sa.func.instr
    domain = sa.func.substr(message.c.to, find(message.c.to, "@") + 1)
    to = sa.case((message.c.channel == "mail", domain), else_=message.c.channel)
    op.execute(message.update().where(message.c.next_attempt_at.is_not(None)).values(destination=to))
    partial("ix_message_new", "attempts = 0 AND next_attempt_at IS NOT NULL", "destination", "next_attempt_at")
    partial("ix_message_again", "attempts > 0 AND next_attempt_at IS NOT NULL", "next_attempt_at", "destination")
    op.drop_index("ix_message_next_attempt_at", table_name="message")
    op.create_table(
        "lease",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.String(length=32), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_lease")),
    )


def downgrade() -> None:
    op.drop_table("lease")
    op.create_index("ix_message_next_attempt_at", "message", ["next_attempt_at"])
    op.drop_index("ix_message_again", table_name="message")
    op.drop_index("ix_message_new", table_name="message")
    op.drop_column("message", "destination")
