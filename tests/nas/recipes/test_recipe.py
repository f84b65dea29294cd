from __future__ import annotations

from pathlib import Path

import pytest

from nas.errors import NasError
from nas.recipes.recipe import EMBEDDED, MAY_CHANGE, Recipe, load_recipe, make_recipe

TEXT = """
scale = 2
trials = 40
sampler = "nsga2"
[space.only]
attention = ["none", "esa"]
width = [16, 32]
[budget]
params = "326k"
multi_adds = "74.7G"
[proxy]
plan = "proxy"
steps = 500
"""


def test_a_file_gives_its_name_and_its_values(tmp_path: Path) -> None:
    path = tmp_path / "x2-326k.toml"
    path.write_text(TEXT)
    recipe = load_recipe(path)
    assert recipe.name == "x2-326k"
    assert recipe.limits().params == 326_000
    assert recipe.limits().multi_adds == 74_700_000_000
    assert recipe.plan("proxy").steps == 500
    assert recipe.plan("proxy").batch == 16
    assert [axis.options for axis in recipe.search_space().axes if axis.name == "width"] == [(16, 32)]


@pytest.mark.parametrize("recipe", [EMBEDDED, Recipe()])
def test_a_recipe_survives_its_file(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / f"{recipe.name}.toml"
    path.write_text(recipe.to_toml())
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[budget]\nparms = "3k"', r"r\.toml \[budget\]: unknown key 'parms'; did you mean 'params'\?"),
        ("trails = 3", r"r\.toml: unknown key 'trails'; did you mean 'trials'\?"),
        ('[budget]\nparams = "many"', r"\[budget\]: params: 'many' is no count"),
        ("scale = 5", r"scale = 5: input should be 2, 3 or 4"),
        ("trials = 0", r"trials = 0: .*greater than or equal to 1"),
        ('sampler = "tpee"', r"unknown sampler 'tpee'; did you mean 'tpe'"),
        ('metric = "psnr"', r"unknown metric 'psnr'.*y_float"),
        ('[space]\nname = "lightwieght"', r"did you mean 'lightweight'"),
        ('[space.only]\natention = ["esa"]', r"did you mean 'attention'"),
        ('[space.only]\nattention = ["easa"]', r"r\.toml: unknown option of attention"),
        ("[space.only]\nattention = []", r"only\.attention is empty"),
        ('[proxy]\nplan = "quik"', r"\[proxy\] unknown plan 'quik'; did you mean 'quick'"),
        ("[proxy]\nstep = 5", r"\[proxy\] unknown plan field 'step'; did you mean 'steps'"),
        ('name = "../x"', r"name = '\.\./x'"),
        ("workers = 4", r"workers = 4 needs executor = 'processes'"),
        ("scale = [", r"r\.toml: is no TOML"),
        ('[proxy]\ndistil = "at"', r"\[proxy\] distil = 'at': nas compress --distil-from FILE does that"),
        (
            '[retrain]\nadversarial = "ragan"',
            r"\[retrain\] adversarial = 'ragan': nas compress --adversarial --features FILE does that",
        ),
    ],
)
def test_each_mistake_is_named_with_what_is_allowed(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(NasError, match=message) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"none\.toml: cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_what_the_database_keeps_spells_out_the_plan_and_reads_back() -> None:
    plain = EMBEDDED.to_dict()
    assert plain["proxy"]["steps"] == EMBEDDED.plan("proxy").steps
    assert make_recipe({**plain, "name": "demo"}).plan("proxy") == EMBEDDED.plan("proxy")
    assert set(MAY_CHANGE) <= set(plain)


def test_a_recipe_comes_back_from_its_plain_values_also_where_a_plan_is_set_back_to_a_default() -> None:
    recipe = make_recipe({"proxy": {"plan": "steady", "ema": 0}, "retrain": {"plan": "f2srgan", "lr": 2e-4}})
    plain = {key: value for key, value in recipe.to_dict().items() if value is not None}
    again = make_recipe(plain)
    assert again.plan("proxy") == recipe.plan("proxy")
    assert recipe.plan("proxy").ema == 0
    assert again.plan("retrain") == recipe.plan("retrain")
