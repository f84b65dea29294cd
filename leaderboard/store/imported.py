"""Rows of another database or file, checked by type, size and range before the store takes them in.

One model a table; a new column is one line here, and a test compares the models with the tables.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from leaderboard.errors import StoreError
from leaderboard.names import CHECKPOINT, DIGEST, ID, LINE, SHA256, SPACE_NAME, WORD, shortened
from leaderboard.store.contents import Contents, Row
from leaderboard.store.cost_forms import COST_FORMS
from leaderboard.store.schema import ENGINES, EVENTS, FAILURES, PRECISIONS, STAGES, STATES
from leaderboard.untrusted import UntrustedError, check_plain


def _matching(pattern: re.Pattern[str], what: str) -> AfterValidator:
    def check(text: str) -> str:
        if pattern.fullmatch(text) is None:
            raise ValueError(f"{what} is needed")
        return text

    return AfterValidator(check)


def _plain(value: Any) -> Any:
    try:
        check_plain(value)
    except UntrustedError as error:
        raise ValueError(str(error)) from None
    return value


def _one_of(words: Sequence[str]) -> AfterValidator:
    def check(text: str) -> str:
        if text not in words:
            raise ValueError(f"one of {', '.join(words)} is needed")
        return text

    return AfterValidator(check)


Id = Annotated[str, _matching(ID, "an id of letters, digits, '.', '_' and '-'")]
Word = Annotated[str, _matching(WORD, "a word")]
SpaceName = Annotated[str, _matching(SPACE_NAME, "the name of a space")]
Digest = Annotated[str, _matching(DIGEST, "hexadecimal digits")]
Sha256 = Annotated[str, _matching(SHA256, "64 hexadecimal digits")]
Line = Annotated[str, _matching(LINE, "a text of one line and at most 4,096 characters")]
Checkpoint = Annotated[str, _matching(CHECKPOINT, "a file inside the runs folder")]
Plain = AfterValidator(_plain)
Table = Annotated[dict[str, Any], Plain]

Count = Annotated[int, Field(ge=0, lt=2**63)]
Small = Annotated[int, Field(ge=0, lt=2**31)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Scale = Annotated[int, Field(ge=1, le=16)]
Size = Annotated[int, Field(ge=1, lt=2**31)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Psnr = Annotated[float, Field(ge=-50, le=150, allow_inf_nan=False)]
Ssim = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=1e10, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(gt=0, le=1e10, allow_inf_nan=False)]
Curve = list[Annotated[list[Number | None], Field(min_length=3, max_length=3)]]
Halvings = list[
    Annotated[
        tuple[Count, Count, Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]], Field(strict=False)
    ]
]
PerImage = dict[Line, Annotated[list[Number | None], Field(min_length=2, max_length=2)]]


class _Row(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class StudyModel(_Row):
    """A run; its name is checked when it is taken in, perhaps under another."""

    name: Line
    recipe: Table
    space_digest: Digest
    code_version: Line
    created_at: datetime


class GenotypeModel(_Row):
    """A network."""

    id: Id
    space: SpaceName
    choices: Table
    name: Line | None


class PartModel(_Row):
    """A part of a network's cost."""

    part: Line
    copies: Count
    uses: Count
    params: Count
    multi_adds: Count
    conv_multi_adds: Count
    activations: Count


class CostModel(_Row):
    """What a network costs at a scale."""

    genotype_id: Id
    scale: Scale
    params: Count
    multi_adds: Count
    conv_multi_adds: Count
    activations: Count
    parts: list[PartModel] | None
    form: Annotated[str, _one_of(COST_FORMS)]


class ProtocolModel(_Row):
    """How numbers were made."""

    id: Id
    scale: Scale
    plan_name: Line
    plan: Table
    data: Line
    data_digest: Digest
    metric: Word
    bicubic_psnr_db: Psnr
    bicubic_ssim: Ssim
    created_at: datetime


class _Provenance(_Row):
    device: Line
    torch_version: Line
    code_version: Line
    created_at: datetime


class EvaluationModel(_Provenance):
    """A trained network."""

    genotype_id: Id
    protocol_id: Id
    seed: Seed
    psnr_db: Psnr
    ssim: Ssim
    train_seconds: Seconds
    checkpoint: Checkpoint | None
    checkpoint_sha256: Sha256 | None
    curve: Curve
    per_image: PerImage
    halvings: Halvings | None


