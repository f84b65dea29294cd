"""The models of imported rows fit the tables, and say what is wrong with a value."""

from __future__ import annotations

from typing import Any

import pytest

import search_spaces
from leaderboard.errors import StoreError
from leaderboard.names import CHECKPOINT, ID, LINE, RUN_NAME, SPACE_NAME, WORD
from leaderboard.store import imported
from leaderboard.store.contents import Contents
from leaderboard.store.imported import checked_contents, network_id
from leaderboard.store.schema import TableBase
from search_spaces.lightweight import Lightweight

NOT_IMPORTED = {
    "study": {"id", "owner", "lease_until"},
    "evaluation": {"id"},
    "trial": {"id", "study_id", "evaluation_id"},
    "event": {"id", "study_id", "trial_id"},
    "measurement": {"id"},
    "runtime": {"id"},
}
"""Numbers that each database gives itself, and leases, which stay where they are."""
INSTEAD = {"trial": {"result"}, "event": {"trial"}}


@pytest.mark.parametrize("table", sorted(set(TableBase.metadata.tables) - {"retrain_request"}))
def test_a_model_has_the_columns_of_its_table(table: str) -> None:
    model = getattr(imported, f"{table.capitalize()}Model")
    columns = set(TableBase.metadata.tables[table].columns.keys())
    assert set(model.model_fields) == columns - NOT_IMPORTED.get(table, set()) | INSTEAD.get(table, set())


def test_every_table_but_the_queue_has_a_model() -> None:
    models = {name.removesuffix("Model").lower() for name in vars(imported) if name.endswith("Model")}
    assert models - {"base", "part"} == set(TableBase.metadata.tables) - {"retrain_request"}


def test_the_id_of_a_network_is_that_of_its_genotype() -> None:
    genotype = Lightweight()
    assert network_id(genotype.space, genotype.to_dict()) == genotype.id


def test_one_pattern_for_the_name_of_a_space() -> None:
    assert SPACE_NAME.pattern == search_spaces.SPACE_NAME.pattern
    assert SPACE_NAME.flags == search_spaces.SPACE_NAME.flags


@pytest.mark.parametrize("text", ["../x", "/etc/x", "a/../x", "..", "a\\b", "", "a\nb", "x" * 2000])
def test_a_checkpoint_stays_in_the_runs_folder(text: str) -> None:
    assert CHECKPOINT.fullmatch(text) is None


def test_checkpoints_of_searches_are_allowed() -> None:
    for text in ("demo/candidates/ab-cd/weights.safetensors", "a..b/c", "x y/z"):
        assert CHECKPOINT.fullmatch(text) is not None


HOSTILE = ("<script>", 'a":1', "a b\n", "\u2028", "../x", ".x", "x" * 300, "", "\0")


@pytest.mark.parametrize(
    "pattern", [RUN_NAME, ID, SPACE_NAME, WORD], ids=lambda pattern: pattern.pattern[:20]
)
def test_names_ids_spaces_and_words_hold_nothing_hostile(pattern: Any) -> None:
    assert [text for text in HOSTILE if pattern.fullmatch(text)] == []


def test_a_line_is_one_line() -> None:
    assert LINE.fullmatch('NVIDIA "H200" <1>, öäü 中 \U0001f600')
    assert not any(LINE.fullmatch(text) for text in ("a\nb", "\x1b[31m", "a\u2028b", "\ud800", "x" * 5000))


def network(**changes: Any) -> Contents:
    choices = {"width": 16}
    row = {"id": network_id("lightweight", choices), "space": "lightweight", "choices": choices, "name": None}
    return Contents(genotypes={"x": row | changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"choices": {"width": 24}}, r"there\.db: network '\w+' has the choices of another network"),
        ({"choices": [1]}, r"choices = \[1\]: input should be a valid dict"),
        ({"space": ".x"}, r"space = '\.x': the name of a space is needed"),
        ({"id": '<img src="x">'}, "id = .*: an id of letters"),
        ({"name": "a\nb"}, r"name = 'a\\nb': a text of one line"),
        ({"more": 1}, "more = 1: extra inputs are not permitted"),
        ({"choices": {"a": float("nan")}}, "has the number nan, which is not finite"),
    ],
)
def test_a_wrong_value_is_one_line_with_its_place(changes: dict[str, Any], words: str) -> None:
    contents = network(**changes)
    if "id" not in changes:
        contents = Contents(genotypes={contents.genotypes["x"]["id"]: contents.genotypes["x"]})
    with pytest.raises(StoreError, match=words):
        checked_contents(contents, "there.db")


def test_a_right_network_passes() -> None:
    contents = network()
    contents = Contents(genotypes={contents.genotypes["x"]["id"]: contents.genotypes["x"]})
    assert checked_contents(contents, "there.db") is contents
