"""From the store to the frame that a view needs, and from there to its figure.

Another source is a function of a store and a `Show`, and one line in `SOURCES`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from leaderboard.errors import LeaderboardError, unknown_name
from leaderboard.store import Store
from leaderboard.tables.front import measured, words
from leaderboard.tables.reported import distinct, reported
from leaderboard.tables.tuning import tuning_trainings
from leaderboard.views import VIEWS, Show, front_info

SETTING = ("device", "threads", "precision", "engine", "height", "width", "batch")
"""What two latencies must share to be compared."""


def trials(store: Store, show: Show) -> pd.DataFrame:
    """The trials of the study and of those to compare it with: `Store.frame`, and joined to it

    | column | meaning |
    | --- | --- |
    | bicubic_ssim | what bicubic upscaling reaches under the protocol |
    | latency_ms, memory_bytes | of one inference, all on the device that measured most of these networks |
    | runtime_setting | that device, precision, output size, in words; None where nothing was measured |
    | calibration | how far the numbers of the protocol can be trusted, in words; None where it is not known |
    | family | a text that studies share whose recipes differ only in their seed |

    Raises `UnknownStudyError`.
    """
    names = list(dict.fromkeys((show.study, *show.studies)))
    frame = store.frame(names)
    baselines = {name: store.protocol(name).bicubic_ssim for name in frame["protocol"].dropna().unique()}
    frame["bicubic_ssim"] = frame["protocol"].map(baselines).astype("float64")
    frame["calibration"] = calibrated(store, frame)
    families = {name: _family(store.study(name).recipe) for name in names}
    frame["family"] = frame["study"].map(families)
    return _with_runtimes(frame, store.runtimes())


def calibrated(store: Store, frame: pd.DataFrame) -> pd.Series:
    """What is known of the protocol of each row: `Calibration.words`, or None."""
    known = {name: one.words for name, one in store.calibrations().items()}
    words = [known.get(name) for name in frame["protocol"]]
    return pd.Series(words, index=frame.index, dtype=object)


def _family(recipe: Mapping[str, Any]) -> str:
    return json.dumps({key: value for key, value in recipe.items() if key != "seed"}, sort_keys=True)


def _with_runtimes(frame: pd.DataFrame, runtimes: pd.DataFrame) -> pd.DataFrame:
    """The frame with each network's latency and memory, in the setting that most were measured in."""
    known = runtimes.merge(frame[["genotype", "scale"]].drop_duplicates(), on=["genotype", "scale"])
    if known.empty:
        return frame.assign(latency_ms=float("nan"), memory_bytes=float("nan"), runtime_setting=None)
    counts = known.groupby(list(SETTING))["genotype"].nunique()
    setting = dict(zip(SETTING, counts.index[counts == counts.max()][0], strict=True))
    chosen = known[(known[list(SETTING)] == pd.Series(setting)).all(axis=1)]
    values = chosen.drop_duplicates(["genotype", "scale"], keep="last")
    values = values.rename(columns={"median_ms": "latency_ms", "peak_memory_bytes": "memory_bytes"})
    joined = frame.merge(
        values[["genotype", "scale", "latency_ms", "memory_bytes"]], on=["genotype", "scale"], how="left"
    )
    return joined.assign(runtime_setting=_setting_words(setting))


def _setting_words(setting: Mapping[str, Any]) -> str:
    threads = f" ({setting['threads']} threads)" if setting["threads"] else ""
    size = f"{setting['width']}x{setting['height']}"
    batch = f", batch {setting['batch']}" if setting["batch"] != 1 else ""
    return f"{setting['device']}{threads}, {setting['precision']}, {setting['engine']}, output {size}{batch}"


def benchmarks(store: Store, show: Show) -> pd.DataFrame:
    """Measured and reported numbers on benchmark sets in one frame.

    The columns of `Store.benchmarks`, and origin (measured or reported), table, reported_in, page, kind and
    suspect (None, or why it is believed a misprint), as `distinct` has them. A reported number has no
    genotype, and its metric is `as reported`; its Multi-Adds are the paper's count, whichever that is.
    """
    here = store.benchmarks().assign(origin="measured")
    papers = distinct(reported()).rename(columns={"dataset": "benchmark"})
    papers = papers.assign(origin="reported", metric="as reported")
    both = [part for part in (here, papers) if len(part)]
    frame = pd.concat(both, ignore_index=True) if both else here
    frame = frame.reindex(columns=list(dict.fromkeys([*here.columns, *papers.columns])))
    texts = (
        "genotype",
        "name",
        "weights",
        "low_resolution",
        "stage",
        "plan",
        *("trained_on", "kind", "table", "reported_in", "page", "suspect"),
    )
    for column in texts:
        known = frame[column] if column in frame else pd.Series([None] * len(frame), dtype=object)
        frame[column] = known.astype(object).where(known.notna(), None)
    return frame


def curves(store: Store, show: Show) -> pd.DataFrame:
    """The curves of the chosen networks, or of those on the front: `Store.curves`, and joined to it

    | column | meaning |
    | --- | --- |
    | reached_psnr_db | PSNR at the end of that training, dB |
    | name | what a paper calls the network |
    | scale, plan, data, metric | of the protocol |
    """
    frame = store.frame(show.study)
    rows = measured(frame, show.study, show.protocol)
    about = rows.drop_duplicates(["genotype", "seed"])
    about = about[["genotype", "seed", "psnr_db", "name", "scale", "plan", "data", "metric"]]
    about = about.rename(columns={"psnr_db": "reached_psnr_db"})
    chosen = list(show.genotypes) or list(
        front_info(trials(store, _alone(show)), _alone(show)).front["genotype"]
    )
    protocol = None if rows.empty else str(rows["protocol"].iloc[0])
    found = store.curves(show.study, protocol, chosen)
    return found.merge(about, on=["genotype", "seed"], how="inner")


