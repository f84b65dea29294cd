"""Measurements on benchmark sets."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "measurement",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("network", sa.String, nullable=False),
        sa.Column("genotype_id", sa.String, nullable=True),
        sa.Column("weights", sa.String, nullable=False),
        sa.Column("scale", sa.Integer, nullable=False),
        sa.Column("benchmark", sa.String, nullable=False),
        sa.Column("data_digest", sa.String, nullable=False),
        sa.Column("low_resolution", sa.String, nullable=False),
        sa.Column("metric", sa.String, nullable=False),
        sa.Column("psnr_db", sa.Double, nullable=False),
        sa.Column("ssim", sa.Double, nullable=True),
        sa.Column("per_image", sa.JSON, nullable=False),
        sa.Column("seconds", sa.Double, nullable=False),
        sa.Column("device", sa.String, nullable=False),
        sa.Column("torch_version", sa.String, nullable=False),
        sa.Column("code_version", sa.String, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_measurement"),
        sa.UniqueConstraint(
            "network",
            "weights",
            "scale",
            "data_digest",
            "metric",
            name="uq_measurement_network_weights_scale_data_digest_metric",
        ),
        sa.ForeignKeyConstraint(["genotype_id"], ["genotype.id"], name="fk_measurement_genotype_id"),
    )


def downgrade() -> None:
    op.drop_table("measurement")
