"""The precision ``auto``: measured when a run is created, and the stored word ever after."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from small_networks import TINY

from leaderboard.errors import StudyMismatchError
from leaderboard.store import Store
from nas.calibration.calibration import CalibrationPlan, calibrate
from nas.cli import main
from nas.cost.counting import cost_of
from nas.errors import RecipeError
from nas.recipes.recipe import Recipe
from nas.recipes.stored import stored_recipe
from nas.retraining.retraining import RetrainingSession
from nas.retraining.selection import Chosen
from nas.search import precision
from nas.search.join import JoinedSearch
from nas.search.progress import Event
from nas.search.session import SearchSession, search
from nas.simulation.build_table import Tabulation
from nas.simulation.sampling import Sampling, Shard
from nas.training import Job, Plan, train
from nas.training.step_rates import StepRates
from search_spaces import Genotype
from search_spaces.lightweight import Lightweight

Make = Callable[..., Recipe]

PROXY = {"plan": "steady", "steps": 3, "batch": 2, "lr_patch": 12}
RETRAIN = {"plan": "longer", "steps": 6, "batch": 2, "lr_patch": 12}
FEW = {"width": 16, "blocks": 1, "block": "residual", "attention": "none", "transformers": 0}
"""Networks whose cost is soon counted."""

AUTO = {"proxy": {**PROXY, "precision": "auto"}, "retrain": {**RETRAIN, "precision": "auto"}}


class Machine:
    """Measures what it is told to, and remembers what was asked."""

    def __init__(self) -> None:
        self.bf16 = 20.0
        self.asked: list[tuple[Genotype, Plan, str, int]] = []

    def __call__(self, genotype: Genotype, scale: int, plan: Plan, device: str, threads: int) -> StepRates:
        self.asked.append((genotype, plan, device, threads))
        return StepRates(fp32=10, bf16=self.bf16, batch=plan.batch, lr_patch=plan.lr_patch)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine on which bf16 is twice as fast."""
    found = Machine()
    monkeypatch.setattr(precision, "measure_step_rates", found)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.at(tmp_path / "results.db") as opened:
        yield opened


def session(recipe: Recipe, store: Store, tmp_path: Path, told: list[str] | None = None) -> SearchSession:
    def listen(event: Event) -> None:
        if event.kind == "note" and told is not None:
            told.append(event.text)

    made = SearchSession(recipe, store, tmp_path, "cpu", listen)
    made.prepare()
    return made


def test_a_search_that_is_created_keeps_the_measured_word(
    small_recipe: Make, store: Store, tmp_path: Path, machine: Machine
) -> None:
    told: list[str] = []
    made = session(small_recipe(**AUTO, trials=1), store, tmp_path, told)
    assert (
        told
        == ["precision = auto: bf16 (fp32 10, bf16 20 steps a second of 2 patches of 12x12; cpu, 1 thread)"]
        * 2
    )
    assert {asked[2:] for asked in machine.asked} == {("cpu", 1)}
    network, plan, *_ = machine.asked[0]
    assert cost_of(network, 2).params <= 30_000 and (plan.batch, plan.lr_patch) == (2, 12)
    stored = store.study("small").recipe
    assert [stored[stage]["precision"] for stage in ("proxy", "retrain")] == ["bf16", "bf16"]
    made.run()
    [trial] = [trial for trial in store.trials(made.study.id) if trial.evaluation]
    assert trial.protocol_id is not None
    assert store.protocol(trial.protocol_id).plan["precision"] == "bf16"


def test_equal_steps_are_measured_once(small_recipe: Make, store: Store, machine: Machine) -> None:
    recipe = small_recipe(**AUTO | {"retrain": {**AUTO["proxy"], "steps": 9, "lr": 1e-3}})
    precision.with_precision(recipe, store, "cuda:1,cuda:0", print)
    assert [asked[2] for asked in machine.asked] == ["cuda:1"]


def test_a_resumed_run_takes_the_stored_word(
    small_recipe: Make, store: Store, tmp_path: Path, machine: Machine
) -> None:
    recipe = small_recipe(**AUTO)
    first = session(recipe, store, tmp_path)
    machine.asked, machine.bf16 = [], 1.0
    again = session(recipe, store, tmp_path)
    assert (again.study.id, again.recipe) == (first.study.id, first.recipe)
    assert again.protocols == first.protocols
    joined = JoinedSearch(stored_recipe(store, "small"), store, tmp_path, "cpu", lambda event: None)
    assert joined.recipe.plan("proxy").precision == "bf16"
    assert machine.asked == []


def test_a_run_from_before_is_resumed_as_it_is(
    small_recipe: Make, store: Store, tmp_path: Path, machine: Machine
) -> None:
    first = session(small_recipe(proxy=PROXY, retrain=RETRAIN), store, tmp_path)
    again = session(small_recipe(**AUTO), store, tmp_path)
    assert again.protocols == first.protocols and machine.asked == []
    with pytest.raises(StudyMismatchError, match="precision"):
        session(small_recipe(proxy={**PROXY, "precision": "bf16"}), store, tmp_path)


