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


def test_linear_and_wsd_fall_to_their_end_and_wsd_shares_its_beginning_with_longer_ones() -> None:
    linear = Plan(steps=100, lr=1e-3, lr_end=1e-5, schedule="linear", warmup_steps=20)
    assert linear.learning_rate(19) == pytest.approx(1e-3)
    assert linear.learning_rate(20) == pytest.approx(1e-3)
    assert linear.learning_rate(60) == pytest.approx((1e-3 + 1e-5) / 2)
    assert linear.learning_rate(99) == pytest.approx(1e-5 + (1e-3 - 1e-5) / 80)
    assert not linear.can_go_on
    short, long = (
        Plan(steps=steps, lr=1e-3, lr_end=0, schedule="wsd", decay_share=0.25, warmup_steps=10)
        for steps in (100, 300)
    )
    assert (short.trunk_steps, long.trunk_steps) == (75, 225)
    assert short.can_go_on
    assert [short.learning_rate(step) for step in range(75)] == [
        long.learning_rate(step) for step in range(75)
    ]
    assert short.learning_rate(75) == pytest.approx(1e-3)
    assert short.learning_rate(85) == pytest.approx(1e-3 * 15 / 25)
    assert short.learning_rate(99) == pytest.approx(1e-3 / 25)
    assert Plan(steps=1, schedule="wsd").learning_rate(0) == pytest.approx(2e-4)
