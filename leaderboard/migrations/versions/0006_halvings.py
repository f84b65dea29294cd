"""Where the training of an evaluation diverged and resumed at half the rate."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("evaluation", sa.Column("halvings", sa.JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("evaluation", "halvings")
