"""``nas calibrate``: how far a recipe's short trainings can be trusted, beside what costs nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.model_options import Given, ModelOptions, RecipeOptions, takes, with_settings
from nas.cli.options import Db, RecipeFile, Runs, Settings, again, open_store

if TYPE_CHECKING:
    from nas.calibration.calibration_report import Baseline, Report, Rung
    from nas.calibration.rank_correlation import RankCorrelation
    from nas.calibration.sweep import SweepSession
    from nas.cli.signals import StopSignal
    from nas.recipes.recipe import Recipe
    from nas.search.progress import Event
    from search_spaces import Genotype

RECIPE = RecipeOptions(
    *("proxy.plan", "name", "workers", "executor", "device"),
    name="RECIPE-calibration",
    executor="inline; processes for several workers",
)


@takes(asked=ModelOptions("nas.calibration.calibration_plan:CalibrationPlan"), given=RECIPE)
def calibrate(
    asked: Given,
    given: Given,
    recipe: RecipeFile = None,
    settings: Settings = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report for programs.")] = False,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Train a spread of architectures short and long, and report the rank correlation of the two.

    The same command again goes on where it stopped. Every front of that proxy then says how far to trust it.
    """
    from nas.calibration.calibration import CalibrationPlan
    from nas.calibration.calibration import calibrate as begin
    from nas.cli.signals import watch_signals
    from nas.core.device import pick_devices
    from nas.errors import Interrupted

    own, wanted = _recipe(recipe, with_settings(given, settings)), CalibrationPlan(**asked)
    wanted.fidelities(own)
    where = pick_devices(own.device)
    with watch_signals() as stop, open_store(runs, db) as store, _Display(stop, as_json) as display:
        try:
            report = begin(
                own, wanted, store=store, runs=runs, device=where, listen=display.hear, begin=display.begin
            )
        except Interrupted:
            typer.echo("Stopped. What is finished is kept; the same command goes on from there.", err=True)
            raise typer.Exit(stop.status) from None
    if as_json:
        import json

        typer.echo(json.dumps(report.to_dict(), indent=2))
        return
    _print(report)
    typer.echo(f"Next:\n  {again('front', own.name, runs=runs, db=db)}   the architectures, under this proxy")


def _recipe(file: Path | None, changes: Given) -> Recipe:
    """The recipe with what the command line changes, under the calibration's own name."""
    from nas.recipes.changes import changed
    from nas.recipes.recipe import load_or_embedded

    recipe = load_or_embedded(file)
    # The rungs of a calibration need not continue one another as a search's do.
    usual: Given = {"name": f"{recipe.name}-calibration", "rungs": []}
    if changes.get("workers", 1) > 1:
        usual["executor"] = "processes"
    return changed(recipe, {**usual, **changes}, where="options" if file is None else file.name)


class _Display:
    """How far the trainings are, on standard error where the report is for programs."""

    def __init__(self, stop: StopSignal, quiet: bool) -> None:
        from nas.cli.display import TrainingDisplay

        self.stop, self.quiet = stop, quiet
        self._display = TrainingDisplay()
        self._sweep: SweepSession | None = None
        self._done = 0

    def __enter__(self) -> _Display:
        if not self.quiet:
            self._display.__enter__()
        return self

    def __exit__(self, *ending: Any) -> None:
        if not self.quiet:
            self._display.__exit__(*ending)

    def begin(self, sweep: SweepSession, genotypes: Sequence[Genotype]) -> None:
        """The first line."""
        self._sweep = sweep
        if self.quiet:
            return
        trained = " + ".join(
            f"{level.seeds if level.seeds > 1 else ''}{'x' if level.seeds > 1 else ''}{level.plan.steps}"
            for level in sweep.fidelities
        )
        self._display.say(
            f"Run {sweep.recipe.name!r}: {len(genotypes)} architectures, each trained {trained} steps "
            f"({len(genotypes) * sweep.steps:,} steps in all)"
        )

    def hear(self, event: Event) -> None:
        """One event of the sweep."""
        from nas.core.units import format_seconds

        self.stop.check()
        if self.quiet or self._sweep is None:
            return
        if event.kind == "note":
            self._display.say(event.text)
        if event.kind == "progress" and event.progress is not None:
            now = event.progress
            note = f"loss {now.loss:.4f}  {format_seconds(now.seconds)}"
            self._display.bar("training", now.step, now.steps, note)
        if event.kind in ("finished", "failed", "repeated") and event.genotype is not None:
            self._done += event.kind != "repeated"
            left = f"[{self._done:>{len(str(self._sweep.left))}}/{self._sweep.left}]"
            what = "known   " if event.kind == "repeated" else left
            psnr = "failed" if event.psnr_db is None else f"{event.psnr_db:.3f} dB"
            level = self._sweep.fidelities[event.rung]
            self._display.say(
                f"{what} {psnr}  {event.genotype.id}  {level.name}, {level.plan.steps} steps  {event.text}"
            )


