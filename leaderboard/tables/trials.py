"""Studies as flat tables: one row a trial with all that is known of it, and back.

The columns are those of `Store.frame` but for the folder, and more, so that a database can be made of them
again: the study's recipe, the protocol's plan, the parts of the cost, the curve and the single images.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.names import shortened
from leaderboard.store import Store
from leaderboard.store.contents import Contents, Row
from leaderboard.store.cost_forms import COST_FORMS, form_of_unmarked
from leaderboard.store.schema import COSTS, FAILURES, STAGES, STATES
from leaderboard.tables.reading import OPTIONAL
from leaderboard.untrusted import UntrustedError, parse_json

if TYPE_CHECKING:
    import pandas as pd

WHOLE = ("number", "seed", "rung", "attempt", "scale", *COSTS)
NUMBERS = ("bicubic_psnr_db", "bicubic_ssim", "psnr_db", "ssim", "train_seconds")
NESTED = (
    "excess",
    "measured",
    "choices",
    "recipe",
    "plan_settings",
    "parts",
    "curve",
    "per_image",
    "halvings",
)
STAMPS = ("created_at", "finished_at", "evaluated_at", "study_created_at")
WORDS = {"stage": STAGES, "state": STATES, "failure": FAILURES, "cost_form": COST_FORMS}
_OF_STUDY = ("recipe", "space_digest", "study_code_version", "study_created_at")
_OF_PROTOCOL = ("plan", "plan_settings", "data", "data_digest", "metric", "bicubic_psnr_db", "bicubic_ssim")
_OF_TRIAL = (
    *("stage", "number", "genotype", "scale", "seed", "rung", "protocol", "state", "attempt", "owner"),
    *("worker", "excess", "measured", "failure", "reason", "created_at", "finished_at"),
)
_OF_RESULT = (
    *("psnr_db", "ssim", "train_seconds", "device", "torch_version", "code_version", "checkpoint"),
    *("checkpoint_sha256", "curve", "per_image", "halvings"),
)
_OF_NETWORK = ("genotype", "name", "space", "choices")
COLUMNS = (
    *("study", *_OF_TRIAL, *_OF_NETWORK[1:], *COSTS, "parts", *_OF_PROTOCOL, *_OF_RESULT, "evaluated_at"),
    *_OF_STUDY,
    "cost_form",
)
REQUIRED_COLUMNS = tuple(name for name in COLUMNS if name not in OPTIONAL)
_REQUIRED = (
    "study",
    "stage",
    "state",
    "genotype",
    "space",
    "choices",
    "created_at",
    "recipe",
    "space_digest",
)


def trials_frame(store: Store, studies: Sequence[str]) -> pd.DataFrame:
    """One row a trial of the studies, with `COLUMNS`; dicts and lists as JSON texts, moments in UTC.

    Raises `OldCostsError` where one of them has costs of networks as trained.
    """
    import pandas as pd

    store.require_recounted(studies)

    rows = [row for study in studies for row in _rows(store.contents(study, events=False))]
    columns = (
        zip(*([row[name] for name in COLUMNS] for row in rows), strict=True) if rows else [()] * len(COLUMNS)
    )
    kinds = dict.fromkeys(WHOLE, "int64") | dict.fromkeys(NUMBERS, "float64")
    kinds |= dict.fromkeys(STAMPS, "datetime64[us, UTC]")
    return pd.DataFrame(
        {
            name: pd.Series(list(column), dtype=kinds.get(name, "object"))
            for name, column in zip(COLUMNS, columns, strict=True)
        }
    )


def _rows(contents: Contents) -> Iterator[Row]:
    study = contents.study or {}
    for trial in contents.trials:
        network = contents.genotypes[trial["genotype_id"]]
        cost = contents.costs[trial["genotype_id"], trial["scale"]]
        result = contents.evaluations.get(trial["result"]) if trial["result"] else None
        protocol = contents.protocols.get(result["protocol_id"] if result else trial["protocol_id"], {})
        row = {name: trial.get(name) for name in _OF_TRIAL}
        row |= {name: (result or {}).get(name) for name in _OF_RESULT}
        row |= {name: cost[name] for name in (*COSTS, "parts")} | {"cost_form": cost["form"]}
        row |= {name: protocol.get(name) for name in ("data", "data_digest", "metric")}
        row |= {name: protocol.get(name) for name in ("bicubic_psnr_db", "bicubic_ssim")}
        row |= {
            **{"study": study["name"], "recipe": study["recipe"], "space_digest": study["space_digest"]},
            **{"study_code_version": study["code_version"], "study_created_at": study["created_at"]},
            **{"genotype": network["id"], "name": network["name"], "space": network["space"]},
            **{
                "choices": network["choices"],
                "protocol": protocol.get("id"),
                "plan": protocol.get("plan_name"),
            },
            **{"plan_settings": protocol.get("plan"), "evaluated_at": (result or {}).get("created_at")},
        }
        for name in NESTED:
            row[name] = None if row[name] is None else json.dumps(row[name], ensure_ascii=False)
        yield row


def contents_of(rows: Iterable[Mapping[str, Any]], where: str) -> list[Contents]:
    """The studies of rows with `COLUMNS`; raises `LeaderboardError` that names row and column."""
    found: dict[str, Contents] = {}
    for number, values in enumerate(rows, start=1):
        place = f"{where}, row {number}"
        known = {**dict.fromkeys(OPTIONAL), **values}
        _take_in(found, {name: _value(name, known[name], place) for name in COLUMNS}, place)
    return list(found.values())


def _value(name: str, value: Any, where: str) -> Any:
    """A cell as its column has it: None for what is missing; raises `LeaderboardError` for another kind."""
    if value is None or (isinstance(value, str) and value == "") or value != value:  # NaN and NaT, too
        if name in (*_REQUIRED, *WHOLE):
            raise LeaderboardError(f"{where}: column {name!r} is empty")
        return None
    kind, read = next(((kind, read) for names, kind, read in _KINDS if name in names), ("a text", _text))
    try:
        found = read(value)
    except UntrustedError as error:
        raise LeaderboardError(f"{where}: column {name!r} {error}") from None
    except (TypeError, ValueError, OverflowError):
        raise LeaderboardError(f"{where}: column {name!r} is {shortened(value, 60)!r}, not {kind}") from None
    if name in WORDS and found not in WORDS[name]:
        raise LeaderboardError(f"{where}: {unknown_name(name, found, WORDS[name])}")
    return found


def _whole(value: Any) -> int:
    """A whole number; of CSV its digits, of a column with gaps a float."""
    if isinstance(value, str) and re.fullmatch("-?[0-9]{1,19}", value):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    written = isinstance(value, str) and re.fullmatch(
        r"[-+]?[0-9]{1,40}(\.[0-9]{0,40})?(e[-+]?[0-9]{1,3})?", value
    )
    if not written and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _moment(value: Any) -> datetime:
    """A moment: as ISO 8601 writes it, or pandas has it; in UTC where it has no zone."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime):
        raise TypeError
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _json(value: Any) -> Any:
    return parse_json(_text(value))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


