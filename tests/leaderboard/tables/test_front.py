from __future__ import annotations

import io
import json
from pathlib import Path

import pandas as pd
import pytest

from leaderboard.errors import LeaderboardError, UnknownStudyError
from leaderboard.store import Store
from leaderboard.tables.front import (
    FORMATS,
    amount,
    cell,
    count_of,
    front_frame,
    main_protocol,
    networks,
    psnr_ssim,
    words,
)


@pytest.fixture(scope="module")
def frame(filled: Path) -> pd.DataFrame:
    with Store.at(filled, read_only=True) as store:
        return store.frame()


def test_the_front_is_of_one_protocol_cheapest_first(frame: pd.DataFrame) -> None:
    front = front_frame(frame, "x4-300k")
    assert list(front["rank"]) == list(range(1, len(front) + 1))
    assert front["multi_adds"].is_monotonic_increasing
    assert front["psnr_db"].is_monotonic_increasing
    assert front["psnr_db"].max() < 30.5  # the re-trained ones are better and are not among them
    assert front["gain_db"].iloc[0] == pytest.approx(front["psnr_db"].iloc[0] - 28.42)
    assert main_protocol(frame) == "proxy-81c2e0"
    measured = frame[frame["psnr_db"].notna() & (frame["stage"] == "search")]
    longer = frame.copy()
    longer.loc[measured.index[:2], ["rung", "protocol"]] = [1, "longer-000001"]
    assert main_protocol(longer) == "longer-000001"


def test_a_protocol_is_named_by_id_start_or_plan(frame: pd.DataFrame) -> None:
    for name in ("full", "full-81c2e0", "fu"):
        assert front_frame(frame, "x4-300k", name)["psnr_db"].min() > 30
    with pytest.raises(
        LeaderboardError, match=r"unknown protocol 'ful-81c2e0'; did you mean 'full-81c2e0'\?"
    ):
        front_frame(frame, "x4-300k", "ful-81c2e0")


def test_what_people_call_a_network_stands_before_its_words(frame: pd.DataFrame) -> None:
    plain = front_frame(frame, "x4-300k")
    called = frame.assign(name=frame["name"].where(frame["genotype"] != plain["genotype"][1], "imdn-like"))
    front = front_frame(called, "x4-300k")
    assert front["words"][1] == f"imdn-like: {plain['words'][1]}"
    assert list(front["words"].drop(1)) == list(plain["words"].drop(1))


def test_unknown_names_are_explained(frame: pd.DataFrame) -> None:
    with pytest.raises(UnknownStudyError, match=r"did you mean 'x4-300k'\?"):
        front_frame(frame, "x4-300")
    with pytest.raises(LeaderboardError, match=r"unknown cost 'param'; did you mean 'params'\?"):
        front_frame(frame, "x4-300k", cost="param")


def test_the_chosen_cost_is_a_column(frame: pd.DataFrame) -> None:
    front = front_frame(frame, "x4-300k", cost="activations")
    assert front["activations"].is_monotonic_increasing


def test_a_network_with_several_seeds_counts_with_its_mean(frame: pd.DataFrame) -> None:
    one = frame[frame["psnr_db"].notna() & (frame["stage"] == "search")].iloc[[0]]
    more = one.assign(seed=1, psnr_db=one["psnr_db"] + 1.0)
    [row] = networks(pd.concat([one, more, more]), "x4-300k").to_dict("records")
    assert row["psnr_db_sd"] == pytest.approx(0.5**0.5)
    assert row["name"] is None
    assert row["psnr_db"] == pytest.approx(one["psnr_db"].iloc[0] + 0.5)
    assert (row["seeds"], row["seed_numbers"]) == (2, "0, 1")