# The report


def _print(report: Report) -> None:
    from nas.core.units import format_count

    low, high = (format_count(cost) for cost in report.multi_adds)
    worst, best = report.reference_range_db
    typer.echo(
        f"\n{report.architectures} architectures of {low} to {high} Multi-Adds, x{report.scale} on "
        f"{report.data} ({report.images} images held out), trained on {report.device}"
        f"\nReference: {report.reference_plan}, {report.reference_steps} steps, "
        f"{worst:.3f} to {best:.3f} dB, {report.reference_seconds:.2f} s each\n"
    )
    heads = ("tau", "rho", "tau, better half", "rho, better half")
    columns = "".join(f"{head:<22}" for head in heads)
    typer.echo(f"{'trained':<24}{'seconds':>9}  {columns}sigma dB  resolves dB")
    for rung in report.rungs:
        sigma = "-" if math.isnan(rung.noise.sigma_db) else f"{rung.noise.sigma_db:.4f}"
        resolves = "-" if math.isnan(rung.resolves_db) else f"{rung.resolves_db:.4f}"
        told = f"{rung.plan}, {rung.steps} steps"
        typer.echo(f"{told:<24}{rung.seconds:>9.2f}  {_four(rung)}{sigma:>8}{resolves:>13}")
    for baseline in report.baselines:
        typer.echo(f"{baseline.name:<24}{'0':>9}  {_four(baseline).rstrip()}")
    typer.echo(
        "\nKendall's tau b and Spearman's rho against the reference, 95 % bootstrap intervals over "
        "architectures.\nResolved: 1.96 * sqrt(2) * sigma between two single trainings with the same seed."
    )
    _print_noise(report)
    _print_shortest(report)


def _four(found: Rung | Baseline) -> str:
    agreements = (found.tau, found.rho, found.half_tau, found.half_rho)
    return "".join(f"{_words(agreement):<22}" for agreement in agreements)


def _words(agreement: RankCorrelation) -> str:
    if math.isnan(agreement.value):
        return "-"
    told = f"{agreement.value:.2f}"
    known = not math.isnan(agreement.low)
    return f"{told} [{agreement.low:.2f}, {agreement.high:.2f}]" if known else told


def _print_noise(report: Report) -> None:
    """By how much each thing helps against the noise at the cheapest rung."""
    noise = report.rungs[0].noise
    if not noise.degrees:
        typer.echo("\nNoise: not known; two seeds at least are needed (--seeds).")
        return
    typer.echo(f"\nNoise at {report.rungs[0].steps} steps, and what helps:")
    typer.echo(
        f"  other patches for each    sigma {noise.sigma_db:.4f} dB "
        f"[{noise.low_db:.4f}, {noise.high_db:.4f}], {noise.degrees} degrees of freedom"
    )
    if noise.shared_degrees:
        share = f", {noise.shared_sigma_db / noise.sigma_db - 1:+.0%}" if noise.sigma_db else ""
        typer.echo(
            f"  the same seed for all     sigma {noise.shared_sigma_db:.4f} dB{share} "
            f"({noise.shared_degrees} degrees of freedom; what a search does)"
        )
    for rung in (rung for rung in report.rungs if rung.variant):
        typer.echo(f"  {rung.plan:<24}  sigma {rung.noise.between_db:.4f} dB, tau {rung.tau.value:.2f}")
    for count, tau in report.by_seeds:
        sigma = noise.between_db / math.sqrt(count)
        typer.echo(
            f"  mean over {count} seed{'s' if count > 1 else ' '}         sigma {sigma:.4f} dB, tau {tau:.2f}"
        )
    for count, sigma, tau in report.by_images:
        told = f"validated on {count} image{'s' if count > 1 else ''}"
        typer.echo(f"  {told:<24}  sigma {sigma:.4f} dB, tau {tau:.2f}")


def _print_shortest(report: Report) -> None:
    shortest = report.shortest
    typer.echo("")
    if report.failed:
        typer.echo(f"{report.failed} architectures failed before the reference, and are left out.")
    for rung in report.rungs:
        if rung.tau.by_chance:
            typer.echo(
                f"{rung.plan}, {rung.steps} steps: tau is no better than chance; trust no ranking by it."
            )
    if shortest is None:
        typer.echo(f"No rung reaches tau {report.wanted_tau:g}.")
    else:
        typer.echo(
            f"The shortest rung with tau {report.wanted_tau:g} or more: {shortest.steps} steps, "
            f"{shortest.seconds:.2f} s a candidate."
        )
