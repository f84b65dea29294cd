"""Fields of a plan from words of the command line."""

from __future__ import annotations

import pytest

from nas.errors import RecipeError
from nas.training.plan import PLANS, Plan, named_plan, parse_changes, parse_value


def test_words_become_values_of_the_fields_types() -> None:
    changes = parse_changes(["lr=1e-4", "steps=300k", "batch = 8", "loss=mse", "clip_norm=1"])
    assert changes == {"lr": 1e-4, "steps": 300_000, "batch": 8, "loss": "mse", "clip_norm": 1.0}
    assert {name: type(value) for name, value in changes.items()}["clip_norm"] is float
    assert named_plan("quick", **changes) == Plan(
        steps=300_000, batch=8, lr_patch=24, lr=1e-4, lr_end=1e-5, loss="mse", clip_norm=1.0
    )


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("true", bool, True),
        ("False", bool, False),
        ("none", str | None, None),
        ("imdn", str | None, "imdn"),
        ("2", int | float, 2),
        ("0.5", int | float, 0.5),
    ],
)
def test_types_that_fields_may_come_to_have_are_understood(text: str, kind: object, value: object) -> None:
    assert parse_value("field", text, kind) == value


@pytest.mark.parametrize("word", ["steps=1.5", "steps=", "lr=fast", "steps=3x", "=3", "lr=1,lr=2"])
def test_what_is_no_value_of_the_type_is_refused(word: str) -> None:
    with pytest.raises(RecipeError):
        parse_changes([word])


def test_a_field_that_is_given_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="lr was given before"):
        parse_changes(["lr=1", "lr=2"])


def test_efrdns_schedule_has_two_names() -> None:
    assert PLANS["efrdn-full"] == PLANS["full"]