def events(store: Store, show: Show) -> pd.DataFrame:
    """The study's events: `Store.events`."""
    return store.events(show.study)


def parts(store: Store, show: Show) -> pd.DataFrame:
    """The parts of the first chosen network, or of the best one: `Store.parts`, with genotype, words, scale.

    Raises `LeaderboardError` for a network that the study does not have.
    """
    frame = store.frame(show.study)
    if show.genotypes:
        genotype = show.genotypes[0]
    else:
        best = measured(frame, show.study, show.protocol).sort_values(show.quality)["genotype"]
        genotype = "" if best.empty else str(best.iloc[-1])
    rows = frame[frame["genotype"] == genotype]
    if rows.empty:
        if show.genotypes:
            raise LeaderboardError(unknown_name("network", genotype, frame["genotype"].unique()))
        return store.parts("", 0).assign(genotype="", words="", scale=0)
    scale = int(rows["scale"].iloc[0])
    return store.parts(genotype, scale).assign(
        genotype=genotype, words=words(rows["choices"].iloc[0]), scale=scale
    )


def calibrations(store: Store, show: Show) -> pd.DataFrame:
    """What is known of how far short trainings foretell long ones, as far as it concerns the study.

    Calibrations that the study is, or that speak of one of its protocols, and all others against the same
    references. A row a length of training (kind `rung`) or a number that costs no training (kind `free`):

    | column | meaning |
    | --- | --- |
    | study, scale, data, device | of the calibration |
    | reference, reference_plan, reference_steps | the long training's protocol, plan and length |
    | plan, steps, protocol | of the short one; of a `free` one its name |
    | own | whether the study has networks under this protocol |
    | seconds | that one candidate trains, those of shorter rungs included |
    | tau, tau_low, tau_high | Kendall's tau b against the reference, with a 95 % interval |
    | resolves_db | the difference that two trainings can tell, dB |
    | architectures | how many were trained |
    """
    reports = store.calibration_reports()
    frame = store.frame(show.study, ["protocol"])
    mine = {str(name) for name in frame["protocol"].dropna()}
    rows = [row for study, report in reports.items() for row in _report_rows(study, report)]
    found = pd.DataFrame(rows, columns=list(_REPORTED))
    found = found.astype(dict.fromkeys(_REPORTED_NUMBERS, "float64"))
    found["own"] = found["protocol"].isin(mine)
    concerned = found[found["own"] | (found["study"] == show.study)]
    return found[found["reference"].isin(set(concerned["reference"]))].reset_index(drop=True)


_REPORTED = (
    *("study", "kind", "scale", "data", "device", "reference", "reference_plan", "reference_steps"),
    *("plan", "steps", "protocol", "seconds", "tau", "tau_low", "tau_high", "resolves_db", "architectures"),
)
_REPORTED_NUMBERS = (
    *("scale", "reference_steps", "steps", "seconds", "tau", "tau_low", "tau_high"),
    *("resolves_db", "architectures"),
)


def _report_rows(study: str, report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of one report, which may come from anybody's database: what is none of it is left out."""
    about: dict[str, Any] = {
        "study": study,
        "reference": str(report.get("reference_protocol")),
        **{name: _number(report.get(name)) for name in ("scale", "reference_steps")},
        **{name: str(report.get(name, "")) for name in ("data", "device", "reference_plan")},
    }
    if math.isnan(about["scale"]) or math.isnan(about["reference_steps"]):
        return []
    rows = []
    for kind, part in (("rung", "rungs"), ("free", "baselines")):
        entries = report.get(part)
        for entry in entries if isinstance(entries, list) else []:
            tau = entry.get("tau") if isinstance(entry, Mapping) else None
            if not isinstance(tau, Mapping):
                continue
            row: dict[str, Any] = {
                name: _number(entry.get(name)) for name in ("steps", "seconds", "resolves_db")
            }
            row |= {
                "kind": kind,
                "plan": str(entry.get("plan", entry.get("name", ""))),
                "protocol": str(entry.get("protocol", "")),
                "architectures": _number(entry.get("architectures", entry.get("known"))),
                "tau": _number(tau.get("value")),
                "tau_low": _number(tau.get("low")),
                "tau_high": _number(tau.get("high")),
            }
            if kind == "free" or row["steps"] > 0:
                rows.append(about | row)
    return rows


def _number(value: Any) -> float:
    known = isinstance(value, int | float) and math.isfinite(value)
    return float(value) if known else math.nan


def tuning(store: Store, show: Show) -> pd.DataFrame:
    """The trainings of a tuning: `leaderboard.tables.tuning.tuning_trainings`."""
    return tuning_trainings(store, show.study)


def _alone(show: Show) -> Show:
    return Show(
        study=show.study, protocol=show.protocol, cost=show.cost, quality=show.quality, budget=show.budget
    )


SOURCES: dict[str, Callable[[Store, Show], pd.DataFrame]] = {
    "trials": trials,
    "benchmarks": benchmarks,
    "curves": curves,
    "events": events,
    "parts": parts,
    "calibrations": calibrations,
    "tuning": tuning,
}


def draw(store: Store, show: Show, name: str) -> go.Figure:
    """The figure of the view `name`.

    Raises `LeaderboardError` for an unknown view, study, protocol, axis or network.
    """
    if name not in VIEWS:
        raise LeaderboardError(unknown_name("view", name, VIEWS))
    view = VIEWS[name]
    return view(SOURCES[view.source](store, show), show)
