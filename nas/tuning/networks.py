"""The networks that a tuning trains, from the words that name them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from leaderboard.store import Store
from nas.core.units import format_count
from nas.cost.budget import Budget, Cost
from nas.cost.counting import cost_of
from nas.errors import RecipeError, unknown
from nas.networks.resolving import find_architecture
from nas.recipes.recipe import Recipe
from nas.search.baselines import FILLING, FITTABLE, LIKE, filling, fitted
from nas.training.checkpoint import load_described
from search_spaces import Genotype
from search_spaces.published import PUBLISHED


@dataclass(frozen=True, kw_only=True)
class TunedNetwork:
    """A network of a tuning: the word that names it, its genotype and its counted cost."""

    name: str
    genotype: Genotype
    cost: Cost


def tuned_networks(recipe: Recipe, store: Store) -> list[TunedNetwork]:
    """The networks of the recipe's ``[tune]`` section, in its order.

    Args:
        recipe: The tuning; its space and budget shape ``NAME-like`` and ``NAME-filling``.
        store: The results database, where genotype ids are looked up.

    Raises RecipeError for a word that names no network, one without a genotype, and one that is named twice.
    """
    words: Sequence[str] = () if recipe.tune is None else recipe.tune.networks
    names: dict[str, str] = {}
    networks = []
    for word in words:
        genotype = _genotype_of(word, recipe, store)
        other = names.setdefault(genotype.id, word)
        if other is not word or words.count(word) > 1:
            raise RecipeError(f"networks: {word!r} is the network of {other!r} again")
        networks.append(_named(word, genotype, recipe.scale))
    return networks


def _named(word: str, genotype: Genotype, scale: int) -> TunedNetwork:
    known_by_name = word in PUBLISHED or word.endswith((LIKE, FILLING))
    is_file = word.endswith((".safetensors", ".json", ".toml"))
    name = word if known_by_name else Path(word).stem if is_file else genotype.id
    return TunedNetwork(name=name, genotype=genotype, cost=cost_of(genotype, scale))


def _genotype_of(word: str, recipe: Recipe, store: Store) -> Genotype:
    if word not in PUBLISHED and word.endswith((LIKE, FILLING)):
        return _made_to_fit(word, recipe)
    if word.endswith(".safetensors"):
        return _of_weights(Path(word), recipe.scale)
    is_file = word.endswith((".json", ".toml"))
    # The word may come from the database: code that it names is not imported.
    imports = ":" in word and word not in PUBLISHED and not is_file
    found = None if imports else find_architecture(word, lambda: nullcontext(store))
    genotype = None if found is None else found.genotype_at(recipe.scale)
    if genotype is None:
        raise RecipeError(
            f"network {word!r} has no genotype, which the results database needs; "
            "a published name, a genotype's id or a file is allowed"
        )
    return genotype


def _made_to_fit(word: str, recipe: Recipe) -> Genotype:
    fills = word.endswith(FILLING)
    name = word.removesuffix(FILLING if fills else LIKE)
    if name not in FITTABLE:
        raise unknown("published network with sizes", name, FITTABLE, where=f"network {word!r}")
    limits = Budget(**recipe.limits().ceilings())
    if not limits.limits():
        raise RecipeError(
            f"network {word!r} is made to fit a budget, and there is none: give --max-params, "
            "--max-multi-adds or both"
        )
    shape = (filling if fills else fitted)(name, recipe.search_space(), recipe.scale, limits)
    if shape is None:
        allowed = ", ".join(f"{limit} <= {format_count(most)}" for limit, most in limits.limits().items())
        raise RecipeError(f"network {word!r}: no width and no number of its blocks keeps {allowed}")
    return shape.genotype


def _of_weights(path: Path, scale: int) -> Genotype:
    if not path.is_file():
        raise RecipeError(f"network {str(path)!r}: there is no such file")
    genotype, trained, _ = load_described(path)
    if trained != scale:
        raise RecipeError(f"network {str(path)!r} is for x{trained}, and this tuning for x{scale}")
    return genotype
