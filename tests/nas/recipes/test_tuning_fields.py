"""Fields and settings of a tuning: words, domains, and what is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nas.errors import RecipeError
from nas.recipes.recipe import Recipe, load_recipe, make_recipe
from nas.recipes.tuning_fields import (
    NOT_TUNABLE,
    checked_setting,
    domains_of,
    parse_field,
    parse_fields,
    parse_setting,
    setting_words,
    tunable_fields,
)
from nas.training.plan import Plan, named_plan

PLAN = named_plan("longer")
TUNE: dict[str, Any] = {"networks": ["imdn"], "fields": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}}}


def test_words_of_fields_are_domains() -> None:
    words = ["lr=5e-4..1.6e-2:log", "clip_norm=0,0.5,1", "warmup_steps=0..200", "schedule=cosine,constant"]
    fields = parse_fields(words)
    assert fields == {
        "lr": {"low": 5e-4, "high": 1.6e-2, "log": True},
        "clip_norm": [0.0, 0.5, 1.0],
        "warmup_steps": {"low": 0, "high": 200, "log": False},
        "schedule": ["cosine", "constant"],
    }
    domains = domains_of(fields, PLAN)
    assert (domains["lr"].log, domains["lr"].whole) == (True, False)
    assert (domains["warmup_steps"].log, domains["warmup_steps"].whole) == (False, True)
    assert domains["clip_norm"].contains(0.5) and not domains["clip_norm"].contains(0.6)
    assert domains["lr"].contains(5e-4) and not domains["lr"].contains(0.1)


def test_a_proposed_number_gives_the_same_plan_through_its_words() -> None:
    domain = domains_of({"lr": {"low": 5e-4, "high": 1.6e-2, "log": True}}, PLAN)["lr"]
    for value in (0.0012345678, 5.0000001e-4, 0.0159999):
        rounded = domain.rounded(value)
        assert domain.contains(rounded) and abs(rounded / value - 1) < 5e-3
        assert parse_setting(" ".join(setting_words({"lr": rounded}))) == {"lr": rounded}


def test_words_of_a_setting_are_exact() -> None:
    changes = {"lr": 0.0012345678912, "clip_norm": 0.5, "warmup_steps": 100, "schedule": "constant"}
    assert parse_setting(" ".join(setting_words(changes))) == changes
    assert setting_words({"lr": 4e-3, "clip_norm": 1.0}) == ["lr=0.004", "clip_norm=1"]


def test_a_setting_is_what_differs_from_the_plan() -> None:
    assert checked_setting({"lr": PLAN.lr, "clip_norm": 1}, PLAN) == {"clip_norm": 1.0}
    assert isinstance(checked_setting({"clip_norm": 1}, PLAN)["clip_norm"], float)


def test_every_field_of_a_plan_is_tunable_or_says_why_not() -> None:
    assert set(tunable_fields()) | set(NOT_TUNABLE) == set(Plan.__dataclass_fields__)
    for name, field in tunable_fields().items():
        value = getattr(PLAN, name)
        others = [word for word in field.help.words if word not in (value, "auto")] or [
            value / 2 if field.kind is float and value else 1 + (value or 0)
        ]
        if name in ("ema", "beta2"):
            others = [0.5]
        assert replace(PLAN, **checked_setting({name: others[0]}, PLAN)) != PLAN
        assert domains_of({name: [value, others[0]]}, PLAN)[name].choices == (value, others[0])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("lrr=0,1", "unknown plan field 'lrr'; did you mean 'lr'?"),
        ("steps=300,900", "field steps cannot be tuned: --steps gives the lengths"),
        ("distil=none,at", "field distil cannot be tuned: it needs a teacher"),
        (
            "adversarial_weight=0..1",
            "field adversarial_weight cannot be tuned: it belongs to a training against",
        ),
        ("lr", "write NAME=LOW..HIGH"),
        ("lr=fast,slow", "lr = 'fast'; a number is needed"),
        ("lr=1e-4..1e-2:ln", "unknown scale 'ln' (allowed: log)"),
        ("lr=1e-4,1e-2:log", "a scale belongs to a range"),
        ("warmup_steps=0..x", "warmup_steps = 'x'; a whole number is needed"),
    ],
)
def test_a_wrong_word_is_one_line(word: str, message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_field(word)
    assert message in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("tune", "message"),
    [
        ({"networks": []}, "[tune] networks: at least one is needed"),
        ({"fields": {}}, "[tune] fields: at least one is needed"),
        ({"fields": {"lr": {"low": 1e-2, "high": 1e-4}}}, "field lr = 0.01..0.0001: low must be below high"),
        (
            {"fields": {"lr": {"low": 0, "high": 0.1}}},
            "field lr = 0..0.1: a number above 0 is needed for low",
        ),
        ({"fields": {"lr": {"low": 1e-4, "high": 7}}}, "lr = 7.0; a number from 0 to 1 is needed"),
        ({"fields": {"ema": {"low": 0, "high": 0.9, "log": True}}}, "a number above 0 is needed for low"),
        ({"fields": {"ema": {"low": 0, "hihg": 0.9}}}, "field ema: unknown key 'hihg'; did you mean 'high'?"),
        ({"fields": {"ema": {"low": 0}}}, "both low and high are needed"),
        ({"fields": {"ema": 0.9}}, "a list of values, or {low, high, log} is needed"),
        ({"fields": {"ema": [0.9, 0.9]}}, "two different values at least are needed"),
        ({"fields": {"schedule": {"low": 0, "high": 1}}}, "field schedule has no range"),
        ({"fields": {"schedule": ["cosin", "drops"]}}, "unknown schedule 'cosin'; did you mean 'cosine'?"),
        ({"fields": {"precision": ["fp32", "auto"]}}, "field precision: 'auto' is no arithmetic"),
        ({"fields": {"batch": [4, 8.5]}}, "field batch = 8.5: a value like 8 is needed"),
        ({"enqueue": [{"lrr": 1e-3}]}, "unknown plan field 'lrr'; did you mean 'lr'?"),
        ({"enqueue": [{"steps": 9}]}, "field steps cannot be tuned"),
        ({"steps": [900, 300]}, "steps = [900, 300]: growing numbers of steps are needed"),
        ({"sampler": "tpee"}, "unknown sampler 'tpee'; did you mean 'tpe'?"),
        ({"network": ["imdn"]}, "recipe [tune]: unknown key 'network'; did you mean 'networks'?"),
        ({"trials": 0}, "recipe [tune]: trials = 0"),
    ],
)
def test_a_wrong_section_is_one_line(tune: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        make_recipe({"tune": {**TUNE, **tune}})
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_a_recipe_with_a_tuning_survives_its_file(tmp_path: Any) -> None:
    recipe = make_recipe({"name": "t", "tune": {**TUNE, "enqueue": [{"clip_norm": 0.5}], "steps": [3, 9]}})
    (tmp_path / "t.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "t.toml") == recipe
    assert [plan.steps for plan in recipe.tuning_plans()] == [3, 9]


def test_a_network_that_diverges_in_a_tuning_is_not_rescued_at_another_rate() -> None:
    section = {"networks": ["imdn"], "fields": {"lr": [1e-3, 2e-3]}}
    recipe = make_recipe({"name": "rates", "retrain": {"plan": "longer", "halvings": 2}, "tune": section})
    assert recipe.plan("retrain").halvings == 2
    assert [plan.halvings for plan in recipe.tuning_plans()] == [0]


def test_a_search_is_stored_as_before_there_were_tunings() -> None:
    assert "tune" not in Recipe().to_dict()
    short = make_recipe({"tune": TUNE | {"fields": {"ema": {"low": 0, "high": 0.9}}}}).to_dict()
    full = make_recipe({"tune": TUNE | {"fields": {"ema": {"low": 0, "high": 0.9, "log": False}}}}).to_dict()
    assert short == full
