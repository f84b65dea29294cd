"""Published networks inside a run's budget, as controls of what its search found."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from levels import mostly_thorough

from leaderboard.store import Store
from nas.cost.budget import Budget
from nas.cost.counting import cost_of
from nas.errors import NasError, RecipeError
from nas.networks.loading import load_network
from nas.recipes.recipe import Recipe, load_recipe
from nas.retraining.controls import choose_controls
from nas.retraining.retraining import RetrainingSession
from nas.search.baselines import FITTABLE, filling, fitted
from nas.search.progress import Event
from nas.search.session import SearchSession
from search_spaces import Space, SpaceError
from search_spaces.blocks.folding import deployed
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

RUNS = Path(__file__).parents[3] / "runs"


def print_no(event: Event) -> None:
    """Listens to nothing."""


BUDGETS = {2: (326_000, 74.7e9), 4: (102_728, 5.64e9)}
"""FALSR-B's at x2, GPDN's at x4."""


def space_and_budget(scale: int) -> tuple[Space, Budget]:
    params, multi_adds = BUDGETS[scale]
    return Space(Lightweight, {"skip": ["bicubic"]}), Budget(params=params, multi_adds=int(multi_adds))


@pytest.mark.parametrize("name", mostly_thorough(FITTABLE, {"imdn", "smfanet"}))
@pytest.mark.parametrize("scale", BUDGETS)
def test_both_shapes_fill_the_budget_and_change_nothing_but_sizes_and_skip(name: str, scale: int) -> None:
    space, budget = space_and_budget(scale)
    published = PUBLISHED[name].genotype_at(scale)
    like, full = fitted(name, space, scale, budget), filling(name, space, scale, budget)
    assert like is not None and full is not None
    for shape in (like, full):
        built = deployed(shape.genotype.build(scale))
        assert sum(p.numel() for p in built.parameters()) == shape.cost.params
        shares = (shape.cost.params / BUDGETS[scale][0], shape.cost.multi_adds / BUDGETS[scale][1])
        assert shape.fill == max(shares) <= 1
        changed = {size: getattr(shape.genotype, size) for size in ("width", "blocks")}
        skip = {"skip": "bicubic"} if isinstance(published, Lightweight) else {}
        assert shape.genotype == replace(published, **changed, **skip)  # type: ignore[type-var]
    assert 0.95 <= like.fill <= full.fill


@pytest.mark.parametrize("name", mostly_thorough(FITTABLE, {"imdn", "vapsr"}))
def test_nothing_fills_more_than_the_filling_shape(name: str) -> None:
    """Against every size of a coarse grid, one by one."""
    space, budget = space_and_budget(4)
    full = filling(name, space, 4, budget)
    assert full is not None
    axes = {axis.name: axis.options for axis in type(full.genotype).axes()}
    for width, blocks in itertools.product(axes["width"][::5], axes["blocks"][::3]):
        try:
            cost = cost_of(replace(full.genotype, width=width, blocks=blocks), 4)  # type: ignore[type-var]
        except SpaceError:
            continue
        if not budget.excess(cost):
            assert max(cost.params / 102_728, cost.multi_adds / 5.64e9) <= full.fill


def test_a_budget_that_nothing_keeps_is_named(small_recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError, match=r"control 'imdn': no width .* keeps params <= 1500"):
        choose_controls(small_recipe(budget={"params": 1500}), ["imdn"])


def test_the_two_shapes_are_asked_for_by_name() -> None:
    recipe = load_recipe(RUNS / "x2-326k.toml")
    like, full = choose_controls(recipe, ["imdn", "imdn-filling"])
    assert (like.name, full.name) == ("imdn-like", "imdn-filling")
    assert like.genotype == fitted("imdn", recipe.search_space(), 2, recipe.limits()).genotype  # type: ignore[union-attr]
    assert full.genotype == filling("imdn", recipe.search_space(), 2, recipe.limits()).genotype  # type: ignore[union-attr]
    assert like.genotype != full.genotype


def test_a_skip_that_is_left_open_stays_the_papers(small_recipe: Callable[..., Recipe]) -> None:
    recipe = small_recipe(space={"only": {"skip": ["none", "bicubic"]}}, budget={"params": "100k"})
    [control] = choose_controls(recipe, ["rfdn"])
    assert isinstance(control.genotype, Lightweight) and control.genotype.skip == "none"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("imdm", "did you mean 'imdn'"),
        ("swinir-light", "unknown control 'swinir-light'"),
        ("filling", "unknown control 'filling'"),
    ],
)
def test_what_cannot_be_a_control_is_refused_by_name(
    small_recipe: Callable[..., Recipe], name: str, said: str
) -> None:
    with pytest.raises(NasError, match=said):
        choose_controls(small_recipe(budget={"params": "100k"}), [name])


def test_a_control_is_trained_as_the_best_is_and_never_taken_for_it(
    small_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    """Whatever a control reaches, the network of the run is the best that was searched."""
    recipe = small_recipe(
        trials=2, sampler="random", budget={"params": "40k"}, retrain={"plan": "quick", "steps": 3}
    )
    with Store.at(tmp_path / "results.db") as store:
        search = SearchSession(recipe, store, tmp_path, "cpu", print_no)
        search.prepare()
        search.run()
        searched = {trial.genotype_id for trial in store.trials(search.study.id, "search")}
        controls = choose_controls(recipe, ["imdn", "spanv2"])  # the second is of another space
        RetrainingSession(recipe, store, tmp_path, "cpu").run(controls)
        trials = store.trials(search.study.id, "retrain")
        frame = store.frame(recipe.name)
    assert [trial.genotype_id for trial in trials] == [one.genotype.id for one in controls]
    assert len({trial.evaluation.protocol_id for trial in trials if trial.evaluation}) == 1
    named = frame.set_index("genotype")["name"].dropna().to_dict()
    assert named == {one.genotype.id: one.name for one in controls}

    def loaded(word: str) -> str:
        network = load_network(
            word,
            scale=None,
            weights=None,
            runs=tmp_path,
            open_store=lambda: Store.at(tmp_path / "results.db", read_only=True),
        )
        assert network.genotype is not None
        return network.genotype.id

    assert loaded(recipe.name) in searched
    assert loaded(controls[0].genotype.id) == controls[0].genotype.id
