"""The results of a tuning: one row a training, and the settings ranked by their mean gain over bicubic.

A tuning trains several networks under settings of one plan. A setting is named by the fields in which its
plan differs from the plan as it is, the baseline, which every tuning trains first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.store import Store

if TYPE_CHECKING:
    import pandas as pd

BASELINE = "plan as it is"
"""What the baseline is called."""

TRAINING_COLUMNS: dict[str, str] = {
    **dict.fromkeys(("study", "setting", "changes", "genotype", "network"), "object"),
    **dict.fromkeys(("seed", "rung", "steps"), "int64"),
    **{"state": "object", "failure": "object", "reason": "object"},
    **dict.fromkeys(("psnr_db", "gain_db", "diverged_step", "bicubic_psnr_db"), "float64"),
    **{"scale": "int64", "plan": "object", "data": "object", "metric": "object"},
    **{"values": "object", "fields": "object"},
}
"""The columns of :func:`tuning_trainings`, and their dtypes."""


def is_tuning(recipe: Mapping[str, Any]) -> bool:
    """Whether the recipe of a study is a tuning's."""
    return isinstance(recipe.get("tune"), Mapping)


def tuning_trainings(store: Store, study: str) -> pd.DataFrame:
    """One row a training of a tuning, in their order; no row for a study that is none.

    | column | meaning |
    | --- | --- |
    | study, genotype, network, seed | network: its name, or its id |
    | setting, changes | the changed fields in words and as a dict; "plan as it is" and {} for the baseline |
    | rung, steps | length of the training |
    | state, failure, reason | as in `Store.frame` |
    | psnr_db, bicubic_psnr_db | dB |
    | gain_db | PSNR above bicubic, dB; NaN without a result; see below for a network that diverged |
    | diverged_step | the step at which it diverged; NaN where it did not |
    | scale, plan, data, metric | of the protocol; the plan is the baseline's |
    | values | dict: tuned field to its value in this training |
    | fields | dict: tuned field to its domain, as the recipe has it |

    A network that diverged counts as 0 dB, no better than bicubic; where the same network has gained less
    with another setting of that length, as the least such gain.

    Raises `UnknownStudyError`.
    """
    import pandas as pd

    recipe = store.study(study).recipe
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in TRAINING_COLUMNS.items()})
    if not is_tuning(recipe):
        return empty
    frame = store.frame(study)
    frame = frame[frame["protocol"].notna()]
    if frame.empty:
        return empty
    protocols = {id: store.protocol(id) for id in frame["protocol"].unique()}
    first = protocols[frame["protocol"].iloc[0]]
    domains = recipe["tune"].get("fields")
    fields = dict(domains) if isinstance(domains, Mapping) else {}
    about = {id: _changes(first.plan, protocol.plan, list(fields)) for id, protocol in protocols.items()}
    changes = [about[id] for id in frame["protocol"]]
    diverged = frame["failure"] == "diverged"
    steps = [
        _step_in(reason) if flag else math.nan for flag, reason in zip(diverged, frame["reason"], strict=True)
    ]
    found = frame.assign(
        setting=[setting_name(each) for each in changes],
        changes=_objects(changes),
        network=frame["name"].where(frame["name"].notna(), frame["genotype"]),
        steps=[_steps_of(protocols[id].plan) for id in frame["protocol"]],
        gain_db=frame["psnr_db"] - frame["bicubic_psnr_db"],
        diverged_step=steps,
        plan=first.plan_name,
        values=_objects([_values(protocols[id].plan, fields) for id in frame["protocol"]]),
        fields=_objects([fields] * len(frame)),
    )
    least = found.groupby(["genotype", "rung"])["gain_db"].transform("min").fillna(0.0).clip(upper=0.0)
    found["gain_db"] = found["gain_db"].mask(diverged, least)
    return found[list(TRAINING_COLUMNS)].astype(TRAINING_COLUMNS).reset_index(drop=True)


