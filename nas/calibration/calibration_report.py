"""What the results of a calibration say: rank agreement, noise, and what helps against it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from leaderboard.store.records import Calibration
from nas.calibration.fidelities import Fidelity
from nas.calibration.rank_correlation import (
    LEAST,
    Agreement,
    Noise,
    best_half,
    by_images,
    by_seeds,
    noise_of,
    rho_of,
    tau_of,
)
from nas.calibration.zero_cost import ZERO_COST
from nas.errors import RecipeError
from nas.recipes.recipe import COST_OBJECTIVES

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """What one length of training (or a variant of it) says about the reference.

    ``tau`` and ``rho`` are of single trainings, ``half_*`` among the better half by the reference.
    ``seconds`` is the mean time that one candidate trains. ``resolves_db`` is NaN where no architecture has
    several seeds.
    """

    plan: str
    steps: int
    protocol: str
    architectures: int
    tau: Agreement
    rho: Agreement
    half_tau: Agreement
    half_rho: Agreement
    noise: Noise
    resolves_db: float
    seconds: float
    variant: bool = False


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """What a number that needs no training says about the reference; ``known``: of how many architectures."""

    name: str
    known: int
    tau: Agreement
    rho: Agreement
    half_tau: Agreement
    half_rho: Agreement


@dataclass(frozen=True, kw_only=True)
class Report:
    """A calibration. ``reference_*`` are of the long training, PSNR in dB; rungs come shortest first.

    ``by_seeds``: (seeds, tau of their mean) at the cheapest rung. ``by_images``: (images, sigma between
    architectures that share a seed, in dB, tau) there. ``shortest`` is the first rung whose tau reaches
    ``wanted_tau``, None where none does. ``failed`` architectures have no results at some fidelity.
    """

    study: str
    plan: str
    scale: int
    data: str
    images: int
    architectures: int
    multi_adds: tuple[int, int]
    reference_plan: str
    reference_steps: int
    reference_protocol: str
    reference_range_db: tuple[float, float]
    reference_seconds: float
    device: str
    rungs: tuple[Rung, ...]
    baselines: tuple[Baseline, ...]
    by_seeds: tuple[tuple[int, float], ...]
    by_images: tuple[tuple[int, float, float], ...]
    wanted_tau: float
    failed: int

    @property
    def shortest(self) -> Rung | None:
        """The shortest rung whose tau reaches what was wanted."""
        own = (rung for rung in self.rungs if not rung.variant)
        return next((rung for rung in own if rung.tau.value >= self.wanted_tau), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; what is not known is None."""
        shortest = self.shortest
        plain: dict[str, Any] = _plain(asdict(self))
        return plain | {"shortest_steps": None if shortest is None else shortest.steps}


def analyse(
    frame: pd.DataFrame,
    fidelities: Sequence[tuple[Fidelity, str]],
    scores: Mapping[str, Mapping[str, float]],
    *,
    study: str,
    data: str,
    first_seed: int,
    wanted_tau: float,
) -> Report:
    """What the results of a sweep say: ``frame`` as ``read_sweep(..., per_image=True)`` gives it.

    ``fidelities`` come with the id of their protocol, ``scores`` map an architecture's id to its numbers that
    cost no training. Only architectures with the reference's result are looked at. Raises RecipeError where
    fewer than LEAST have one.
    """
    place = next(at for at, (fidelity, _) in enumerate(fidelities) if fidelity.kind == "reference")
    judge, judged_by = fidelities[place]
    long = frame[frame["protocol"] == judged_by]
    reference = long.groupby("genotype_id")["psnr_db"].mean().sort_index()
    if len(reference) < LEAST:
        raise RecipeError(
            f"{len(reference)} architectures have a result of the reference; {LEAST} are needed to rank"
        )
    about = frame.drop_duplicates("genotype_id").set_index("genotype_id").loc[reference.index]
    rungs = [
        _rung(frame[frame["protocol"] == protocol], fidelity, protocol, reference)
        for fidelity, protocol in fidelities
        if fidelity.kind != "reference"
    ]
    cheapest, protocol = fidelities[0]
    short = frame[frame["protocol"] == protocol]
    table = _table(short, reference, cheapest.seeds, first_seed)
    images = _image_scores(short, reference, cheapest.seeds, first_seed)
    columns = {name: about[name].to_numpy(dtype=float) for name in COST_OBJECTIVES}
    for name in ZERO_COST:
        columns[name] = np.array([scores.get(str(id), {}).get(name, math.nan) for id in reference.index])
    return Report(
        study=study,
        plan=cheapest.name,
        scale=int(about["scale"].iloc[0]),
        data=data,
        images=images.shape[2],
        architectures=len(reference),
        multi_adds=(int(about["multi_adds"].min()), int(about["multi_adds"].max())),
        reference_plan=judge.name,
        reference_steps=judge.plan.steps,
        reference_protocol=judged_by,
        reference_range_db=(float(reference.min()), float(reference.max())),
        reference_seconds=float(long["train_seconds"].mean()),
        device=", ".join(sorted(set(frame["device"]))),
        rungs=tuple(rungs),
        baselines=tuple(_baseline(name, column, reference) for name, column in columns.items()),
        by_seeds=tuple(by_seeds(table, reference.to_numpy(dtype=float))),
        by_images=_by_images(images, reference.to_numpy(dtype=float)),
        wanted_tau=wanted_tau,
        failed=int(frame["genotype_id"].nunique() - len(reference)),
    )


