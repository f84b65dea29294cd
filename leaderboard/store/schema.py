"""The tables of the results database; a change here needs a new file in migrations/versions/.

To add a column: change the class, write the next migration, raise `SCHEMA_VERSION` to its revision id.
A test compares the migrated database with these classes.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    MetaData,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from leaderboard.store.column_types import StoredJson, UtcDateTime

SCHEMA_VERSION = "0006"
"""The revision id of the newest migration: what a database written by this version carries."""

STAGES = ("search", "seeds", "retrain")
STATES = ("waiting", "running", "finished", "rejected", "repeated", "failed")
FAILURES = ("error", "diverged", "out_of_memory", "timed_out", "worker_lost", "given_up")
EVENTS = (
    *("proposed", "rejected", "repeated", "started", "rung", "finished", "failed", "released", "taken_over"),
    *("search_started", "search_ended", "joined", "left", "calibrated", "recounted"),
)
COSTS = ("params", "multi_adds", "conv_multi_adds", "activations")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16", "int8")
RUNTIME_SETTING = (
    *("network", "scale", "height", "width", "batch", "device", "threads", "precision", "engine"),
)
ENGINES = ("eager", "compiled", "onnxruntime")
REQUESTS = ("waiting", "taken", "done", "withdrawn", "failed")


class TableBase(DeclarativeBase):
    """What all tables share: the types, and names for constraints so that migrations can find them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  (SQLAlchemy reads it from the class)
        dict[str, Any]: StoredJson(dict),
        list[Any]: StoredJson(list),
        datetime: UtcDateTime,
        float: Double,
    }


class StudyRow(TableBase):
    """One named search; `owner` is the process that searches now, until `lease_until` unless it renews."""

    __tablename__ = "study"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    recipe: Mapped[dict[str, Any]]
    space_digest: Mapped[str]
    code_version: Mapped[str]
    created_at: Mapped[datetime]
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]


class GenotypeRow(TableBase):
    """One network as the choices that build it; `name` is what a paper calls it, where one does."""

    __tablename__ = "genotype"

    id: Mapped[str] = mapped_column(primary_key=True)
    space: Mapped[str]
    choices: Mapped[dict[str, Any]]
    name: Mapped[str | None]


class CostRow(TableBase):
    """What a network costs at one scale; `parts` is the same by parts of the network, where that is known.

    `form` says whether the network was counted as it is trained or as it is used (`cost_forms.py`). The
    default is for programs of older versions, which do not know it.
    """

    __tablename__ = "cost"
    __table_args__ = (
        CheckConstraint("form IN ('training', 'use')", name="form"),
        Index(
            "ix_cost_to_recount",
            "genotype_id",
            sqlite_where=text("form = 'training'"),
            postgresql_where=text("form = 'training'"),
        ),
    )

    genotype_id: Mapped[str] = mapped_column(ForeignKey("genotype.id"), primary_key=True)
    scale: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    params: Mapped[int] = mapped_column(BigInteger)
    multi_adds: Mapped[int] = mapped_column(BigInteger)
    conv_multi_adds: Mapped[int] = mapped_column(BigInteger)
    activations: Mapped[int] = mapped_column(BigInteger)
    parts: Mapped[list[Any] | None] = mapped_column(StoredJson(list, optional=True))
    form: Mapped[str] = mapped_column(server_default="training")


class ProtocolRow(TableBase):
    """How numbers were made: only those of one protocol may be compared."""

    __tablename__ = "protocol"

    id: Mapped[str] = mapped_column(primary_key=True)
    scale: Mapped[int]
    plan_name: Mapped[str]
    plan: Mapped[dict[str, Any]]
    data: Mapped[str]
    data_digest: Mapped[str]
    metric: Mapped[str]
    bicubic_psnr_db: Mapped[float]
    bicubic_ssim: Mapped[float]
    created_at: Mapped[datetime]