def test_a_study_without_results_has_an_empty_front(filled: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        front = front_frame(store.frame("empty"), "empty")
    assert front.empty
    assert "words" in front.columns
    assert all(isinstance(text(front), str) for text in FORMATS.values())


def test_json_and_csv_parse_back_to_plain_numbers(frame: pd.DataFrame) -> None:
    front = front_frame(frame, "x4-300k")
    rows = json.loads(FORMATS["json"](front))
    assert [row["multi_adds"] for row in rows] == list(front["multi_adds"])
    assert rows[0]["psnr_db"] == pytest.approx(front["psnr_db"].iloc[0], abs=1e-12)
    back = pd.read_csv(io.StringIO(FORMATS["csv"](front)), dtype={"genotype": str})
    assert list(back["words"]) == list(front["words"])
    assert list(back["params"]) == list(front["params"])


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_takes_the_whole_frame(name: str, frame: pd.DataFrame) -> None:
    text = FORMATS[name](frame)
    assert "x4-300k" in text
    if name == "json":
        assert json.loads(text)[0]["choices"] == frame["choices"].iloc[0]
        assert "NaN" not in text


def test_markdown_and_latex_escape_what_would_break_the_table() -> None:
    odd = pd.DataFrame({"genotype": ["a_b|c"], "words": ["50% & $x$\nnew {line} \\"], "psnr_db": [30.123]})
    line = FORMATS["markdown"](odd).splitlines()[2]
    assert "a_b\\|c" in line
    assert line.replace("\\|", "").count("|") == 4
    latex = FORMATS["latex"](odd)
    assert r"a\_b|c & 50\% \& \$x\$ new \{line\} \textbackslash{} & 30.12" in " ".join(latex.split())


def test_a_front_in_latex_has_the_papers_columns(frame: pd.DataFrame) -> None:
    front = front_frame(frame, "x4-300k")
    lines = [" ".join(line.split()) for line in FORMATS["latex"](front).splitlines()]
    assert lines[0] == r"\begin{tabular}{lrrr}"
    assert lines[2] == r"Method & Params & Multi-Adds & PSNR/SSIM \\"
    first = front.iloc[0]
    assert lines[4] == (
        f"{first['genotype']} & {amount(first['params'])} & {amount(first['multi_adds'], ' ')} & "
        f"{first['psnr_db']:.2f}/{first['ssim']:.4f} \\\\"
    )


def test_cells_are_what_people_read() -> None:
    assert cell("latency_ms", 12.3456) == "12.3"
    assert cell("memory_bytes", 2.5e8) == "250.0 MB"
    assert cell("ssim", float("nan")) == cell("name", None) == "-"
    assert psnr_ssim(32.214, 0.89476) == "32.21/0.8948"


def test_people_read_rounded_numbers_with_units() -> None:
    assert [amount(value) for value in (640, 285_300, 999_960, 1e6)] == ["640", "285.3K", "1.0M", "1.0M"]
    assert count_of("multi_adds", 12.4e9) == "12.4 G"
    assert count_of("params", 285_300) == "285.3K"
    row = FORMATS["table"](pd.DataFrame({"psnr_db": [30.0], "params": [285_300], "multi_adds": [12.4e9]}))
    assert "PSNR (dB)" in row
    assert row.split("\n")[-1].split() == ["30.00", "285.3K", "12.4", "G"]


@pytest.mark.parametrize(
    ("choices", "said"),
    [
        ({"block": "imdb", "blocks": 4, "width": 32, "attention": "esa"}, "imdb, 4 blocks, width 32, esa"),
        ({"blocks": 1, "attention": "none", "share_weights": True}, "1 block, no attention, share weights"),
        ({"first": "esa", "second": "esa", "norm": None}, "first esa, second esa, no norm"),
        (
            {"ratio": 0.25, "kernels": [3, 5], "tail": {"kernel": "3x3"}},
            "ratio 0.25, kernels 3+5, tail (3x3)",
        ),
        (
            {"of": "lightweight", "shapes": {"stem": {"bias": [9]}, "tail": {"bias": [3]}}, "weight_bits": 8},
            "lightweight, shapes of 2, 8 weight bits",
        ),
        ({}, ""),
    ],
)
def test_choices_become_plain_words(choices: dict[str, object], said: str) -> None:
    assert words(choices) == said
