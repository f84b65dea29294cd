"""Leases, rungs and named failures of trials; events; one owner of a study."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STAMP = sa.DateTime(timezone=True)
KEPT = {"ck_trial_evaluation_when_done": "(state IN ('finished', 'repeated')) = (evaluation_id IS NOT NULL)"}
OLD = {
    **KEPT,
    "ck_trial_stage": "stage IN ('search', 'retrain')",
    "ck_trial_state": "state IN ('running', 'finished', 'rejected', 'repeated', 'failed')",
    "ck_trial_finished_at_when_done": "(state = 'running') = (finished_at IS NULL)",
}
NEW = {
    **KEPT,
    "ck_trial_stage": "stage IN ('search', 'seeds', 'retrain')",
    "ck_trial_state": "state IN ('waiting', 'running', 'finished', 'rejected', 'repeated', 'failed')",
    "ck_trial_finished_at_when_done": "(state IN ('waiting', 'running')) = (finished_at IS NULL)",
    "ck_trial_lease_when_running": "(state = 'running') = (lease_until IS NOT NULL)",
    "ck_trial_owner_when_taken": (
        "CASE WHEN owner IS NULL THEN state <> 'running' "
        "ELSE state IN ('running', 'finished', 'repeated', 'failed') END"
    ),
    "ck_trial_failure_when_failed": "(state = 'failed') = (failure IS NOT NULL)",
    "ck_trial_failure": (
        "failure IN ('error', 'diverged', 'out_of_memory', 'timed_out', 'worker_lost', 'given_up')"
    ),
    "ck_trial_counts": "rung >= 0 AND attempt >= 0",
}


def upgrade() -> None:
    op.add_column("study", sa.Column("owner", sa.String, nullable=True))
    op.add_column("study", sa.Column("lease_until", STAMP, nullable=True))
    _upgrade_trials()
    op.create_table(
        "event",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("trial_id", sa.Integer, nullable=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("at", STAMP, nullable=False),
        sa.Column("worker", sa.String, nullable=True),
        sa.Column("device", sa.String, nullable=True),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_event_study_id"),
        sa.ForeignKeyConstraint(["trial_id"], ["trial.id"], name="fk_event_trial_id"),
    )
    op.create_index("ix_event_study_id_id", "event", ["study_id", "id"])
    op.create_index("ix_event_trial_id", "event", ["trial_id"])


def _upgrade_trials() -> None:
    """In three steps, since rows have to change between the old constraints and the new ones."""
    with op.batch_alter_table("trial", copy_from=_trial_of_0002()) as batch:
        for name in OLD:
            batch.drop_constraint(op.f(name), type_="check")
        batch.add_column(sa.Column("rung", sa.Integer, nullable=False, server_default="0"))
        batch.add_column(sa.Column("protocol_id", sa.String, nullable=True))
        batch.add_column(sa.Column("attempt", sa.Integer, nullable=False, server_default="0"))
        batch.add_column(sa.Column("owner", sa.String, nullable=True))
        batch.add_column(sa.Column("lease_until", STAMP, nullable=True))
        batch.add_column(sa.Column("worker", sa.String, nullable=True))
        batch.add_column(sa.Column("failure", sa.String, nullable=True))
        batch.create_foreign_key("fk_trial_protocol_id", "protocol", ["protocol_id"], ["id"])
        batch.drop_index("ix_trial_study_id_state")
        batch.create_index("ix_trial_study_id_state_id", ["study_id", "state", "id"])
    # Nobody trains what a search of an older version left running: that search held no lease.
    op.execute("UPDATE trial SET state = 'waiting' WHERE state = 'running'")
    op.execute("UPDATE trial SET failure = 'error' WHERE state = 'failed'")
    # All rules at once: what SQLite tells of a table's rules depends on SQLAlchemy's version.
    with op.batch_alter_table("trial") as batch:
        for name, rule in NEW.items():
            batch.create_check_constraint(op.f(name), sa.text(rule))


def _trial_of_0002() -> sa.Table:
    table = sa.Table(
        "trial",
        sa.MetaData(),
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("stage", sa.String, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("genotype_id", sa.String, nullable=False),
        sa.Column("scale", sa.Integer, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("excess", sa.JSON, nullable=False),
        sa.Column("evaluation_id", sa.Integer, nullable=True),
        sa.Column("reason", sa.String, nullable=True),
        sa.Column("created_at", STAMP, nullable=False),
        sa.Column("finished_at", STAMP, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_trial"),
        sa.UniqueConstraint("study_id", "stage", "number", name="uq_trial_study_id_stage_number"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_trial_study_id"),
        sa.ForeignKeyConstraint(["genotype_id"], ["genotype.id"], name="fk_trial_genotype_id"),
        sa.ForeignKeyConstraint(
            ["genotype_id", "scale"],
            ["cost.genotype_id", "cost.scale"],
            name="fk_trial_genotype_id_scale",
        ),
        sa.ForeignKeyConstraint(["evaluation_id"], ["evaluation.id"], name="fk_trial_evaluation_id"),
        *(sa.CheckConstraint(rule, name=op.f(name)) for name, rule in OLD.items()),
    )
    sa.Index("ix_trial_study_id_state", table.c.study_id, table.c.state)
    sa.Index("ix_trial_evaluation_id", table.c.evaluation_id)
    return table


def downgrade() -> None:
    raise NotImplementedError("leases and events are not given up again; restore a copy made before")
