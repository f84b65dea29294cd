"""What a tuning shows: a line a training, the table of settings, and how to use the best one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import typer

from nas.cli.display import SearchDisplay

if TYPE_CHECKING:
    import pandas as pd

    from nas.recipes.recipe import Recipe
    from nas.search.progress import Event
    from nas.tuning.session import TuningSession


class TuningDisplay(SearchDisplay):
    """A line a training; below, how far the tuning and the current training are."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr)
        self._session: TuningSession | None = None
        self._names: dict[str, str] = {}
        self._done = self._total = 0

    def begin(self, session: TuningSession) -> None:
        """Show this session from here on; it must be prepared."""
        self._session, self._total = session, session.trainings()
        self._names = {network.genotype.id: network.name for network in session.networks}
        trials = session.store.trials(session.study.id, curves=False)
        self._done = sum(trial.state in ("finished", "repeated", "failed") for trial in trials)

    def show(self, event: Event) -> None:
        """Show one event."""
        from nas.core.units import format_seconds

        if event.kind == "note":
            self.say(event.text)
        elif event.kind in ("finished", "repeated", "failed"):
            self._done += 1
            self.say(self._line(event))
        elif event.kind == "progress" and event.progress is not None:
            now = event.progress
            self.bar("training", now.step, now.steps, f"loss {now.loss:.4f}  {format_seconds(now.seconds)}")
        if self._session is not None and (event.kind != "progress" or event.progress is None):
            note = f"elapsed {format_seconds(self.elapsed)}"
            self.bar("tuning", self._done, max(self._done, self._total), note)

    def _line(self, event: Event) -> str:
        from leaderboard.tables.tuning import setting_name

        assert self._session is not None and event.genotype is not None
        bicubic = self._session.protocols[0].bicubic_psnr_db
        result = event.text
        if event.psnr_db is not None:
            result = f"{event.psnr_db:.3f} dB ({event.psnr_db - bicubic:+.3f} over bicubic)"
        if event.kind == "repeated":
            result += "  known already"
        total = max(self._done, self._total)
        steps = self._session.plans[event.rung].steps
        name = self._names.get(event.genotype.id, event.genotype.id)
        return (
            f"[{self._done:>{len(str(total))}}/{total}] {setting_name(event.changes)}: "
            f"{name}, {steps} steps: {result}"
        )


def print_settings(settings: pd.DataFrame) -> None:
    """The table of settings, best first."""
    names = list(dict.fromkeys(name for gains in settings["gains"] for name in gains))
    rows = [("#", "gain (dB)", "to the plan", *names, "steps", "setting", "remarks")]
    for row in settings.to_dict("records"):
        known = row["rank"] is not None
        rows.append(
            (
                str(row["rank"]) if known else "-",
                _number(row["gain_db"]),
                _number(row["over_baseline_db"]),
                *(_number(row["gains"].get(name)) for name in names),
                str(row["steps"]) if known else "-",
                str(row["setting"]),
                remarks(row),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    typer.echo("")
    for cells in rows:
        numbers = "  ".join(cell.rjust(width) for cell, width in zip(cells[:-2], widths[:-2], strict=True))
        typer.echo(f"{numbers}  {cells[-2].ljust(widths[-2])}  {cells[-1]}".rstrip())
    typer.echo(
        "Gain: PSNR over bicubic, mean over the networks. A network that diverged counts as 0, or as its "
        "worst other gain."
    )


def remarks(row: Mapping[Any, Any]) -> str:
    """What a setting's numbers do not say: where it diverged, and why it failed."""
    found = [f"{name} diverged at step {_step(step)}" for name, step in row["diverged"].items()]
    if row["failed"]:
        found.append(f"failed: {row['failed']}")
    elif row["rank"] is None:
        found.append("not trained on every network yet")
    if row["seeds"] > 1:
        found.append(f"{row['seeds']} seeds")
    return "; ".join(found)


def _step(step: float) -> str:
    return f"{step:.0f}" if step == step else "?"


def _number(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:+.3f}"


def next_steps(recipe: Recipe, settings: pd.DataFrame) -> list[str]:
    """How to use the best setting: the words of ``nas retrain`` and ``nas search``, and of a recipe."""
    from nas.recipes.tuning_fields import setting_words

    ranked = settings[settings["rank"].notna()]
    if ranked.empty:
        return ["No setting was trained on every network; see the remarks above."]
    best = ranked.iloc[0]
    if not best["changes"]:
        return ["The plan as it is gained most: no field needs to be changed."]
    named = recipe.retrain.get("plan", "longer")
    plan, usual = recipe.plan("retrain").to_dict(), fields_and_defaults(named)
    own = {name: value for name, value in plan.items() if name != "steps" and value != usual[name]}
    changes = own | {str(name): value for name, value in best["changes"].items()}
    words = " ".join(f"--set {word}" for word in setting_words(changes))
    option = "" if named is None else f"--plan {named} "
    table = [f'plan = "{named}"'] if named is not None else []
    table += [f"{name} = {_toml(value)}" for name, value in changes.items()]
    return [
        f"  nas retrain RUN --top 1 {option}{words}   re-train a search's best network so",
        f"  nas search RECIPE.toml {option}{words}   search with it",
        "or in a recipe:",
        "  [retrain]",
        *(f"  {line}" for line in table),
    ]


def fields_and_defaults(named: str | None) -> dict[str, Any]:
    """The fields of a named plan, or those of a plan that has no name."""
    from nas.training.plan import Plan, named_plan

    return (Plan(steps=1) if named is None else named_plan(named)).to_dict()


def _toml(value: Any) -> str:
    import tomli_w

    return tomli_w.dumps({"value": value}).partition("=")[2].strip()


def say_headline(session: TuningSession) -> str:
    """What the run is, in a few lines."""
    from nas.core.units import format_count
    from nas.recipes.tuning_fields import setting_words

    recipe, plan, data = session.recipe, session.plans[-1], session.dataset
    tune = recipe.tune
    assert tune is not None
    fields = "; ".join(f"{name} {_domain(domain)}" for name, domain in tune.fields.items()) or "none"
    tried = "; ".join(" ".join(setting_words(changes)) for changes in tune.enqueue)
    networks = ", ".join(f"{each.name} ({format_count(each.cost.params)})" for each in session.networks)
    steps = ", then ".join(str(each.steps) for each in session.plans)
    bicubic = session.protocols[0].bicubic_psnr_db
    lines = [
        f"Tuning {recipe.name!r}: x{recipe.scale}, plan {recipe.retrain.get('plan')}",
        f"  fields    {fields}" + (f"; first {tried}" if tried else ""),
        f"  networks  {networks}",
        f"  data      {data.source}: {len(data.train)} images to train on, {len(data.valid)} held out",
        f"  training  {steps} steps of {plan.batch} patches of {plan.lr_patch}x{plan.lr_patch}"
        + (f", {recipe.workers} at once" if recipe.workers > 1 else ""),
        f"  settings  {tune.trials}, proposed by {tune.sampler}",
        f"  bicubic   {bicubic:.3f} dB on the held-out images ({recipe.metric})",
    ]
    return "\n".join(lines)


def _domain(domain: Any) -> str:
    if isinstance(domain, Mapping):
        return f"{domain['low']:g}..{domain['high']:g}{' (log)' if domain.get('log') else ''}"
    return ", ".join(map(str, domain))


def say(lines: list[str]) -> None:
    """Print lines."""
    for line in lines:
        typer.echo(line)
