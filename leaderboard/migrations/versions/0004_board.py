"""Names and parts of networks, digests of weights, runtimes, and requests for longer trainings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

STAMP = sa.DateTime(timezone=True)
SETTING = ("network", "scale", "height", "width", "batch", "device", "threads", "precision", "engine")
OPEN = "state IN ('waiting', 'taken')"


def upgrade() -> None:
    op.add_column("genotype", sa.Column("name", sa.String, nullable=True))
    op.add_column("cost", sa.Column("parts", sa.JSON, nullable=True))
    op.add_column("evaluation", sa.Column("checkpoint_sha256", sa.String, nullable=True))
    op.add_column("measurement", sa.Column("checkpoint_sha256", sa.String, nullable=True))
    op.create_index("ix_measurement_genotype_id", "measurement", ["genotype_id"])
    _make_runtimes()
    _make_requests()


def _make_runtimes() -> None:
    op.create_table(
        "runtime",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("network", sa.String, nullable=False),
        sa.Column("genotype_id", sa.String, nullable=True),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("scale", "height", "width", "batch")),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("threads", sa.Integer, nullable=False),
        sa.Column("precision", sa.String, nullable=False),
        sa.Column("engine", sa.String, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("median_ms", "p5_ms", "p95_ms")),
        sa.Column("peak_memory_bytes", sa.BigInteger, nullable=True),
        sa.Column("torch_version", sa.String, nullable=False),
        sa.Column("code_version", sa.String, nullable=False),
        sa.Column("created_at", STAMP, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runtime"),
        sa.UniqueConstraint(*SETTING, name="uq_runtime_setting"),
        sa.ForeignKeyConstraint(["genotype_id"], ["genotype.id"], name="fk_runtime_genotype_id"),
        sa.CheckConstraint(
            "precision IN ('fp32', 'tf32', 'bf16', 'fp16', 'int8')", name=op.f("ck_runtime_precision")
        ),
        sa.CheckConstraint("engine IN ('eager', 'compiled', 'onnxruntime')", name=op.f("ck_runtime_engine")),
        sa.CheckConstraint(
            "scale > 0 AND height > 0 AND width > 0 AND batch > 0 AND threads >= 0",
            name=op.f("ck_runtime_sizes"),
        ),
        sa.CheckConstraint(
            "p5_ms > 0 AND p5_ms <= median_ms AND median_ms <= p95_ms", name=op.f("ck_runtime_times")
        ),
        sa.CheckConstraint("peak_memory_bytes >= 0", name=op.f("ck_runtime_memory")),
    )
    op.create_index("ix_runtime_genotype_id", "runtime", ["genotype_id"])


def _make_requests() -> None:
    op.create_table(
        "retrain_request",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("study_id", sa.Integer, nullable=False),
        sa.Column("genotype_id", sa.String, nullable=False),
        sa.Column("plan", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("owner", sa.String, nullable=True),
        sa.Column("reason", sa.String, nullable=True),
        sa.Column("created_at", STAMP, nullable=False),
        sa.Column("taken_at", STAMP, nullable=True),
        sa.Column("finished_at", STAMP, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_retrain_request"),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name="fk_retrain_request_study_id"),
        sa.ForeignKeyConstraint(["genotype_id"], ["genotype.id"], name="fk_retrain_request_genotype_id"),
        sa.CheckConstraint(
            "state IN ('waiting', 'taken', 'done', 'withdrawn', 'failed')",
            name=op.f("ck_retrain_request_state"),
        ),
        sa.CheckConstraint(
            "(state IN ('waiting', 'taken')) = (finished_at IS NULL)",
            name=op.f("ck_retrain_request_finished_at_when_over"),
        ),
        sa.CheckConstraint(
            "(state = 'taken') = (owner IS NOT NULL)", name=op.f("ck_retrain_request_owner_when_taken")
        ),
        sa.CheckConstraint(
            "(state = 'failed') = (reason IS NOT NULL)", name=op.f("ck_retrain_request_reason_when_failed")
        ),
        sa.CheckConstraint(
            "CASE WHEN taken_at IS NULL THEN state IN ('waiting', 'withdrawn') ELSE state <> 'waiting' END",
            name=op.f("ck_retrain_request_taken_at_when_taken"),
        ),
    )
    op.create_index(
        "uq_retrain_request_open",
        "retrain_request",
        ["study_id", "genotype_id", "plan"],
        unique=True,
        sqlite_where=sa.text(OPEN),
        postgresql_where=sa.text(OPEN),
    )
    op.create_index("ix_retrain_request_study_id_state_id", "retrain_request", ["study_id", "state", "id"])


def downgrade() -> None:
    raise NotImplementedError("what was measured and asked for is not given up; restore a copy made before")
