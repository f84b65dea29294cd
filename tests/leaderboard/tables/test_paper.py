from __future__ import annotations

import io
import math
from typing import Any

import pandas as pd
import pytest

from leaderboard.errors import LeaderboardError
from leaderboard.tables.paper import FORMATS, paper_rows, sets_of, with_sets, within_cost
from leaderboard.tables.reported import distinct, reported
from leaderboard.tables.window import ALL


def number(network: str, benchmark: str, psnr: float, **changes: Any) -> dict[str, Any]:
    row = {"origin": "reported", "network": network, "name": None, "scale": 4, "benchmark": benchmark}
    row |= {"metric": "as reported", "psnr_db": psnr, "ssim": 0.9, "params": 1e5, "multi_adds": 5e9}
    row |= {"conv_multi_adds": math.nan, "reported_in": "Table 1", "table": "Table 1"}
    row |= {"trained_on": None, "suspect": None}
    return row | changes


MEASURED = {"origin": "measured", "reported_in": None, "table": None, "conv_multi_adds": 4e9}
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


def test_latex_marks_the_best_two_of_each_number_and_escapes() -> None:
    lines = FORMATS["latex"](paper_rows(FRAME, 4)).splitlines()
    assert lines[0] == r"\begin{tabular}{lllrrrrr}"
    assert lines[2] == (
        r"Method & Source & Trained on & Params & Multi-Adds & Multi-Adds (conv) "
        r"& Set5 PSNR/SSIM & Set14 PSNR/SSIM \\"
    )
    assert lines[4] == r"bicubic & measured, y\_float & - & - & - & - & 28.42/\textbf{0.9000} & - \\"
    best = r"\textbf{32.30}/\textbf{0.9000}"
    assert lines[5] == rf"a\_b|c & Table 1 & - & 100.0K & - & 5.0 G? & {best} & - \\"
    assert r"\underline{32.25}/\textbf{0.9000}" in lines[6]
    assert lines[8].endswith(
        r"715.0K & 5.0 G & 5.0 G & 32.21/\underline{0.8948} & \textbf{28.58}/\textbf{0.9000} \\"
    )
    assert lines[-1] == r"\end{tabular}"


def test_markdown_has_as_many_cells_in_each_line() -> None:
    lines = FORMATS["markdown"](paper_rows(FRAME, 4)).splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {9}
    assert "| a_b\\|c | Table 1 | - | 100.0K | - | 5.0 G? | **32.30**/**0.9000** | - |" in lines


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
    assert lines["EFRDN"][-5:] == ["-", "5.0", "G", "32.30*/0.9000**", "-"]
    assert lines["SwinIR"][-5:] == ["-", "5.0", "G?", "32.40**/0.9000**", "-"]


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
    assert ["**32.30**/" in line for line in lines] == [True, True, False]
    assert lines[2].endswith("| *30.00*/**0.9000** |")


def test_a_suspected_misprint_is_marked_and_never_the_best() -> None:
    frame = pd.DataFrame(
        [
            number("odd", "Set14", 33.37, suspect="psnr_db: 3 dB too good; multi_adds: counted twice"),
            number("odd", "Set5", 32.2, ssim=0.91),
            number("fine", "Set14", 28.5),
            number("fine", "Set5", 32.1),
        ]
    )
    rows = paper_rows(frame, 4)
    why = rows.set_index("method").loc["odd", "suspect"]
    assert why == "Set14 psnr_db: 3 dB too good; multi_adds: counted twice"
    fine, odd = sorted(FORMATS["markdown"](rows).splitlines()[2:])
    assert odd.endswith("| 5.0 G?! | **32.20**/**0.9100** | 33.37!/**0.9000** |")
    assert fine.endswith("| *32.10*/*0.9000* | **28.50**/**0.9000** |")


def test_one_network_trained_on_two_sets_is_two_rows_and_says_where_each_number_is_from() -> None:
    table = {"reported_in": "own table", "table": "own table"}
    frame = pd.DataFrame(
        [
            number("net", "Set5", 32.1, trained_on="DIV2K", **table),
            number("net", "Set5", 32.3, trained_on="DF2K", **table),
            number("net", "Manga109", 30.9, trained_on="DF2K", reported_in="another", table="own table"),
            number(
                "mine", "Set5", 32.0, metric="y_float", **MEASURED | {"trained_on": "folder:a/T91+folder:B"}
            ),
        ]
    )
    rows = paper_rows(frame, 4)
    assert rows[["method", "source", "trained_on"]].to_numpy().tolist() == [
        ["mine", "measured, y_float", "T91+B"],
        ["net", "own table", "DIV2K"],
        ["net", "own table; Manga109: another", "DF2K"],
    ]


def test_sets_narrow_the_columns_and_the_reported_rows() -> None:
    rows = paper_rows(FRAME, 4)
    narrow = with_sets(rows, ["set14"])
    assert sets_of(narrow) == ["Set14"]
    # Reported without a number of Set14: a_b|c. Measured ones stay, for the table is about them.
    assert list(narrow["method"]) == ["bicubic", "mine", "mine", "IMDN"]
    assert with_sets(rows, []).equals(rows)
    with pytest.raises(LeaderboardError, match=r"unknown benchmark set 'Set15'; did you mean 'Set1?4?5?'\?"):
        with_sets(rows, ["Set15"])