class TrialModel(_Row):
    """A candidate, without the numbers that a database gives."""

    stage: Annotated[str, _one_of(STAGES)]
    number: Small
    genotype_id: Id
    scale: Scale
    seed: Seed
    rung: Small
    protocol_id: Id | None
    state: Annotated[str, _one_of(STATES)]
    attempt: Small
    owner: Line | None
    lease_until: datetime | None
    worker: Line | None
    excess: dict[Line, Number]
    measured: dict[Line, Number] | None
    failure: Annotated[str, _one_of(FAILURES)] | None
    reason: Line | None
    created_at: datetime
    finished_at: datetime | None
    result: Annotated[tuple[str, str, int], Field(strict=False)] | None


class EventModel(_Row):
    """Something that happened."""

    kind: Annotated[str, _one_of(EVENTS)]
    at: datetime
    worker: Line | None
    device: Line | None
    details: Table
    trial: Small | None


class MeasurementModel(_Provenance):
    """A network on a benchmark set."""

    network: Line
    genotype_id: Id | None
    weights: Digest
    checkpoint_sha256: Sha256 | None
    scale: Scale
    benchmark: Line
    data_digest: Digest
    low_resolution: Word
    metric: Word
    psnr_db: Psnr
    ssim: Ssim | None
    per_image: PerImage
    seconds: Seconds


class RuntimeModel(_Provenance):
    """The duration of an inference."""

    network: Line
    genotype_id: Id | None
    scale: Scale
    height: Size
    width: Size
    batch: Size
    threads: Small
    precision: Annotated[str, _one_of(PRECISIONS)]
    engine: Annotated[str, _one_of(ENGINES)]
    median_ms: Milliseconds
    p5_ms: Milliseconds
    p95_ms: Milliseconds
    peak_memory_bytes: Count | None


def checked_contents(contents: Contents, source: str) -> Contents:
    """`contents` itself; raises `StoreError` that begins with `source` for the first value that cannot be.

    An id of 12 hexadecimal digits has to be the digest of its network's space and choices.
    """
    if contents.study is not None:
        _check(StudyModel, "run", [contents.study], source)
    _check(GenotypeModel, "network", contents.genotypes.values(), source)
    _check(CostModel, "cost of network", contents.costs.values(), source)
    _check(ProtocolModel, "protocol", contents.protocols.values(), source)
    _check(EvaluationModel, "evaluation of network", contents.evaluations.values(), source)
    _check(TrialModel, "trial of network", contents.trials, source)
    _check(EventModel, "event", contents.events, source)
    _check(MeasurementModel, "measurement of network", contents.measurements, source)
    _check(RuntimeModel, "runtime of network", contents.runtimes, source)
    for id, network in contents.genotypes.items():
        ours = re.fullmatch("[0-9a-f]{12}", id) is not None
        if ours and network_id(network["space"], network["choices"]) != id:
            raise StoreError(f"{source}: network {id!r} has the choices of another network")
    for trial in contents.trials:
        if (trial["genotype_id"], trial["scale"]) not in contents.costs:
            raise StoreError(f"{source}: network {trial['genotype_id']!r} has no cost at x{trial['scale']}")
        if trial["state"] in ("finished", "repeated") and trial["result"] not in contents.evaluations:
            raise StoreError(f"{source}: trial of network {trial['genotype_id']!r} has no evaluation")
    return contents


def network_id(space: str, choices: dict[str, Any]) -> str:
    """The id of a network: 12 hexadecimal digits of the SHA-256 of its space's name and its choices."""
    text = json.dumps([space, choices], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _check(model: type[_Row], kind: str, rows: Iterable[Row], source: str) -> None:
    for row in rows:
        try:
            model.model_validate(row)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place, value = ".".join(map(str, first["loc"])), shortened(repr(first["input"]))
            name = next((row[key] for key in ("genotype_id", "id", "name", "network") if row.get(key)), "")
            needed = first["msg"].removeprefix("Value error, ").lower()
            raise StoreError(
                f"{source}: {kind} {shortened(repr(name))}: {shortened(place)} = {value}: {needed}"
            ) from None