class EvaluationRow(TableBase):
    """One trained and measured network, with where the number comes from.

    `checkpoint_sha256` is that of the file `checkpoint`, in hexadecimal digits. `halvings` is NULL for a
    training that never diverged.
    """

    __tablename__ = "evaluation"
    __table_args__ = (UniqueConstraint("genotype_id", "protocol_id", "seed"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    genotype_id: Mapped[str] = mapped_column(ForeignKey("genotype.id"))
    protocol_id: Mapped[str] = mapped_column(ForeignKey("protocol.id"))
    seed: Mapped[int] = mapped_column(BigInteger)
    psnr_db: Mapped[float]
    ssim: Mapped[float]
    train_seconds: Mapped[float]
    device: Mapped[str]
    torch_version: Mapped[str]
    code_version: Mapped[str]
    checkpoint: Mapped[str | None]
    checkpoint_sha256: Mapped[str | None]
    curve: Mapped[list[Any]]
    per_image: Mapped[dict[str, Any]]
    halvings: Mapped[list[Any] | None] = mapped_column(StoredJson(list, optional=True))
    created_at: Mapped[datetime]


class MeasurementRow(TableBase):
    """One network with certain weights, measured on one benchmark set; bicubic is one without weights.

    `checkpoint_sha256` is that of the file the weights were read from: it leads to their training.
    """

    __tablename__ = "measurement"
    __table_args__ = (
        UniqueConstraint("network", "weights", "scale", "data_digest", "metric"),
        Index(None, "genotype_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    network: Mapped[str]
    genotype_id: Mapped[str | None] = mapped_column(ForeignKey("genotype.id"))
    weights: Mapped[str]
    checkpoint_sha256: Mapped[str | None]
    scale: Mapped[int]
    benchmark: Mapped[str]
    data_digest: Mapped[str]
    low_resolution: Mapped[str]
    metric: Mapped[str]
    psnr_db: Mapped[float]
    ssim: Mapped[float | None]
    per_image: Mapped[dict[str, Any]]
    seconds: Mapped[float]
    device: Mapped[str]
    torch_version: Mapped[str]
    code_version: Mapped[str]
    created_at: Mapped[datetime]


class RuntimeRow(TableBase):
    """How long one inference of a network takes on one device, and how much memory; of one setting once.

    Times in milliseconds, sizes in pixels of the output. `threads` is 0 where the device is no CPU.
    """

    __tablename__ = "runtime"
    __table_args__ = (
        UniqueConstraint(*RUNTIME_SETTING, name="uq_runtime_setting"),
        Index(None, "genotype_id"),
        CheckConstraint("precision IN ('fp32', 'tf32', 'bf16', 'fp16', 'int8')", name="precision"),
        CheckConstraint("engine IN ('eager', 'compiled', 'onnxruntime')", name="engine"),
        CheckConstraint(
            "scale > 0 AND height > 0 AND width > 0 AND batch > 0 AND threads >= 0", name="sizes"
        ),
        CheckConstraint("p5_ms > 0 AND p5_ms <= median_ms AND median_ms <= p95_ms", name="times"),
        CheckConstraint("peak_memory_bytes >= 0", name="memory"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    network: Mapped[str]
    genotype_id: Mapped[str | None] = mapped_column(ForeignKey("genotype.id"))
    scale: Mapped[int]
    height: Mapped[int]
    width: Mapped[int]
    batch: Mapped[int]
    device: Mapped[str]
    threads: Mapped[int]
    precision: Mapped[str]
    engine: Mapped[str]
    median_ms: Mapped[float]
    p5_ms: Mapped[float]
    p95_ms: Mapped[float]
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    torch_version: Mapped[str]
    code_version: Mapped[str]
    created_at: Mapped[datetime]


class RequestRow(TableBase):
    """Somebody's wish that a network of a study be trained for longer; `plan` is empty for the recipe's own.

    Of one network and plan one wish at a time is open (waiting or taken). `owner` is who took it.
    """

    __tablename__ = "retrain_request"
    __table_args__ = (
        Index(
            "uq_retrain_request_open",
            *("study_id", "genotype_id", "plan"),
            unique=True,
            sqlite_where=text("state IN ('waiting', 'taken')"),
            postgresql_where=text("state IN ('waiting', 'taken')"),
        ),
        Index(None, "study_id", "state", "id"),
        CheckConstraint("state IN ('waiting', 'taken', 'done', 'withdrawn', 'failed')", name="state"),
        CheckConstraint(
            "(state IN ('waiting', 'taken')) = (finished_at IS NULL)", name="finished_at_when_over"
        ),
        CheckConstraint("(state = 'taken') = (owner IS NOT NULL)", name="owner_when_taken"),
        CheckConstraint("(state = 'failed') = (reason IS NOT NULL)", name="reason_when_failed"),
        CheckConstraint(
            "CASE WHEN taken_at IS NULL THEN state IN ('waiting', 'withdrawn') ELSE state <> 'waiting' END",
            name="taken_at_when_taken",
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    genotype_id: Mapped[str] = mapped_column(ForeignKey("genotype.id"))
    plan: Mapped[str]
    state: Mapped[str]
    owner: Mapped[str | None]
    reason: Mapped[str | None]
    created_at: Mapped[datetime]
    taken_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class TrialRow(TableBase):
    """One job: a candidate at one rung with one seed, and what became of it.

    `owner` is who trains it (running) or who ended it (finished, failed); `attempt` counts the trainings
    that were begun, without those given back.
    """

    __tablename__ = "trial"
    __table_args__ = (
        UniqueConstraint("study_id", "stage", "number"),
        # The last column makes the oldest waiting one the first entry, on servers, too.
        Index(None, "study_id", "state", "id"),
        Index(None, "evaluation_id"),
        ForeignKeyConstraint(["genotype_id", "scale"], ["cost.genotype_id", "cost.scale"]),
        CheckConstraint("stage IN ('search', 'seeds', 'retrain')", name="stage"),
        CheckConstraint(
            "state IN ('waiting', 'running', 'finished', 'rejected', 'repeated', 'failed')", name="state"
        ),
        CheckConstraint(
            "(state IN ('finished', 'repeated')) = (evaluation_id IS NOT NULL)", name="evaluation_when_done"
        ),
        CheckConstraint(
            "(state IN ('waiting', 'running')) = (finished_at IS NULL)", name="finished_at_when_done"
        ),
        CheckConstraint("(state = 'running') = (lease_until IS NOT NULL)", name="lease_when_running"),
        CheckConstraint(
            "CASE WHEN owner IS NULL THEN state <> 'running' "
            "ELSE state IN ('running', 'finished', 'repeated', 'failed') END",
            name="owner_when_taken",
        ),
        CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failure_when_failed"),
        CheckConstraint(
            "failure IN ('error', 'diverged', 'out_of_memory', 'timed_out', 'worker_lost', 'given_up')",
            name="failure",
        ),
        CheckConstraint("rung >= 0 AND attempt >= 0", name="counts"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    stage: Mapped[str]
    number: Mapped[int]
    genotype_id: Mapped[str] = mapped_column(ForeignKey("genotype.id"))
    scale: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    rung: Mapped[int] = mapped_column(server_default="0")
    protocol_id: Mapped[str | None] = mapped_column(ForeignKey("protocol.id"))
    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default="0")
    owner: Mapped[str | None]
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None]
    excess: Mapped[dict[str, Any]]
    measured: Mapped[dict[str, Any] | None] = mapped_column(StoredJson(dict, optional=True))
    evaluation_id: Mapped[int | None] = mapped_column(ForeignKey("evaluation.id"))
    failure: Mapped[str | None]
    reason: Mapped[str | None]
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]


class EventRow(TableBase):
    """Something that happened in a search, written together with the change that it tells of."""

    __tablename__ = "event"
    __table_args__ = (Index(None, "study_id", "id"), Index(None, "trial_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[int] = mapped_column(ForeignKey("study.id"))
    trial_id: Mapped[int | None] = mapped_column(ForeignKey("trial.id"))
    kind: Mapped[str]
    at: Mapped[datetime]
    worker: Mapped[str | None]
    device: Mapped[str | None]
    details: Mapped[dict[str, Any]]
