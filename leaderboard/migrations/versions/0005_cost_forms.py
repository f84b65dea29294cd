"""Whether a cost is that of the network as it is trained or as it is used."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from leaderboard.store.cost_forms import form_of_unmarked

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SPACES = ("lightweight", "published")
"""Spaces in which costs of both forms can be equal."""


def upgrade() -> None:
    # A column with its rule: SQLite adds no rule to a table that is there, and trials refer to this one.
    op.execute(
        "ALTER TABLE cost ADD COLUMN form VARCHAR DEFAULT 'training' NOT NULL "
        "CONSTRAINT ck_cost_form CHECK (form IN ('training', 'use'))"
    )
    op.create_index(
        "ix_cost_to_recount",
        "cost",
        ["genotype_id"],
        sqlite_where=sa.text("form = 'training'"),
        postgresql_where=sa.text("form = 'training'"),
    )
    connection = op.get_bind()
    genotype = sa.table("genotype", sa.column("id"), sa.column("space"), sa.column("choices"))
    cost = sa.table("cost", sa.column("genotype_id"), sa.column("form"))
    rows = connection.execute(sa.select(genotype).where(genotype.c.space.in_(SPACES))).all()
    equal = [row.id for row in rows if _counts_as_use(row.space, row.choices)]
    for start in range(0, len(equal), 5000):
        some = cost.c.genotype_id.in_(equal[start : start + 5000])
        connection.execute(sa.update(cost).where(some).values(form="use"))


def _counts_as_use(space: str, choices: Any) -> bool:
    """SQLite gives JSON as text, PostgreSQL as a value; what is neither stays to be counted again."""
    try:
        parsed = json.loads(choices) if isinstance(choices, str | bytes) else choices
    except (ValueError, RecursionError):
        return False
    return isinstance(parsed, dict) and form_of_unmarked(space, parsed) == "use"


def downgrade() -> None:
    raise NotImplementedError("costs of two forms are not mixed again; restore a copy made before")
