"""A recipe: everything that a search is asked to do, as TOML and as a value.

A new setting is one field here, with its help and with what stored recipes without it were made with
(``Help.before``); ``make recipes-page`` then puts it into ``docs/recipes.md``. This module imports no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from leaderboard.names import RUN_NAME, shortened
from leaderboard.untrusted import UntrustedError, check_plain, parse_toml, read_text
from nas.core.fields import MOST_COUNT, MOST_WHOLE, DescribedField, Help, fields_of
from nas.core.units import parse_count
from nas.cost.budget import Budget
from nas.errors import NasError, RecipeError, unknown
from nas.recipes.tuning_fields import SETTING_SAMPLERS, checked_setting, domains_of
from nas.training.plan import PLANS, Plan, named_plan
from search_spaces import Space, SpaceError, load_space, trust_space


def _count(value: Any) -> int | None:
    try:
        return None if value is None else parse_count(value)
    except RecipeError as error:
        raise ValueError(str(error)) from None  # so that pydantic adds where it stands


Count = Annotated[int | None, BeforeValidator(_count)]

PROXY, LONGER = "short", "longer"
"""The plans of candidates and of re-training where nothing else is said."""

DEFAULT_PLANS = {"proxy": PROXY, "retrain": LONGER}

MAY_CHANGE = frozenset(
    {
        *("trials", "hours", "target_hypervolume", "seeds_for_front"),
        *("executor", "workers", "device", "ray_address", "gpus_per_worker", "time_limit_seconds"),
        *("seed_published", "warm_start", "retrain"),
    }
)
"""What may differ when a run goes on: how long and where it runs, but not what its numbers mean."""

COST_OBJECTIVES = ("multi_adds", "conv_multi_adds", "params", "activations")
MEASURED_OBJECTIVES = ("latency_ms", "memory")
QUALITY_OBJECTIVES = ("psnr_db", "ssim")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class SpaceSection(_Section):
    """``[space]``: which space, and which options of its axes are kept (``[space.only]``)."""

    name: Annotated[str, Help("`lightweight`, or a module of yours.", option="--space")] = "lightweight"
    only: Annotated[
        dict[str, list[str | int | float | bool]],
        Help("Axes with the options that are kept; `nas space` lists them.", unset="all"),
    ] = {}


class BudgetSection(_Section):
    """``[budget]``: hard limits, with suffixes (``300k``, ``15G``)."""

    params: Annotated[
        Count, Help("Most parameters.", option="--max-params", count=True, unset="no limit")
    ] = None
    multi_adds: Annotated[
        Count,
        Help("Most Multi-Adds at 1280x720.", option="--max-multi-adds", count=True, unset="no limit"),
    ] = None
    conv_multi_adds: Annotated[
        Count,
        Help(
            "Most Multi-Adds of convolutions alone, as several papers count.",
            option="--max-conv-multi-adds",
            count=True,
            unset="no limit",
        ),
    ] = None
    min_params: Annotated[Count, Help("Least parameters.", count=True, unset="no limit")] = None
    min_multi_adds: Annotated[Count, Help("Least Multi-Adds at 1280x720.", count=True, unset="no limit")] = (
        None
    )
    memory: Annotated[
        Count,
        Help(
            "Most bytes of one inference at 1280x720, counted before training.",
            option="--max-memory",
            count=True,
            unset="no limit",
        ),
    ] = None
    latency_ms: Annotated[
        float | None,
        Field(gt=0),
        Help(
            "Longest inference at 1280x720 in milliseconds, measured on the device.",
            option="--max-latency-ms",
            unset="no limit",
        ),
    ] = None


class TuneSection(_Section):
    """``[tune]``: which fields of the ``[retrain]`` plan are tuned, and on which networks."""

    networks: Annotated[
        list[str],
        Help(
            "Networks: published names, `NAME-like` and `NAME-filling` in the budget, genotype ids or files.",
            metavar="NAME,...",
            unset="needed",
        ),
    ] = []
    fields: Annotated[
        dict[str, Any],
        Help(
            "Fields of the plan: a list of values, or `{low, high, log}`.", option="--field", unset="needed"
        ),
    ] = {}
    enqueue: Annotated[
        list[dict[str, Any]],
        Help("Settings to train first, after the plan as it is.", option="--try", unset="none"),
    ] = []
    steps: Annotated[
        list[Annotated[int, Field(ge=1, le=10**12)]],
        Help(
            "Steps to which ever fewer settings train: 300,900.",
            option="--steps",
            unset="all to the plan's end",
        ),
    ] = []
    trials: Annotated[
        int, Field(ge=1, le=MOST_COUNT), Help("Settings that are trained, the plan as it is included.")
    ] = 20
    seeds: Annotated[int, Field(ge=1, le=MOST_COUNT), Help("Seeds of each network on the longest rung.")] = 1
    sampler: Annotated[str, Help("Sampler of settings", words=SETTING_SAMPLERS)] = "tpe"

    def check(self, plan: Plan) -> None:
        """Raise RecipeError for a field, a setting or a sampler that the plan or a tuning does not have."""
        if not self.networks:
            raise RecipeError("networks: at least one is needed (--networks imdn-filling,bsrn-like)")
        if self.sampler not in SETTING_SAMPLERS:
            raise unknown("sampler", self.sampler, SETTING_SAMPLERS)
        if sorted(set(self.steps)) != self.steps:
            raise RecipeError(f"steps = {self.steps}: growing numbers of steps are needed")
        if not self.fields and not self.enqueue:
            raise RecipeError("fields: at least one is needed (--field lr=5e-4..1.6e-2:log)")
        domains_of(self.fields, plan)
        for changes in self.enqueue:
            checked_setting(changes, plan)


class Recipe(_Section):
    """One search. ``proxy`` and ``retrain`` name a plan and change some of its fields."""

    name: Annotated[
        str,
        Field(pattern=f"^{RUN_NAME.pattern}$"),
        Help("Name of the run and of its folder.", unset="the recipe's file name"),
    ] = "demo"
    scale: Annotated[Literal[2, 3, 4], Help("Factor of enlargement", words=(2, 3, 4))] = 4
    data: Annotated[str, Help("Training data: `photos`, `folder:PATH`, `div2k:PATH`, ...; joined by +.")] = (
        "photos"
    )
    metric: Annotated[str, Help("Metric: `y_float`, `y_uint8` or `rgb`.")] = "y_float"
    trials: Annotated[int, Field(ge=1, le=MOST_COUNT), Help("Candidates that get a result.")] = 16
    seed: Annotated[int, Field(ge=0, le=MOST_WHOLE), Help("Seed of sampling, weights and patches.")] = 0
    sampler: Annotated[
        str,
        Help("Sampler: `surrogate`, `tpe`, `evolution`, `nsga2`, `nsga3`, `gp` or `random`."),
    ] = "surrogate"
    objectives: Annotated[list[str], Help("Qualities and costs, a quality first.")] = [
        "psnr_db",
        "multi_adds",
    ]
    rungs: Annotated[
        list[Annotated[int, Field(ge=1, le=10**12)]],
        Help("Steps to which ever fewer candidates train: 500,2000,8000.", unset="all to the plan's end"),
    ] = []
    seeds_for_front: Annotated[
        int, Field(ge=1, le=MOST_COUNT), Help("Seeds in all with which the front is trained, at the end.")
    ] = 1
    hours: Annotated[
        float | None,
        Field(gt=0),
        Help("Hours after which no new candidate is trained.", unset="no limit"),
    ] = None
    target_hypervolume: Annotated[
        float | None,
        Field(gt=0),
        Help("Hypervolume (dB G) at which no new candidate is trained.", unset="no limit"),
    ] = None
    seed_published: Annotated[bool, Help("Train the published networks first, made to fit the budget.")] = (
        False
    )
    warm_start: Annotated[
        str | None, Help("Run whose results initialise the sampler.", metavar="NAME", unset="none")
    ] = None
    executor: Annotated[str, Help("Executor: `inline`, `processes` or `ray`.")] = "inline"
    workers: Annotated[int, Field(ge=1, le=MOST_COUNT), Help("Candidates trained concurrently.")] = 1
    device: Annotated[str, Help("Device: `auto`, `cpu`, `cuda` (all), or `cuda:0,cuda:1`.")] = "auto"
    time_limit_seconds: Annotated[
        float | None,
        Field(gt=0),
        Help("Longest training of one candidate, in seconds.", unset="no limit"),
    ] = None
    ray_address: Annotated[
        str | None,
        Help("With ray: `auto` is the running cluster.", unset="a cluster on this machine"),
    ] = None
    gpus_per_worker: Annotated[
        float | None,
        Field(ge=0),
        Help("With ray: 0.25 lets four candidates share a GPU.", unset="a GPU each where there are some"),
    ] = None
    space: SpaceSection = SpaceSection()
    budget: BudgetSection = BudgetSection()
    proxy: dict[str, Any] = {"plan": PROXY}
    retrain: dict[str, Any] = {"plan": LONGER}
    tune: TuneSection | None = None

    def check(self) -> None:
        """Raise RecipeError or SpaceError for a word that names nothing."""
        from nas.executors import EXECUTORS
        from nas.metrics.fidelity import METRICS
        from nas.samplers import SAMPLERS

        tables: dict[str, dict[str, Any]] = {"sampler": SAMPLERS, "executor": EXECUTORS, "metric": METRICS}
        for field, table in tables.items():
            if getattr(self, field) not in table:
                raise unknown(field, getattr(self, field), table)
        if self.workers > 1 and self.executor == "inline":
            raise RecipeError(
                f"workers = {self.workers} needs executor = 'processes' or 'ray'; 'inline' is one worker"
            )
        self._check_objectives()
        self.search_space()
        self.limits()
        self.rung_plans()
        self.plan("retrain")
        if self.tune is not None:
            try:
                self.tune.check(self.plan("retrain"))
            except RecipeError as error:
                raise RecipeError(f"[tune] {error}") from None

    def _check_objectives(self) -> None:
        from nas.samplers import SAMPLERS

        allowed = (*QUALITY_OBJECTIVES, *COST_OBJECTIVES, *MEASURED_OBJECTIVES)
        for name in self.objectives:
            if name not in allowed:
                raise unknown("objective", name, allowed)
        told = ", ".join(self.objectives)
        qualities = [name for name in self.objectives if name in QUALITY_OBJECTIVES]
        if not 2 <= len(set(self.objectives)) == len(self.objectives) <= 3:
            raise RecipeError(f"objectives = {told}: two or three different ones are needed")
        if not qualities or len(qualities) == len(self.objectives) or self.objectives[0] not in qualities:
            raise RecipeError(f"objectives = {told}: first a quality (psnr_db, ssim), and at least one cost")
        kind = SAMPLERS[self.sampler]
        if kind.max_qualities is not None and len(qualities) > kind.max_qualities:
            raise RecipeError(
                f"objectives = {told}: sampler {self.sampler!r} knows one quality; tpe takes two"
            )
        measured = [name for name in self.objectives if name in MEASURED_OBJECTIVES]
        if kind.wants_costs and measured:
            *others, last = [name for name, other in SAMPLERS.items() if not other.wants_costs]
            raise RecipeError(
                f"objectives = {told}: sampler {self.sampler!r} wants to know the costs of thousands, and "
                f"{measured[0]} takes time to find; {', '.join(others)} and {last} take it"
            )

    def rung_plans(self) -> list[Plan]:
        """The proxy plan at the length of each rung, or as it is where there are none."""
        plan = self.plan("proxy")
        if not self.rungs:
            return [plan]
        if sorted(set(self.rungs)) != self.rungs:
            raise RecipeError(f"rungs = {self.rungs}: growing numbers of steps are needed")
        if not plan.can_go_on:
            raise RecipeError(
                f"rungs need a proxy plan whose training a longer one can continue (schedule = 'wsd', "
                f"'constant' or 'drops'), and {self.proxy.get('plan', PROXY)!r} has {plan.schedule!r}; "
                "'short' and 'steady' are such"
            )
        return [replace(plan, steps=steps) for steps in self.rungs]

    def tuning_plans(self) -> list[Plan]:
        """The ``[retrain]`` plan at the length of each rung of a tuning, or as it is where there are none.

        Without ``halvings``: a setting under which a network diverges must not be rescued by another rate.
        """
        plan = replace(self.plan("retrain"), halvings=0)
        steps = [] if self.tune is None else self.tune.steps
        return [replace(plan, steps=each) for each in steps] or [plan]

    def price(self) -> str:
        """The first objective that is a cost: what the front trades quality for."""
        return next(name for name in self.objectives if name not in QUALITY_OBJECTIVES)

    def search_space(self) -> Space:
        """The space, narrowed."""
        return Space(load_space(self.space.name), {k: tuple(v) for k, v in self.space.only.items()})

    def limits(self) -> Budget:
        """The budget as the search uses it."""
        return Budget(**self.budget.model_dump())

    def plan(self, stage: Literal["proxy", "retrain"]) -> Plan:
        """The plan of a stage, with its changes."""
        section = dict(getattr(self, stage))
        try:
            plan = named_plan(section.pop("plan", DEFAULT_PLANS[stage]), **section)
        except RecipeError as error:
            raise RecipeError(f"[{stage}] {error}") from None
        # Neither a teacher nor trained weights to begin from are at hand in a search or a re-training.
        options = {"distil": "--distil-from FILE", "adversarial": "--adversarial --features FILE"}
        for field, option in options.items():
            if (word := getattr(plan, field)) != "none":
                raise RecipeError(f"[{stage}] {field} = {word!r}: nas compress {option} does that")
        return plan

    def to_dict(self) -> dict[str, Any]:
        """Plain values, plans in full: what the database keeps and compares."""
        plain = self.model_dump(exclude={"name"})
        for stage in ("proxy", "retrain"):
            plain[stage] = _plain_plan(getattr(self, stage).get("plan"), self.plan(stage))
        if plain["tune"] is None:
            del plain["tune"]  # as in the recipes of versions that did not tune
        else:
            domains = plain["tune"]["fields"]
            plain["tune"]["fields"] = {
                name: {"log": False, **domain} if isinstance(domain, dict) else domain
                for name, domain in domains.items()
            }
        return plain

    def to_toml(self) -> str:
        """The recipe as a file that :func:`load_recipe` reads back to an equal one."""
        table = self.model_dump(exclude_none=True)
        for stage in DEFAULT_PLANS:  # of a stored recipe they have every field, and TOML has no None
            table[stage] = {name: value for name, value in table[stage].items() if value is not None}
        return tomli_w.dumps(table)


def _plain_plan(name: str | None, plan: Plan) -> dict[str, Any]:
    """The fields that differ from their defaults, or from the named plan that they are read back into."""
    kept = plan.identity()
    if name is not None:
        named = named_plan(name).to_dict()
        kept |= {field: value for field, value in plan.to_dict().items() if value != named[field]}
    return {"plan": name, **kept}


def recipe_fields() -> dict[str, DescribedField]:
    """The fields of a recipe by their dotted keys: ``trials``, ``budget.params``, ``proxy.lr``.

    ``proxy`` and ``retrain`` have the fields of a plan, and ``plan``, its name.
    """
    found = dict(fields_of(Recipe))
    for section, model in (("space", SpaceSection), ("budget", BudgetSection), ("tune", TuneSection)):
        found |= {f"{section}.{name}": field for name, field in fields_of(model).items()}
    for section, plan in DEFAULT_PLANS.items():
        text = Help(f"Named plan: {', '.join(list(PLANS)[:3])}, ...")
        found[f"{section}.plan"] = DescribedField(
            name="plan", kind=str, several=False, default=plan, help=text
        )
        found |= {f"{section}.{name}": field for name, field in fields_of(Plan).items()}
    return found


EMBEDDED = Recipe(
    name="demo",
    # In a few hundred steps a network without the bicubic skip has not yet learned to interpolate.
    space=SpaceSection(only={"skip": ["bicubic"]}),
    budget=BudgetSection(params=300_000, multi_adds=15_000_000_000),
)
"""What ``nas search`` does when it is told nothing."""


def load_recipe(path: Path) -> Recipe:
    """The recipe of a TOML file that a person chose; its name is the file's unless it says otherwise.

    The module of its space is trusted. Raises RecipeError: the file, the section, the key or value, and what
    is allowed.
    """
    try:
        table = parse_toml(read_text(path))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UntrustedError as error:
        raise RecipeError(f"{path}: {error}") from error
    return make_recipe({"name": path.stem, **table}, where=path.name, trust=True)


def load_or_embedded(path: Path | None) -> Recipe:
    """The recipe of a TOML file, or the demo's without one."""
    return EMBEDDED if path is None else load_recipe(path)


