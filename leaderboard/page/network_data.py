"""All that is known of one network: what its detail, and a comparison of several, is made of."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from leaderboard.crops import Crop, pictures
from leaderboard.errors import LeaderboardError
from leaderboard.store import Store
from leaderboard.store.records import Protocol


@dataclass(frozen=True, kw_only=True)
class NetworkData:
    """A network of a study.

    `numbers` are its means over seeds under the protocol looked at (None where it was never measured under
    it), with `seeds`; `trainings` all its trials in the study that have a result, `protocols` those they were
    made under, by id. `images`, `parts`, `runtimes` and `benchmarks` are the frames of the store, `crops` the
    pictures of the training looked at.
    """

    study: str
    genotype: str
    name: str | None
    scale: int
    choices: Mapping[str, Any]
    costs: Mapping[str, float]
    protocol: Protocol | None
    numbers: Mapping[str, float] | None
    trainings: pd.DataFrame
    protocols: Mapping[str, Protocol]
    parts: pd.DataFrame
    images: pd.DataFrame
    runtimes: pd.DataFrame
    benchmarks: pd.DataFrame
    crops: tuple[Crop, ...]


def gather(store: Store, runs: Path | None, study: str, genotype: str, protocol: str | None) -> NetworkData:
    """What is known of a network of `study`; its pictures are looked for below `runs`.

    Raises `LeaderboardError` when the study never met it, or is not there.
    """
    frame = store.frame(study)
    rows = frame[frame["genotype"] == genotype]
    if rows.empty:
        raise LeaderboardError(f"{genotype!r} is no network of run {study!r}")
    row = rows.iloc[-1]
    trainings = rows[rows["psnr_db"].notna()].drop_duplicates(["protocol", "seed"])
    under = trainings[trainings["protocol"] == protocol]
    scale = int(row["scale"])
    crops = [] if runs is None else _crops(runs, under)
    names = list(rows["name"].dropna())
    return NetworkData(
        study=study,
        genotype=genotype,
        name=str(names[0]) if names else None,
        scale=scale,
        choices=row["choices"],
        costs={cost: float(row[cost]) for cost in ("params", "multi_adds", "conv_multi_adds", "activations")},
        protocol=None if protocol is None or under.empty else store.protocol(protocol),
        numbers=_numbers(under),
        trainings=trainings,
        protocols={name: store.protocol(name) for name in trainings["protocol"].unique()},
        parts=store.parts(genotype, scale),
        images=store.images(study, protocol, genotype),
        runtimes=store.runtimes(genotype),
        benchmarks=_benchmarks(store.benchmarks(genotype), genotype),
        crops=tuple(crops),
    )


def _crops(runs: Path, trainings: pd.DataFrame) -> list[Crop]:
    """The pictures of the first training that has some."""
    for folder in trainings["folder"].dropna():
        found = pictures(runs, folder)
        if found:
            return found
    return []


def _numbers(trainings: pd.DataFrame) -> dict[str, float] | None:
    if trainings.empty:
        return None
    means = trainings[["psnr_db", "ssim", "bicubic_psnr_db"]].astype(float).mean()
    return {
        "psnr_db": float(means["psnr_db"]),
        "ssim": float(means["ssim"]),
        "gain_db": float(means["psnr_db"] - means["bicubic_psnr_db"]),
        "spread_db": float(trainings["psnr_db"].astype(float).std(ddof=1)) if len(trainings) > 1 else 0.0,
        "seeds": len(trainings),
    }


def _benchmarks(frame: pd.DataFrame, genotype: str) -> pd.DataFrame:
    return frame[frame["genotype"] == genotype]


def retrain_command(study: str, genotypes: list[str] | tuple[str, ...], options: str = "") -> str:
    """The command that re-trains these networks of a run; `options` lead it to the same results."""
    command = f"nas retrain {shlex.quote(study)} --ids {shlex.quote(','.join(genotypes))}"
    return f"{command} {options}".rstrip()


def again_command(training: Mapping[str, Any], options: str = "") -> str:
    """The command that makes a number once more and compares; `options` lead it to the same results."""
    words = ["nas", "rerun", str(training["study"]), str(training["genotype"])]
    words += ["--protocol", str(training["protocol"]), "--seed", str(training["seed"])]
    return f"{shlex.join(words)} {options}".rstrip()