_KINDS: tuple[tuple[tuple[str, ...], str, Callable[[Any], Any]], ...] = (
    (WHOLE, "a whole number", _whole),
    (NUMBERS, "a number", _number),
    (STAMPS, "a moment", _moment),
    (NESTED, "JSON", _json),
)


def _take_in(found: dict[str, Contents], row: Row, where: str) -> None:
    study = {"name": row["study"], "recipe": row["recipe"], "space_digest": row["space_digest"]}
    study |= {"code_version": row["study_code_version"] or "unknown"}
    study |= {"created_at": row["study_created_at"] or row["created_at"]}
    contents = found.setdefault(row["study"], Contents(study=study))
    if contents.study != study:
        raise LeaderboardError(f"{where}: run {row['study']!r} has another recipe than in the rows before")
    genotype, protocol = row["genotype"], row["protocol"]
    network = {"id": genotype, **{name: row[name] for name in _OF_NETWORK[1:]}}
    _keep(contents.genotypes, genotype, network, f"{where}: network {genotype!r}")
    cost = {
        **{"genotype_id": genotype, "scale": row["scale"], "parts": row["parts"]},
        **{name: row[name] for name in COSTS},
        "form": row["cost_form"] or _unmarked(row),
    }
    _keep(contents.costs, (genotype, row["scale"]), cost, f"{where}: the cost of network {genotype!r}")
    if protocol is None:
        _require_none(row, _OF_PROTOCOL, f"{where}: the trial has no protocol")
    else:
        _keep(contents.protocols, protocol, _protocol(row, where), f"{where}: protocol {protocol!r}")
    trial = {name: row[name] for name in _OF_TRIAL if name not in ("genotype", "protocol")}
    trial |= {"genotype_id": genotype, "protocol_id": protocol, "lease_until": None, "result": None}
    trial["excess"] = {} if trial["excess"] is None else trial["excess"]
    if row["state"] in ("finished", "repeated"):
        trial["result"] = genotype, str(protocol), row["seed"]
        evaluation = f"{where}: the evaluation of network {genotype!r}"
        _keep(contents.evaluations, trial["result"], _result(row, where), evaluation)
    else:
        _require_none(row, (*_OF_RESULT, "evaluated_at"), f"{where}: the trial is {row['state']}")
    contents.trials.append(trial)


def _unmarked(row: Row) -> str:
    choices = row["choices"]
    return form_of_unmarked(row["space"], choices if isinstance(choices, dict) else {})


def _keep(rows: dict[Any, Row], key: Any, row: Row, what: str) -> None:
    """Put a row in; raises `LeaderboardError` where another one of that key is there."""
    known = rows.setdefault(key, row)
    different = [name for name in row if known[name] != row[name] and name not in _OF_A_ROW]
    if different:
        name = different[0]
        raise LeaderboardError(
            f"{what} has {name} = {shortened(row[name])!r}, and {shortened(known[name])!r} in a row before"
        )


def _require_none(row: Row, names: Sequence[str], what: str) -> None:
    for name in names:
        if row[name] is not None:
            raise LeaderboardError(f"{what}, and {name} = {shortened(row[name])!r}")


_OF_A_ROW = ("created_at",)
"""What a row of the file has in place of something that the file does not tell."""


def _protocol(row: Row, where: str) -> Row:
    for name in _OF_PROTOCOL:
        if row[name] is None:
            raise LeaderboardError(f"{where}: column {name!r} is empty, and the row has a protocol")
    kept = {name: row[name] for name in _OF_PROTOCOL if name not in ("plan", "plan_settings")}
    about = {"id": row["protocol"], "scale": row["scale"], "created_at": row["created_at"]}
    return {**about, "plan_name": row["plan"], "plan": row["plan_settings"], **kept}


def _result(row: Row, where: str) -> Row:
    for name in ("protocol", *_OF_RESULT):
        if row[name] is None and not name.startswith("checkpoint") and name != "halvings":
            raise LeaderboardError(f"{where}: column {name!r} is empty, and the trial is {row['state']}")
    about = {"genotype_id": row["genotype"], "protocol_id": row["protocol"], "seed": row["seed"]}
    made = {"created_at": row["evaluated_at"] or row["finished_at"] or row["created_at"]}
    return {**about, **made, **{name: row[name] for name in _OF_RESULT}}
