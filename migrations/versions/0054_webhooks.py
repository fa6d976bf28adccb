"""add webhook endpoints and deliveries

Revision: 0054, after 0053
"""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None

FORGET = (
    "BEGIN DELETE FROM webhook_delivery WHERE user_id = OLD.id AND next_attempt_at IS NULL; "
    "UPDATE webhook_delivery SET user_id = NULL, is_forgotten = TRUE WHERE user_id = OLD.id;"
)
"""When an account is deleted: finished deliveries are deleted, pending ones keep only its handle."""


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "webhook_endpoint",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("patterns", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("old_secret", sa.Text(), nullable=False),
        sa.Column("old_secret_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("disabled_reason", sa.String(length=16), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("rests_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.String(length=80), nullable=False),
        sa.Column("last_sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoint")),
    )
    is_deleted = sa.text("deleted_at IS NOT NULL")
    op.create_index(
        "ix_webhook_endpoint_deleted", "webhook_endpoint", ["id"], sqlite_where=is_deleted, postgresql_where=is_deleted
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", number, nullable=False),
        sa.Column("endpoint_id", sa.String(length=32), nullable=False),
        sa.Column("message_id", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=48), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("subject", sa.String(length=32), nullable=True),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("is_forgotten", sa.Boolean(), nullable=False),
        sa.Column("support_id", sa.String(length=16), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["endpoint_id"],
            ["webhook_endpoint.id"],
            name=op.f("fk_webhook_delivery_endpoint_id_webhook_endpoint"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sqlite_autoincrement=True,
    )
    for name in ("at", "message_id", "user_id"):
        op.create_index(op.f(f"ix_webhook_delivery_{name}"), "webhook_delivery", [name])
    op.create_index("ix_webhook_delivery_endpoint_id_id", "webhook_delivery", ["endpoint_id", "id"])
    is_over = sa.text("state = 'abandoned'")
    columns = ["endpoint_id", "id"]
    op.create_index(
        "ix_webhook_delivery_abandoned", "webhook_delivery", columns, sqlite_where=is_over, postgresql_where=is_over
    )
    is_due = sa.text("next_attempt_at IS NOT NULL")
    columns = ["endpoint_id", "next_attempt_at"]
    op.create_index(
        "ix_webhook_delivery_due", "webhook_delivery", columns, sqlite_where=is_due, postgresql_where=is_due
    )
    _follow_deleted_users()


def downgrade() -> None:
    op.execute("DROP TRIGGER webhook_user_is_gone" + (' ON "user"' if _is_postgresql() else ""))
    if _is_postgresql():
        op.execute("DROP FUNCTION webhook_user_is_gone()")
    op.drop_table("webhook_delivery")
    op.drop_table("webhook_endpoint")


def _follow_deleted_users() -> None:
    if not _is_postgresql():
        op.execute(f'CREATE TRIGGER webhook_user_is_gone AFTER DELETE ON "user" {FORGET} END')
        return
    op.execute(
        f"CREATE FUNCTION webhook_user_is_gone() RETURNS trigger LANGUAGE plpgsql AS $$ {FORGET} RETURN NULL; END $$"
    )
    op.execute(
        'CREATE TRIGGER webhook_user_is_gone AFTER DELETE ON "user" '
        "FOR EACH ROW EXECUTE FUNCTION webhook_user_is_gone()"
    )


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