def real(*costs: tuple[float, float], scale: int = 4) -> pd.DataFrame:
    """The papers' rows of this package at one scale, and measured networks of these costs."""
    papers = distinct(reported()).rename(columns={"dataset": "benchmark"})
    papers = papers.assign(origin="reported", metric="as reported", name=None)
    mine = [
        number(f"mine{place}", "Set5", 31.0, metric="y_float", scale=scale)
        | MEASURED
        | {"params": params, "multi_adds": multi_adds, "conv_multi_adds": multi_adds}
        for place, (params, multi_adds) in enumerate(costs)
    ]
    return paper_rows(pd.concat([papers, pd.DataFrame(mine)], ignore_index=True), scale)


def names(rows: pd.DataFrame) -> set[str]:
    return set(rows.loc[rows["origin"] == "reported", "method"])


def test_by_default_the_dozen_nearest_in_cost_are_shown() -> None:
    rows = real((320e3, 18e9))
    shown, note = within_cost(rows)
    near = shown[shown["origin"] == "reported"]
    assert 12 <= len(near) <= 14
    assert {"LKDN", "VapSR", "BSRN", "SMFANet", "SAFMN", "HNCT"} <= names(shown)
    assert not {"CARN", "SwinIR-light", "ESC", "HiT-SRF"} & names(shown)
    assert note.startswith(f"{len(near)} of 68 reported rows: the nearest")
    # The factor that the note states is the true one: asking for it shows the same rows.
    factor = float(note.partition("factor of ")[2].partition(")")[0])
    assert set(within_cost(rows, factor + 0.01)[0]["method"]) == set(shown["method"])


def test_a_cost_window_means_both_costs_and_all_means_all() -> None:
    rows = real((600e3, 35e9))
    shown, note = within_cost(rows, 1.25)
    near = shown[shown["origin"] == "reported"]
    assert near["params"].between(600e3 / 1.25, 600e3 * 1.25).all()
    assert near["conv_multi_adds"].dropna().between(35e9 / 1.25, 35e9 * 1.25).all()
    assert {"RFDN-L", "ECBSR-M16C64", "IMDN"} <= names(shown)
    assert "ESC-light" not in names(shown)  # 624K, but 91 G
    assert "RLFN" in names(shown)  # 543K, and Multi-Adds that are not printed
    assert note.startswith(f"{len(near)} of 68 reported rows: within a factor of 1.25")
    everything, note = within_cost(rows, ALL)
    assert len(everything) == len(rows) and note == "All 68 reported rows."
    assert len(within_cost(rows, 1.0001)[0]) == 1


def test_each_of_several_measured_networks_has_neighbours() -> None:
    shown, _ = within_cost(real((160e3, 8.5e9), (900e3, 60e9)))
    assert {"VapSR-S", "MAN-tiny"} <= names(shown)
    assert {"SwinIR-light", "HiT-SRF"} & names(shown)
    assert (shown["origin"] == "reported").sum() < 20


def test_a_network_without_close_neighbours_does_not_bring_in_far_ones() -> None:
    """At x2 nothing printed is below 186K parameters but MoreMNAS-C, which has 25K."""
    shown, _ = within_cost(real((92e3, 20e9), (181e3, 41e9), (310e3, 69e9), scale=2))
    assert {"SMFANet", "FALSR-B", "ESRN-V"} <= names(shown)
    assert "MoreMNAS-C" not in names(shown)
    assert 12 <= (shown["origin"] == "reported").sum() <= 15
    alone, _ = within_cost(real((30e3, 6e9), scale=2))
    assert "MoreMNAS-C" in names(alone) and (alone["origin"] == "reported").sum() >= 12


def test_without_a_measured_cost_all_rows_are_shown_and_the_note_says_so() -> None:
    for factor in (None, 2.0):
        shown, note = within_cost(real(), factor)
        assert len(shown) == 68
        assert note == "No measured network with a known cost: all 68 reported rows."
    bicubic = real((math.nan, math.nan))
    assert within_cost(bicubic)[1] == "No measured network with a known cost: all 68 reported rows."


def test_real_rows_name_rfdn_as_measured_from_weights_and_imdn_as_printed() -> None:
    rows = real().set_index("method")
    assert rows.loc["RFDN", "source"] == "measured from the authors' weights"
    assert rows.loc["RFDN", ["Set5 psnr_db", "Set14 psnr_db"]].tolist() == [32.159, 28.645]
    assert rows.loc["IMDN", "source"] == "Liu et al., 2024 (EFRDN), Table 1"
    assert rows.loc["VapSR", "source"] == (
        "Zhou et al., 2022 (VapSR), README; Manga109: Xie et al., 2023 (LKDN), README"
    )
    assert "Set5 ssim" in rows.loc["ESC-FP", "suspect"]
    text = FORMATS["markdown"](rows.reset_index())
    assert "32.16/- |" in text and "32.56/0.8897! |" in text
