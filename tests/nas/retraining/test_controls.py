"""Published networks inside a run's budget, as controls of what its search found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from leaderboard.store import Store
from nas.cost.counting import cost_of
from nas.errors import NasError, RecipeError
from nas.networks.loading import load_network
from nas.recipes.recipe import Recipe, load_recipe
from nas.retraining.controls import choose_controls
from nas.retraining.retraining import RetrainingSession
from nas.search.progress import Event
from nas.search.session import SearchSession
from search_spaces.blocks.folding import deployed
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

RUNS = Path(__file__).parents[3] / "runs"
NAMES = [name for name, entry in PUBLISHED.items() if isinstance(entry.genotype, Lightweight)]


def print_no(event: Event) -> None:
    """Listens to nothing."""


@pytest.mark.parametrize("name", NAMES)
def test_a_control_is_the_published_network_at_the_widest_that_the_budget_allows(name: str) -> None:
    recipe = load_recipe(RUNS / "x2-326k.toml")
    [control] = choose_controls(recipe, [name])
    built = deployed(control.genotype.build(2))
    assert sum(p.numel() for p in built.parameters()) == control.cost.params <= 326_000
    assert control.cost.multi_adds <= 74.7e9
    assert control.name == f"{name}-like"
    original = PUBLISHED[name].genotype
    assert isinstance(control.genotype, Lightweight) and isinstance(original, Lightweight)
    changed = {"width": control.genotype.width, "blocks": control.genotype.blocks, "skip": "bicubic"}
    assert control.genotype == replace(original, **changed), "all else is the paper's"
    assert control.genotype.blocks == original.blocks
    wider = cost_of(replace(control.genotype, width=control.genotype.width + 2), 2)
    assert wider.params > 326_000 or wider.multi_adds > 74.7e9


def test_where_no_width_fits_blocks_are_left_out(small_recipe: Callable[..., Recipe]) -> None:
    narrowest = cost_of(replace(PUBLISHED["imdn"].genotype, width=16), 2)  # type: ignore[type-var]
    recipe = small_recipe(budget={"params": narrowest.params - 1})
    [control] = choose_controls(recipe, ["imdn"])
    assert isinstance(control.genotype, Lightweight)
    assert control.genotype.blocks == 5 and control.cost.params < narrowest.params
    with pytest.raises(RecipeError, match=r"control 'imdn': no width .* keeps params <= 1500"):
        choose_controls(small_recipe(budget={"params": 1500}), ["imdn"])


def test_a_skip_that_is_left_open_stays_the_papers(small_recipe: Callable[..., Recipe]) -> None:
    recipe = small_recipe(space={"only": {"skip": ["none", "bicubic"]}}, budget={"params": "100k"})
    [control] = choose_controls(recipe, ["rfdn"])
    assert isinstance(control.genotype, Lightweight) and control.genotype.skip == "none"


@pytest.mark.parametrize(
    ("name", "said"),
    [("imdm", "did you mean 'imdn'"), ("swinir-light", "unknown control 'swinir-light'")],
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
        controls = choose_controls(recipe, ["imdn", "rfdn"])
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