def test_fp32_is_stored_as_if_it_had_been_written(
    small_recipe: Make, store: Store, tmp_path: Path, machine: Machine
) -> None:
    machine.bf16 = 10.1
    made = session(small_recipe(**AUTO), store, tmp_path)
    assert made.recipe.to_dict() == small_recipe(proxy=PROXY, retrain=RETRAIN).to_dict()


def test_a_search_from_python_writes_the_resolved_recipe(small_recipe: Make, tmp_path: Path) -> None:
    search(small_recipe(**AUTO, trials=1), tmp_path)
    assert (tmp_path / "small" / "recipe.toml").read_text().count('precision = "bf16"') == 2


def test_a_calibration_resolves_its_plans_once(
    small_recipe: Make, store: Store, tmp_path: Path, machine: Machine
) -> None:
    recipe = small_recipe(**AUTO, space={"only": {axis: [option] for axis, option in FEW.items()}})
    told: list[str] = []

    def listen(event: Event) -> None:
        if event.kind == "note":
            told.append(event.text)

    asked = CalibrationPlan(architectures=3, rungs=(2, 3))
    for _ in range(2):
        report = calibrate(recipe, asked, store=store, runs=tmp_path, listen=listen)
    assert len(machine.asked) == sum("bf16" in line for line in told) == 2
    ids = {trial.protocol_id for trial in store.trials(store.study("small").id)}
    assert {store.protocol(id).plan["precision"] for id in ids if id} == {"bf16"}
    assert report.architectures == 3


def test_shards_share_the_word_of_the_first(
    small_recipe: Make, store: Store, tmp_path: Path, machine: Machine
) -> None:
    def tabulation(part: int) -> Tabulation:
        sampling = Sampling(architectures=4, rungs=(2,), shard=Shard(part=part, parts=2))
        made = Tabulation(small_recipe(**AUTO), sampling, store, tmp_path, "cpu")
        made.sweep.prepare()
        return made

    with pytest.raises(RecipeError, match=r"chosen by the first shard.*small-1of2.*--set precision"):
        tabulation(2)
    tabulation(1)
    machine.bf16 = 1.0
    tabulation(2)
    tabulation(1)
    assert len(machine.asked) == 2
    names = ("small-1of2", "small-2of2")
    assert [store.study(name).recipe["proxy"]["precision"] for name in names] == ["bf16", "bf16"]


def test_retraining_takes_the_word_of_the_run_and_measures_a_plan_of_its_own_once(
    small_recipe: Make, store: Store, tmp_path: Path, machine: Machine
) -> None:
    made = session(small_recipe(**AUTO, trials=1), store, tmp_path)
    made.run()
    [trial] = [trial for trial in store.trials(made.study.id) if trial.evaluation]
    machine.asked, machine.bf16 = [], 1.0
    recipe = stored_recipe(store, "small")
    assert RetrainingSession(recipe, store, tmp_path, "cpu").plan.precision == "bf16"
    assert machine.asked == []
    own = recipe.model_copy(update={"retrain": {**RETRAIN, "steps": 4, "precision": "auto"}})
    retraining = RetrainingSession(own, store, tmp_path, "cpu")
    assert (len(machine.asked), retraining.plan.precision) == (1, "fp32")
    genotype = Lightweight.from_dict(trial.choices)
    retraining.run([Chosen(genotype=genotype, cost=cost_of(genotype, 2), proxy_psnr_db=None)])
    machine.bf16 = 20.0
    assert RetrainingSession(own, store, tmp_path, "cpu").protocol == retraining.protocol
    assert len(machine.asked) == 1


def test_the_command_line_resolves_it(
    images: Path,
    tmp_path: Path,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    options = f"--scale 2 --data folder:{images} --trials 1 --steps 2 --device cpu".split()
    settings = ["precision=auto", "batch=2", "lr_patch=12", "budget.params=30k"]
    settings += [f"space.only.{axis}={option}" for axis, option in FEW.items()]
    monkeypatch.setattr(sys, "argv", ["nas", "search", *options, *(f"--set={word}" for word in settings)])
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code in (0, None), capsys.readouterr()
    assert capsys.readouterr().out.count("precision = auto: bf16") == len(machine.asked) == 1
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        assert store.study("demo").recipe["proxy"]["precision"] == "bf16"


def test_a_training_with_auto_is_refused(images: Path) -> None:
    plan = Plan(steps=2, batch=2, lr_patch=12, precision="auto")
    with pytest.raises(RecipeError, match="a training needs fp32 or bf16"):
        train(Job(genotype=TINY, scale=2, plan=plan, data=f"folder:{images}"))
