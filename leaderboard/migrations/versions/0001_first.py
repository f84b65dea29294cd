"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

STAMP = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_networks()
    _create_evaluations()
    _create_trials()


def _create_networks() -> None:
    op.create_table(
        "study",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("space_digest", sa.String, nullable=False),
        sa.Column("code_version", sa.String, nullable=False),
        sa.Column("created_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_study"),
        sa.UniqueConstraint("name", name="uq_study_name"),
    )
    op.create_table(
        "genotype",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("space", sa.String, nullable=False),
        sa.Column("choices", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_genotype"),
    )
    op.create_table(
        "cost",
        sa.Column("genotype_id", sa.String, nullable=False),
        sa.Column("scale", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("params", sa.BigInteger, nullable=False),
        sa.Column("multi_adds", sa.BigInteger, nullable=False),
        sa.Column("conv_multi_adds", sa.BigInteger, nullable=False),
        sa.Column("activations", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("genotype_id", "scale", name="pk_cost"),
        sa.ForeignKeyConstraint(["genotype_id"], ["genotype.id"], name="fk_cost_genotype_id"),
    )
    op.create_table(
        "protocol",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("scale", sa.Integer, nullable=False),
        sa.Column("plan_name", sa.String, nullable=False),
        sa.Column("plan", sa.JSON, nullable=False),
        sa.Column("data", sa.String, nullable=False),
        sa.Column("data_digest", sa.String, nullable=False),
        sa.Column("metric", sa.String, nullable=False),
        sa.Column("bicubic_psnr_db", sa.Double, nullable=False),
        sa.Column("bicubic_ssim", sa.Double, nullable=False),
        sa.Column("created_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_protocol"),
    )


def _create_evaluations() -> None:
    op.create_table(
        "evaluation",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("genotype_id", sa.String, nullable=False),
        sa.Column("protocol_id", sa.String, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("psnr_db", sa.Double, nullable=False),
        sa.Column("ssim", sa.Double, nullable=False),
        sa.Column("train_seconds", sa.Double, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("torch_version", sa.String, nullable=False),
        sa.Column("code_version", sa.String, nullable=False),
        sa.Column("checkpoint", sa.String, nullable=True),
        sa.Column("curve", sa.JSON, nullable=False),
        sa.Column("per_image", sa.JSON, nullable=False),
        sa.Column("created_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evaluation"),
        sa.UniqueConstraint(
            "genotype_id", "protocol_id", "seed", name="uq_evaluation_genotype_id_protocol_id_seed"
        ),
        sa.ForeignKeyConstraint(["genotype_id"], ["genotype.id"], name="fk_evaluation_genotype_id"),
        sa.ForeignKeyConstraint(["protocol_id"], ["protocol.id"], name="fk_evaluation_protocol_id"),
    )


def _create_trials() -> None:
    op.create_table(
        "trial",
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
        sa.CheckConstraint("stage IN ('search', 'retrain')", name=op.f("ck_trial_stage")),
        sa.CheckConstraint(
            "state IN ('running', 'finished', 'rejected', 'repeated', 'failed')", name=op.f("ck_trial_state")
        ),
        sa.CheckConstraint(
            "(state IN ('finished', 'repeated')) = (evaluation_id IS NOT NULL)",
            name=op.f("ck_trial_evaluation_when_done"),
        ),
        sa.CheckConstraint(
            "(state = 'running') = (finished_at IS NULL)", name=op.f("ck_trial_finished_at_when_done")
        ),
    )
    op.create_index("ix_trial_study_id_state", "trial", ["study_id", "state"])
    op.create_index("ix_trial_evaluation_id", "trial", ["evaluation_id"])


def downgrade() -> None:
    for table in ("trial", "evaluation", "protocol", "cost", "genotype", "study"):
        op.drop_table(table)
