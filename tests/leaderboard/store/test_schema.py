from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from new_records import record
from sqlalchemy import CheckConstraint, MetaData, create_engine, inspect, select
from sqlalchemy.dialects import sqlite

from leaderboard.store import Store
from leaderboard.store.column_types import UtcDateTime
from leaderboard.store.database import MIGRATIONS
from leaderboard.store.schema import COSTS, SCHEMA_VERSION, STAGES, STATES, CostRow, TableBase
from leaderboard.tables.front import front_frame

OLD = sorted((Path(__file__).parents[1] / "data").glob("schema-*.sql"))


def test_the_newest_migration_is_the_schema_version() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_VERSION


def assert_as_declared(url: str) -> None:
    """The tables of a migrated database are those of the classes, their rules included."""
    with Store(url) as store, store._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, TableBase.metadata) == []
        inspector = inspect(connection)
        for table in TableBase.metadata.tables.values():  # alembic does not compare these
            declared = {
                str(check.name): str(check.sqltext)
                for check in table.constraints
                if isinstance(check, CheckConstraint)
            }
            made = {
                str(check["name"]): check["sqltext"] for check in inspector.get_check_constraints(table.name)
            }
            assert sorted(made) == sorted(declared), table.name
            if connection.dialect.name == "sqlite":  # PostgreSQL tells them in its own words
                assert made == declared
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
            assert connection.exec_driver_sql("PRAGMA integrity_check").all() == [("ok",)]


def test_migrating_an_empty_database_gives_the_declared_tables(url: str) -> None:
    assert_as_declared(url)


def rows_of(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every table's rows as the file has them."""
    raw = sqlite3.connect(path)
    raw.row_factory = sqlite3.Row
    names = [row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {name: [dict(row) for row in raw.execute(f"SELECT * FROM {name}")] for name in names}  # noqa: S608
    raw.close()
    return found


def assert_nothing_lost(before: list[dict[str, Any]], after: list[dict[str, Any]], table: str) -> None:
    """All is there; what a search without leases left running waits, and a failure has its kind."""
    assert len(before) == len(after)
    for old, new in zip(before, after, strict=True):
        expected = dict(old)
        if table == "trial" and "owner" not in old:
            failed = old["state"] == "failed"
            expected["state"] = "waiting" if old["state"] == "running" else old["state"]
            expected |= {"rung": 0, "attempt": 0, "failure": "error" if failed else None}
            expected |= dict.fromkeys(("owner", "lease_until", "worker", "protocol_id"))
        if table == "study" and "owner" not in old:
            expected |= dict.fromkeys(("owner", "lease_until"))
        new_columns = {"genotype": "name", "cost": "parts", "trial": "measured"} | dict.fromkeys(
            ("evaluation", "measurement"), "checkpoint_sha256"
        )
        if table in new_columns:
            expected.setdefault(new_columns[table], None)
        if table == "evaluation":
            expected.setdefault("halvings", None)
        if table == "cost":  # their networks cost the same as trained and as used
            expected.setdefault("form", "use")
        assert new == expected


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database as that version of the program left it."""
    path = tmp_path / "old.db"
    with sqlite3.connect(path) as raw:
        raw.executescript(request.param.read_text(encoding="utf-8"))
    raw.close()
    return path


def test_every_older_schema_has_its_database_here() -> None:
    versions = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    assert [path.stem.removeprefix("schema-") for path in OLD] == sorted(versions)[:-1]


def test_an_old_database_opens_with_all_its_rows(old: Path) -> None:
    before = rows_of(old)
    states = {row["state"] for row in before["trial"]}
    assert states >= {"running", "finished", "rejected", "repeated", "failed"}
    assert_as_declared(f"sqlite:///{old}")
    after = rows_of(old)
    assert set(after) == set(before) | {"event", "measurement", "runtime", "retrain_request"}
    for table in set(before) - {"alembic_version"}:
        assert_nothing_lost(before[table], after[table], table)


def test_an_old_database_is_searched_and_shown_on(old: Path, make_protocol: Any) -> None:
    with Store.at(old) as store:
        study = store.study("demo")
        frame = store.frame("demo")
        counts = frame["state"].value_counts().to_dict()
        leased = {"running": 1} if counts.pop("running", 0) else {}
        assert counts == {
            **{"finished": 19 if leased else 18, "waiting": 2},
            **{"repeated": 1, "rejected": 1, "failed": 1},
        }
        told = len(store.events("demo"))
        assert front_frame(frame, "demo")["psnr_db"].is_monotonic_increasing
        taken = store.claim(study.id, "me", 60.0, stage="search")
        assert taken is not None
        own = {"owner": "me", "genotype_id": taken.genotype_id}
        record(store, taken.id, 40, **own)
        assert store.trial(taken.id).state == "finished"
        assert store.events("demo")["kind"].tolist()[told:] == ["started", "finished"]


def test_a_server_is_migrated_from_the_older_schema_too(old: Path, postgres: Any) -> None:
    """The old file's rows, put into a server at the old schema."""
    url = postgres.new_database()
    rows, version = rows_of(old), rows_of(old)["alembic_version"][0]["version_num"]
    engine, source = create_engine(url), create_engine(f"sqlite:///{old}")
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.begin() as connection, source.connect() as reading:
        config.attributes["connection"] = connection
        command.upgrade(config, version)
        tables = MetaData()
        tables.reflect(connection)
        kept = MetaData()
        kept.reflect(reading)
        for table in tables.sorted_tables:
            found = [dict(row._mapping) for row in reading.execute(select(kept.tables[table.name]))]
            if found and table.name != "alembic_version":
                connection.execute(table.insert(), found)
    engine.dispose()
    source.dispose()
    assert_as_declared(url)
    with Store(url) as server, Store.at(old) as file:
        ours, theirs = server.frame(), file.frame()
    assert len(ours) == len(rows["trial"])
    pd.testing.assert_frame_equal(ours, theirs)


def test_the_words_for_stages_states_and_costs_are_those_of_the_tables() -> None:
    checks = " ".join(
        str(c)
        for c in (
            k.sqltext
            for k in TableBase.metadata.tables["trial"].constraints
            if isinstance(k, CheckConstraint)
        )
    )
    assert all(f"'{word}'" in checks for word in STAGES + STATES)
    assert set(COSTS) == set(CostRow.__table__.columns.keys()) - {"genotype_id", "scale", "parts", "form"}


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
