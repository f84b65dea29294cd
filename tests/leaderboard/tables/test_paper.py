from __future__ import annotations

import io
import math
from typing import Any

import pandas as pd
import pytest

from leaderboard.errors import LeaderboardError
from leaderboard.tables.paper import FORMATS, paper_rows, sets_of


def number(network: str, benchmark: str, psnr: float, **changes: Any) -> dict[str, Any]:
    row = {"origin": "reported", "network": network, "name": None, "scale": 4, "benchmark": benchmark}
    row |= {"metric": "as reported", "psnr_db": psnr, "ssim": 0.9, "params": 1e5, "multi_adds": 5e9}
    row |= {"conv_multi_adds": math.nan, "reported_in": "Table 1"}
    return row | changes


MEASURED = {"origin": "measured", "reported_in": None, "conv_multi_adds": 4e9}
NO_COST = MEASURED | {"multi_adds": math.nan, "conv_multi_adds": math.nan}
FRAME = pd.DataFrame(
    [
        number("IMDN", "Set14", 28.58, params=7.15e5),
        number("IMDN", "Set5", 32.21, ssim=0.8948, params=7.15e5),
        number("a_b|c", "Set5", 32.30),
        number("mine", "Set5", 32.25, metric="y_float", **MEASURED),
        number("mine", "Set5", 32.22, metric="y_uint8", **MEASURED),
        number("bicubic", "Set5", 28.42, metric="y_float", params=math.nan, **NO_COST),
        number("IMDN", "Set5", 38.00, scale=2),
    ]
)


def test_one_row_a_method_and_metric_sets_in_the_papers_order() -> None:
    rows = paper_rows(FRAME, 4)
    assert sets_of(rows) == ["Set5", "Set14"]
    assert list(rows["method"]) == ["bicubic", "a_b|c", "mine", "mine", "IMDN"]
    assert list(rows["source"][2:]) == ["measured, y_float", "measured, y_uint8", "Table 1"]
    assert list(rows["Set5 psnr_db"]) == [28.42, 32.30, 32.25, 32.22, 32.21]
    assert rows["Set14 psnr_db"].notna().sum() == 1
    assert "y_uint8" not in str(paper_rows(FRAME, 4, "y_float"))


def test_unknown_scales_and_metrics_are_refused() -> None:
    with pytest.raises(LeaderboardError, match=r"unknown scale '3' \(known: 2, 4\)"):
        paper_rows(FRAME, 3)
    with pytest.raises(LeaderboardError, match=r"unknown metric 'y_flot'; did you mean 'y_float'\?"):
        paper_rows(FRAME, 4, "y_flot")
    assert paper_rows(FRAME.iloc[:0], 4).empty


def test_latex_marks_the_best_two_and_escapes() -> None:
    lines = FORMATS["latex"](paper_rows(FRAME, 4)).splitlines()
    assert lines[0] == r"\begin{tabular}{llrrrrr}"
    assert lines[2] == (
        r"Method & Source & Params & Multi-Adds & Multi-Adds (conv) & Set5 PSNR/SSIM & Set14 PSNR/SSIM \\"
    )
    assert lines[4] == r"bicubic & measured, y\_float & - & - & - & 28.42/0.9000 & - \\"
    assert lines[5] == r"a\_b|c & Table 1 & 100.0K & - & 5.0 G? & \textbf{32.30/0.9000} & - \\"
    assert r"\underline{32.25/0.9000}" in lines[6]
    assert lines[8].endswith(r"715.0K & 5.0 G & 5.0 G & 32.21/0.8948 & \textbf{28.58/0.9000} \\")
    assert lines[-1] == r"\end{tabular}"


def test_markdown_has_as_many_cells_in_each_line() -> None:
    lines = FORMATS["markdown"](paper_rows(FRAME, 4)).splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {8}
    assert "| a_b\\|c | Table 1 | 100.0K | - | 5.0 G? | **32.30/0.9000** | - |" in lines


def test_csv_parses_back_to_plain_numbers() -> None:
    back = pd.read_csv(io.StringIO(FORMATS["csv"](paper_rows(FRAME, 4))))
    assert list(back["Set5 psnr_db"]) == [28.42, 32.30, 32.25, 32.22, 32.21]


def test_both_conventions_of_multi_adds_stand_in_columns_of_their_own() -> None:
    frame = pd.concat(
        [FRAME, pd.DataFrame([number("EFRDN", "Set5", 32.3), number("SwinIR", "Set5", 32.4)])],
        ignore_index=True,
    )
    rows = paper_rows(frame, 4).drop_duplicates("method").set_index("method")
    both = rows[["multi_adds", "conv_multi_adds"]].to_dict("index")
    assert both["IMDN"] == {"multi_adds": 5e9, "conv_multi_adds": 5e9}  # convolutions are all that it has
    assert both["mine"] == {"multi_adds": 5e9, "conv_multi_adds": 4e9}
    assert math.isnan(both["EFRDN"]["multi_adds"]) and both["EFRDN"]["conv_multi_adds"] == 5e9
    assert rows["counted"][["IMDN", "EFRDN", "SwinIR"]].tolist() == ["both", "convolutions", "not stated"]
    text = FORMATS["table"](paper_rows(frame, 4))
    lines = {line.split()[0]: line.split() for line in text.splitlines()[2:]}
    assert lines["EFRDN"][-5:] == ["-", "5.0", "G", "32.30/0.9000*", "-"]
    assert lines["SwinIR"][-5:] == ["-", "5.0", "G?", "32.40/0.9000**", "-"]


def test_weights_of_two_trainings_are_never_mixed_in_a_row() -> None:
    old, new = {"weights": "a", "stage": "search"}, {"weights": "b", "stage": "retrain"}
    frame = pd.DataFrame(
        [
            number("mine", "Set5", 32.9, metric="y_float", **MEASURED, **new),
            number("mine", "Set5", 31.0, metric="y_float", **MEASURED, **old),
            number("mine", "Set14", 28.0, metric="y_float", **MEASURED, **old),
            number("mine+", "Set14", 28.3, metric="y_float", **MEASURED, weights="b+", stage="retrain"),
        ]
    )
    rows = paper_rows(frame, 4).set_index("method")
    assert rows.loc["mine", "Set5 psnr_db"] == 32.9
    assert math.isnan(rows.loc["mine", "Set14 psnr_db"])
    assert rows.loc["mine+", "Set14 psnr_db"] == 28.3


def test_numbers_that_look_the_same_are_both_the_best() -> None:
    frame = pd.DataFrame([number("a", "Set5", 32.301), number("b", "Set5", 32.302), number("c", "Set5", 30)])
    lines = FORMATS["markdown"](paper_rows(frame, 4)).splitlines()[2:]
    assert ["**" in line for line in lines] == [True, True, False]
    assert lines[2].endswith("| *30.00/0.9000* |")
