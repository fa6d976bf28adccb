"""Migrations are compatible with the previous release and don't block a running service."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.databases import ROOT

VERSIONS = sorted((ROOT / "migrations" / "versions").glob("[0-9]*.py"))

CONTRACTING = {
    *("alter_column", "create_check_constraint", "create_foreign_key", "create_unique_constraint"),
    *("drop_column", "drop_table", "rename_table"),
}
"""Operations that can break the previous release, or scan all rows while holding a lock."""

EARLIER = {
    "0012": {"changes rows by SQL"},  # in triggers that it creates
    "0025": {"changes rows by SQL"},  # in SQLite's schema table
}
"""Faults in migrations that are older than these rules."""


def faults(source: str) -> set[str]:
    """Return the faults of a migration, ignoring its ``downgrade``."""
    module = ast.parse(source)
    module.body = [node for node in module.body if getattr(node, "name", "") != "downgrade"]
    calls = list(operations(module))
    made = {table for name, table, _ in calls if name == "create_table"}
    says_why = any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "SAFE_BECAUSE" for node in module.body
    )
    found = {f"{name} without SAFE_BECAUSE" for name, *_ in calls if name in CONTRACTING and not says_why}
    for name, table, call in calls:
        if name in ("create_index", "drop_index") and table not in made:
            found.add(f"{name} of a table in use, not by online.{name}")
        if name == "add_column" and is_required(call):
            found.add("a new column is required and has no default")
    texts = [node.value for node in ast.walk(module) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    if any(text.lstrip().upper().startswith(("UPDATE ", "DELETE ")) for text in texts):
        found.add("changes rows by SQL")
    built = [node.attr for node in ast.walk(module) if isinstance(node, ast.Attribute) and name_of(node) != "online"]
    return found | ({"changes rows by SQL"} if {"update", "delete"} & set(built) else set())


def operations(node: ast.AST, batch: str = "") -> Iterator[tuple[str, str, ast.Call]]:
    """Yield each Alembic operation as (name, table, call); ``batch`` is the table of the enclosing block."""
    if isinstance(node, ast.With):
        opened = node.items[0].context_expr
        batch = text_of(opened.args[0]) if isinstance(opened, ast.Call) and opened.args else batch
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and name_of(node.func) in ("op", "batch_op"):
        arguments = [
            *map(text_of, node.args),
            *(text_of(each.value) for each in node.keywords if each.arg == "table_name"),
        ]
        at = 1 if node.func.attr in ("create_index", "drop_index") else 0
        table = batch if name_of(node.func) == "batch_op" else "".join(arguments[at : at + 1])
        yield node.func.attr, table, node
    for child in ast.iter_child_nodes(node):
        yield from operations(child, batch)


def is_required(call: ast.Call) -> bool:
    """Return whether the added column is required and has no default."""
    column = next(each for each in call.args if isinstance(each, ast.Call))
    options = {each.arg: each.value for each in column.keywords}
    nullable = options.get("nullable")
    return isinstance(nullable, ast.Constant) and nullable.value is False and "server_default" not in options


def name_of(node: ast.Attribute) -> str:
    """Return the name before an attribute; "" for other expressions."""
    return node.value.id if isinstance(node.value, ast.Name) else ""


def text_of(node: ast.AST) -> str:
    """Return the text of a constant; "" for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def test_migrations_are_backward_compatible_and_non_blocking():
    found = {path.stem: faults(path.read_text()) for path in VERSIONS}
    assert found == {path.stem: EARLIER.get(path.stem[:4], set()) for path in VERSIONS}


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("op.drop_column('user', 'language')", "drop_column without SAFE_BECAUSE"),
        ("op.alter_column('user', 'language', new_column_name='locale')", "alter_column without SAFE_BECAUSE"),
        ("op.create_index('ix', 'event', ['at'])", "create_index of a table in use, not by online.create_index"),
        ("op.drop_index('ix', table_name='event')", "drop_index of a table in use, not by online.drop_index"),
        (
            "with op.batch_alter_table('event') as batch_op:\n        batch_op.create_index('ix', ['at'])",
            "create_index of a table in use, not by online.create_index",
        ),
        (
            "op.add_column('user', sa.Column('a', sa.String(8), nullable=False))",
            "a new column is required and has no default",
        ),
        ("op.execute('UPDATE event SET a = 1')", "changes rows by SQL"),
        ("op.execute(event.update().values(a=1))", "changes rows by SQL"),
    ],
)
def test_unsafe_migration_statement_is_detected(statement, fault):
    assert faults(f"def upgrade():\n    {statement}\n") == {fault}
    assert faults(f"def downgrade():\n    {statement}\n") == set()


@pytest.mark.parametrize(
    "statement",
    [
        "op.create_table('x', sa.Column('id', sa.Integer()))\n    op.create_index('ix', 'x', ['id'])",
        "online.create_index('ix', 'event', ['at'])",
        "online.update('event', {'a': 1}, sa.text('a = 0'))",
        "op.add_column('user', sa.Column('a', sa.Integer(), server_default='0', nullable=False))",
    ],
)
def test_safe_migration_statement_is_allowed(statement):
    assert faults(f"def upgrade():\n    {statement}\n") == set()
    assert (
        faults("SAFE_BECAUSE = 'since 0.2 nothing reads it'\ndef upgrade():\n    op.drop_column('user', 'a')\n")
        == set()
    )