def _rung(rows: pd.DataFrame, fidelity: Fidelity, protocol: str, reference: pd.Series) -> Rung:
    first = int(rows["seed"].min()) if len(rows) else 0
    table = _table(rows, reference, fidelity.seeds, first)
    noise = noise_of(table)
    return Rung(
        plan=fidelity.name,
        steps=fidelity.plan.steps,
        protocol=protocol,
        architectures=int((~np.isnan(table).any(axis=1)).sum()),
        noise=noise,
        resolves_db=noise.resolved_db,
        seconds=float(rows["train_seconds"].mean()) if len(rows) else math.nan,
        variant=fidelity.kind == "variant",
        **_agreements(table, reference),
    )


def _baseline(name: str, column: Floats, reference: pd.Series) -> Baseline:
    known = int((~np.isnan(column)).sum())
    return Baseline(name=name, known=known, **_agreements(column, reference))


def _agreements(table: Floats, reference: pd.Series) -> dict[str, Agreement]:
    """Tau and rho over all, and among the better half by the reference."""
    y = reference.to_numpy(dtype=float)
    half = best_half(y)
    return {
        "tau": tau_of(table, y),
        "rho": rho_of(table, y),
        "half_tau": tau_of(table[half], y[half]),
        "half_rho": rho_of(table[half], y[half]),
    }


def _table(rows: pd.DataFrame, reference: pd.Series, seeds: int, first: int) -> Floats:
    """PSNR, (architectures of the reference, seeds), NaN where there is none."""
    wide = rows.pivot_table(index="genotype_id", columns="seed", values="psnr_db")
    wide = wide.reindex(index=reference.index, columns=range(first, first + seeds))
    return np.asarray(wide.to_numpy(dtype=float))


def _image_scores(rows: pd.DataFrame, reference: pd.Series, seeds: int, first: int) -> Floats:
    """PSNR of each image, (architectures, seeds, images), of architectures that have all of them."""
    by_key = {(row["genotype_id"], row["seed"]): row["per_image"] for row in rows.to_dict("records")}
    names = sorted(next(iter(by_key.values()), {}))
    found = np.full((len(reference), seeds, len(names)), np.nan)
    for row, genotype in enumerate(reference.index):
        for column in range(seeds):
            scores = by_key.get((genotype, first + column), {})
            for place, name in enumerate(names):
                psnr = scores.get(name, [None])[0]
                found[row, column, place] = math.nan if psnr is None else psnr
    return found


def _by_images(images: Floats, reference: Floats) -> tuple[tuple[int, float, float], ...]:
    """For 1, 2, 5, 10, ... and all images."""
    whole = ~np.isnan(images).any(axis=(1, 2))
    if whole.sum() < LEAST or images.shape[2] < 2:
        return ()
    every = images.shape[2]
    counts = [count for count in (1, 2, 5, 10, 20, 50, 100, 200, 500) if count < every]
    found = by_images(images[whole], reference[whole], [*counts, every])
    return tuple((count, noise.between_db, tau) for count, noise, tau in found)


def calibration_of(report: Report, rung: Rung) -> Calibration:
    """What the leaderboard shows beside every front under the rung's protocol."""
    return Calibration(
        protocol_id=rung.protocol,
        reference_id=report.reference_protocol,
        architectures=rung.architectures,
        tau=_known(rung.tau.value),
        tau_low=_known(rung.tau.low),
        tau_high=_known(rung.tau.high),
        resolves_db=_known(rung.resolves_db),
        study=report.study,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