def _objects(values: Sequence[object]) -> NDArray[np.object_]:
    """A column of dicts."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _changes(plan: Mapping[str, Any], other: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """The fields of `other` that differ from `plan`, the tuned ones first; of fields that both know."""
    names = [*(name for name in order if name in plan), *(name for name in plan if name not in order)]
    return {
        name: other[name] for name in names if name != "steps" and name in other and other[name] != plan[name]
    }


def _values(plan: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: plan[name] for name in fields if isinstance(plan.get(name), str | int | float)}


def _steps_of(plan: Mapping[str, Any]) -> int:
    steps = plan.get("steps")
    return steps if isinstance(steps, int) else 0


def setting_name(changes: Mapping[str, Any]) -> str:
    """A setting in words: `lr=0.004 clip_norm=0.5`."""
    return " ".join(f"{name}={value_words(value)}" for name, value in changes.items()) or BASELINE


def value_words(value: Any) -> str:
    """A value of a plan's field in words."""
    if not isinstance(value, float):
        return str(value)
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def _step_in(reason: object) -> float:
    """The step that a reason names: `the loss became nan by step 300; ...`."""
    found = re.search(r"\bstep (\d{1,15})\b", str(reason))
    return float(found[1]) if found else math.nan


def ranked_settings(trainings: pd.DataFrame) -> pd.DataFrame:
    """The settings of one tuning, best first: those of longer rungs before those of shorter ones.

    A setting counts on the longest rung where every network of the tuning has a gain.

    | column | meaning |
    | --- | --- |
    | rank | 1 is best; None for a setting without a gain |
    | setting, changes | as in :func:`tuning_trainings` |
    | rung, steps, seeds | the rung on which the setting counts, its steps, seeds of each network there |
    | gain_db | mean over the networks of their gain over bicubic, dB |
    | over_baseline_db | gain above the baseline's on that rung; NaN where the baseline has none |
    | gains | dict: network to its gain, mean over its seeds |
    | diverged | dict: network to the step at which it diverged, on any rung |
    | failed | why a training of the setting has no result; "" where none failed |
    """
    import pandas as pd

    networks = list(trainings["genotype"].unique())
    names = dict(zip(trainings["genotype"], trainings["network"], strict=True))
    rows = [
        _setting_row(str(setting), rows, networks, names)
        for setting, rows in trainings.groupby("setting", sort=False)
    ]
    columns = ("setting", "changes", "rung", "steps", "seeds", "gain_db", "gains", "diverged", "failed")
    found = pd.DataFrame(rows, columns=list(columns))
    baseline = trainings[trainings["setting"] == BASELINE]
    means = {rung: _gains(rows, networks) for rung, rows in baseline.groupby("rung")}
    over = [
        gain - sum(means[rung].values()) / len(networks) if means.get(rung) else math.nan
        for gain, rung in zip(found["gain_db"], found["rung"], strict=True)
    ]
    found.insert(6, "over_baseline_db", pd.Series(over, dtype="float64"))
    found = found.sort_values(["rung", "gain_db"], ascending=False, kind="stable", na_position="last")
    found = found.reset_index(drop=True)
    ranks = [place if not math.isnan(gain) else None for place, gain in enumerate(found["gain_db"], start=1)]
    found.insert(0, "rank", pd.Series(ranks, dtype=object))
    return found


def _setting_row(
    setting: str, rows: pd.DataFrame, networks: Sequence[str], names: Mapping[str, str]
) -> dict[str, Any]:
    lost = rows[rows["diverged_step"].notna() | (rows["failure"] == "diverged")]
    steps = zip(lost["genotype"].astype(str), lost["diverged_step"].astype(float), strict=True)
    diverged = {names[genotype]: step for genotype, step in steps}
    failed = rows[(rows["state"] == "failed") & (rows["failure"] != "diverged")]
    row: dict[str, Any] = {
        "setting": setting,
        "changes": rows["changes"].iloc[0],
        **{"rung": -1, "steps": 0, "seeds": 0, "gain_db": math.nan, "gains": {}},
        "diverged": diverged,
        "failed": "" if failed.empty else str(failed["reason"].iloc[0]),
    }
    for rung in sorted(rows["rung"].unique(), reverse=True):
        mine = rows[rows["rung"] == rung]
        gains = _gains(mine, networks)
        if gains:
            row |= {"rung": int(rung), "steps": int(mine["steps"].iloc[0])}
            row |= {"seeds": int(mine[mine["gain_db"].notna()]["seed"].nunique())}
            row |= {"gain_db": sum(gains.values()) / len(gains)}
            row |= {"gains": {names[genotype]: gain for genotype, gain in gains.items()}}
            break
    return row


def _gains(rows: pd.DataFrame, networks: Sequence[str]) -> dict[str, float]:
    """The gain of each network, mean over its seeds; nothing where one has none."""
    known = rows[rows["gain_db"].notna()].drop_duplicates(["genotype", "seed"], keep="last")
    means = known.groupby("genotype")["gain_db"].mean()
    return {name: float(means[name]) for name in networks} if set(networks) <= set(means.index) else {}