def make_recipe(table: dict[str, Any], where: str = "recipe", *, trust: bool = False) -> Recipe:
    """A checked recipe from plain values.

    Args:
        table: The recipe's keys and sections.
        where: Begins the message of an error.
        trust: Whether a person chose the recipe, so that the module of its space may be imported.

    Raises RecipeError.
    """
    try:
        check_plain(table)
    except UntrustedError as error:
        raise RecipeError(f"{where}: {error}") from None
    if "compress" in table:
        raise RecipeError(
            f"{where}: is a compression and no search; its own nas compress command goes on with it"
        )
    if "ladder" in table:
        raise RecipeError(
            f"{where}: is a calibration or a table and no search; its own command goes on with it"
        )
    try:
        recipe = Recipe.model_validate(table)
        if trust:
            trust_space(recipe.space.name)
        recipe.check()
    except ValidationError as error:
        raise RecipeError(_explained(error, where)) from None
    except (NasError, SpaceError) as error:
        raise RecipeError(f"{where}: {error}") from None
    return recipe


def _explained(error: ValidationError, where: str) -> str:
    """The first mistake in one line."""
    first = error.errors(include_url=False)[0]
    *above, key = [str(part) for part in first["loc"]]
    section = f" [{'.'.join(above)}]" if above else ""
    if first["type"] == "extra_forbidden":
        model: type[BaseModel] = Recipe
        for part in above:
            model = _section_of(model, part)
        return str(unknown("key", key, model.model_fields, where=where + section))
    if first["type"] == "value_error":
        return f"{where}{section}: {key}: {first['ctx']['error']}"
    return f"{where}{section}: {key} = {shortened(repr(first['input']))}: {first['msg'].lower()}"


def _section_of(model: type[BaseModel], name: str) -> type[BaseModel]:
    """The model of a section, which may be absent from a recipe."""
    annotation = model.model_fields[name].annotation
    kinds = [annotation, *get_args(annotation)]
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
