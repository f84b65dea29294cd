from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint
from sqlalchemy.dialects import sqlite

from leaderboard.database import MIGRATIONS
from leaderboard.schema import COSTS, SCHEMA_VERSION, STAGES, STATES, CostRow, Table, UtcDateTime
from leaderboard.store import Store


def test_the_newest_migration_is_the_schema_version() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION


def test_migrating_an_empty_database_gives_the_declared_tables(tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store, store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []
        rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'")
        made = {row[0]: row[1] for row in rows}
    for table in Table.metadata.tables.values():  # alembic does not compare these
        for check in table.constraints:
            if isinstance(check, CheckConstraint):
                assert str(check.sqltext) in made[table.name]


def test_the_words_for_stages_states_and_costs_are_those_of_the_tables() -> None:
    checks = " ".join(
        str(c)
        for c in (
            k.sqltext for k in Table.metadata.tables["trial"].constraints if isinstance(k, CheckConstraint)
        )
    )
    assert all(f"'{word}'" in checks for word in STAGES + STATES)
    assert set(COSTS) == set(CostRow.__table__.columns.keys()) - {"genotype_id", "scale"}


def test_moments_come_back_aware_and_in_utc() -> None:
    kind, dialect = UtcDateTime(), sqlite.dialect()
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=9)))
    kept = kind.process_bind_param(moment, dialect)
    assert kept == moment
    assert kept is not None
    assert kind.process_result_value(kept.replace(tzinfo=None), dialect) == moment
    assert kind.process_result_value(kept, dialect).tzinfo is UTC  # type: ignore[union-attr]
    assert kind.process_bind_param(None, dialect) is None
    assert kind.process_result_value(None, dialect) is None
    with pytest.raises(ValueError, match="without a zone"):
        kind.process_bind_param(moment.replace(tzinfo=None), dialect)
