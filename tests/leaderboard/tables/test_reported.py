from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from leaderboard.tables.reported import OTHER, OURS, OWN, distinct, reported

TABLE = reported()
COLUMNS = {"params", "multi_adds", "psnr_db", "ssim"}
LOW_RESOLUTION_PIXELS = {2: 640 * 360, 3: 1280 * 720 // 9, 4: 320 * 180}
"""Input pixels for an output of 1280x720, at which papers count Multi-Adds."""


def flagged(column: str) -> set[tuple[str, int, str]]:
    """Network, scale and set of the rows whose `column` is marked."""
    marked = [
        column in [name for part in (why or "").split("; ") for name in part.partition(":")[0].split(", ")]
        for why in TABLE["suspect"]
    ]
    return set(TABLE.loc[marked, ["network", "scale", "dataset"]].itertuples(index=False, name=None))


def of(network: str, column: str) -> dict[int, float]:
    """What the first table that prints a network's cost prints, by scale."""
    rows = TABLE[(TABLE["network"] == network) & TABLE[column].notna()]
    rows = rows[rows["reported_in"] == rows["reported_in"].iloc[0]] if len(rows) else rows
    rows = rows.drop_duplicates("scale")
    return dict(zip(rows["scale"], rows[column], strict=True))


def test_the_table_is_whole_and_typed() -> None:
    assert len(TABLE) == 914
    identity = ["network", "scale", "dataset", "reported_in", "trained_on"]
    assert not TABLE.duplicated(identity).any()
    texts = ("network", "cites", "dataset", "trained_on", "kind", "reported_in", "page", "suspect")
    numbers = ("params", "multi_adds", "psnr_db", "ssim")
    assert TABLE.dtypes.astype(str).to_dict() == {
        **dict.fromkeys(texts, "object"),
        **dict.fromkeys(numbers, "float64"),
        "scale": "int64",
    }
    partly = ["params", "multi_adds", "ssim", "trained_on", "suspect"]
    assert TABLE.drop(columns=partly).notna().all(axis=None)
    assert set(TABLE.loc[TABLE["ssim"].isna(), "network"]) == {"RFDN"}
    assert TABLE["suspect"].map(lambda why: why is None or bool(re.match(r"[a-z_, ]+: .", why))).all()
    assert set(TABLE["dataset"]) == {"Set5", "Set14", "B100", "Urban100", "Manga109"}
    assert TABLE["psnr_db"].between(25, 40).all() and TABLE["ssim"].dropna().between(0.72, 0.98).all()
    assert set(TABLE["trained_on"]) == {"DIV2K", "DF2K", "DFLIP", None}
    first = TABLE.iloc[0]
    assert (first["network"], first["params"], first["psnr_db"], first["ssim"]) == (
        "IDN",
        553_000,
        37.83,
        0.96,
    )
    own = reported()
    own.loc[0, "psnr_db"] = 0.0
    assert reported().loc[0, "psnr_db"] == 37.83


def test_every_mark_names_columns() -> None:
    for why in TABLE["suspect"].dropna():
        for part in why.split("; "):
            assert set(part.partition(":")[0].split(", ")) <= COLUMNS, part


def off_the_line(rows: pd.DataFrame) -> pd.Series:
    """How far each row's SSIM is from the line through PSNR and SSIM, in robust standard deviations.

    The line has the median of the slopes between all pairs (Theil and Sen), so that no row can bend it.
    """
    slopes = [
        (b.ssim - a.ssim) / (b.psnr_db - a.psnr_db)
        for a, b in combinations(rows.itertuples(), 2)
        if a.psnr_db != b.psnr_db
    ]
    rest = rows["ssim"] - np.median(slopes) * rows["psnr_db"]
    rest -= rest.median()
    return rest / (1.4826 * rest.abs().median())


def test_gross_misprints_are_the_rows_far_off_the_line_of_psnr_and_ssim() -> None:
    groups = [rows for _, rows in TABLE[TABLE["ssim"].notna()].groupby(["scale", "dataset"])]
    distances = pd.concat([off_the_line(rows) for rows in groups])
    gross = TABLE.loc[distances.index[distances.abs() > 20], ["network", "scale", "dataset"]]
    misprints = {("CARN", 3, "B100"), ("LCRCA", 4, "B100"), ("ESC-FP", 3, "Manga109"), ("ESC-FP", 4, "Set5")}
    other_way = ("ECBSR-M16C64", 2, "B100")
    assert set(gross.itertuples(index=False, name=None)) == {
        *misprints,
        ("FDSCSR-S", 3, "Set14"),
        other_way,
    }
    assert misprints | {other_way} <= flagged("ssim")
    assert ("FDSCSR-S", 3, "Set14") in flagged("psnr_db")
    others = TABLE[(TABLE["scale"] == 3) & (TABLE["dataset"] == "Set14") & (TABLE["network"] != "FDSCSR-S")]
    assert others["psnr_db"].max() < 33.37 - 2.3
    carn = TABLE[(TABLE["network"] == "CARN") & (TABLE["scale"] == 3)].set_index("dataset")["ssim"]
    assert carn["B100"] == carn["Urban100"]
    fast = TABLE[(TABLE["network"] == "ESC-FP") & (TABLE["scale"] == 3)].set_index("dataset")["ssim"]
    assert fast["Manga109"] == fast["Urban100"]
    set5 = TABLE[(TABLE["scale"] == 4) & (TABLE["dataset"] == "Set5") & (TABLE["psnr_db"] > 32.2)]
    assert list(set5.loc[set5["ssim"] < 0.894, "network"]) == ["ESC-FP"]


def test_an_ssim_above_that_of_many_networks_with_more_psnr_is_marked() -> None:
    """45 % or more of the twelve next networks with at least 0.05 dB more, and off the line of both."""
    suspects = set()
    for (scale, dataset), rows in TABLE[TABLE["ssim"].notna()].groupby(["scale", "dataset"]):
        for row, distance in zip(rows.itertuples(), off_the_line(rows), strict=True):
            better = rows[rows["psnr_db"] >= row.psnr_db + 0.05].nsmallest(12, "psnr_db")
            if len(better) >= 10 and (better["ssim"] < row.ssim).mean() >= 0.45 and distance > 5:
                suspects.add((row.network, scale, dataset))
    gross = {("CARN", 3, "B100"), ("LCRCA", 4, "B100")}
    assert suspects - gross == {mark for mark in flagged("ssim") if mark[0] == "ECBSR-M16C64"}
    assert len(suspects) == 8
    copies = TABLE[(TABLE["network"] == "ECBSR-M16C64") & (TABLE["scale"] != 3)]
    marks = copies.groupby(["scale", "dataset"])["suspect"].agg(lambda whys: whys.notna().sum())
    assert set(marks) == {0, 2}  # both tables that print it


def growth(params: dict[int, float]) -> tuple[float, float]:
    """The least and the most that (x4 - x3) / (x3 - x2) can be, given that counts are printed rounded."""
    rounding = 5_000 if all(value % 10_000 == 0 for value in params.values()) else 500
    corners = [
        (params[4] + a * rounding - params[3] - b * rounding)
        / (params[3] + b * rounding - params[2] - c * rounding)
        for a in (-1, 1)
        for b in (-1, 1)
        for c in (-1, 1)
    ]
    return min(corners), max(corners)


def test_parameters_that_do_not_grow_with_the_scale_as_a_tail_does_are_marked() -> None:
    """A sub-pixel tail has 4, 9, 16 times the channels of an image; one in steps of 2 has 4, 9, 8 times."""
    odd = set()
    for network in TABLE["network"].unique():
        params = of(network, "params")
        if (
            len(params) < 3 or len(set(params.values())) == 1
        ):  # not printed at all; IDN, CARN: one network for all scales
            continue
        if params[3] - params[2] < 1_001:
            odd.add(network)
            continue
        least, most = growth(params)
        if not (least <= 7 / 5 <= most or least <= -1 / 5 <= most):
            odd.add(network)
    assert odd == {"AFAN-M", "GLADSR", "EFRDN"}
    assert {(network, scale) for network, scale, _ in flagged("params")} == {
        *(("AFAN-M", 3), ("GLADSR", 4), ("EFRDN", 2), ("EFRDN", 3), ("SwinIR-light", 4)),
    }
    least, most = growth(of("DRSAN-48s", "params"))
    assert least <= -1 / 5 <= most  # fewer at x4 than at x3, and yet in order
    gladsr = of("GLADSR", "params")
    assert round((gladsr[3] + 7 / 5 * (gladsr[3] - gladsr[2])) / 1e3) == 834


def test_multi_adds_that_are_the_same_per_input_pixel_at_all_scales_are_marked() -> None:
    """They grow with the tail in every network but two."""
    flat = set()
    for network in TABLE["network"].unique():
        costs = {scale: cost for scale, cost in of(network, "multi_adds").items() if cost == cost}
        if 2 in costs and 4 in costs:
            per_pixel = {scale: cost / LOW_RESOLUTION_PIXELS[scale] for scale, cost in costs.items()}
            if per_pixel[4] < 1.003 * per_pixel[2]:
                flat.add(network)
    assert flat == {"EFRDN", "SwinIR-NG"}
    assert {mark[1] for mark in flagged("multi_adds") if mark[0] == "SwinIR-NG"} == {2}
    assert {(name, scale) for name, scale, _ in flagged("multi_adds") if name == "EFRDN"} == {
        *(("EFRDN", 2), ("EFRDN", 3)),
    }
    # Its two tails have 3 s^2 outputs of 3x3 kernels on 32 channels: so much more at x4, of 484 K.
    assert 2 * 3 * (16 - 4) * 9 * 32 / (of("EFRDN", "multi_adds")[4] / LOW_RESOLUTION_PIXELS[4]) > 0.04


@pytest.mark.parametrize(("scale", "convolutions"), [(2, "105.7"), (3, "47.4"), (4, "27.1")])
def test_fdscsrs_multi_adds_are_its_convolutions_and_three_times_its_transposed_ones(
    scale: int, convolutions: str
) -> None:
    """36 transposed convolutions with 648 weights and stride 2, counted at four times their input's size."""
    too_many = 36 * 3 * 648 * LOW_RESOLUTION_PIXELS[scale]
    printed = of("FDSCSR-S", "multi_adds")[scale]
    assert abs(printed - too_many - float(convolutions) * 1e9) < 0.1e9
    whys = TABLE[(TABLE["network"] == "FDSCSR-S") & (TABLE["scale"] == scale)]["suspect"]
    assert whys.str.contains(f", {convolutions} G without that", regex=False).all()


def test_what_other_papers_print_of_the_same_network_is_told() -> None:
    elsewhere = {  # SMFANet, Table 2; LatticeNet, ECCV 2020
        ("ESRT", "multi_adds", None): (298e9, "298 G"),
        ("SwinIR-light", "multi_adds", None): (65e9, "65 G"),
        ("SwinIR-light", "params", None): (930e3, "930K"),
        ("LatticeNet", "psnr_db", "Set5"): (32.30, "32.30 dB"),
        ("LatticeNet", "ssim", "Urban100"): (0.7873, "0.7873"),
    }
    for (network, column, dataset), (value, words) in elsewhere.items():
        rows = TABLE[(TABLE["network"] == network) & (TABLE["scale"] == 4)]
        rows = rows[rows["reported_in"].str.contains("EFRDN")]
        rows = rows if dataset is None else rows[rows["dataset"] == dataset]
        assert len(rows)
        assert (rows[column] != value).all()
        assert rows["suspect"].str.contains(words, regex=False).all()
        assert {(network, 4, name) for name in rows["dataset"]} <= flagged(column)


def test_nothing_is_marked_without_a_test_above() -> None:
    assert {network for column in COLUMNS for network, _, _ in flagged(column)} == {
        *("CARN", "LCRCA", "FDSCSR-S", "ECBSR-M16C64", "AFAN-M", "GLADSR", "EFRDN", "ESRT"),
        *("SwinIR-light", "SwinIR-NG", "LatticeNet", "ESC-FP"),
    }
    assert {name for name, _, _ in flagged("psnr_db")} == {"FDSCSR-S", "LatticeNet"}


def test_networks_found_by_search_have_the_numbers_that_are_the_yardstick() -> None:
    wanted = {
        "FALSR-A": (1_021e3, 234.7e9, 37.82, 33.55, 32.12),
        "FALSR-B": (326e3, 74.7e9, 37.61, 33.29, 31.97),
        "FALSR-C": (408e3, 93.7e9, 37.66, 33.26, 31.96),
        "ESRN-V": (324e3, 73.4e9, 37.85, 33.42, 32.10),
    }
    for name, (params, multi_adds, *psnr_db) in wanted.items():
        rows = TABLE[(TABLE["network"] == name) & (TABLE["scale"] == 2)].set_index("dataset")
        assert set(rows["params"]) == {params} and set(rows["multi_adds"]) == {multi_adds}
        assert list(rows.loc[["Set5", "Set14", "B100"], "psnr_db"]) == psnr_db


def line(frame: pd.DataFrame, network: str, scale: int, trained_on: str | None = None) -> pd.DataFrame:
    """The numbers of one network, by benchmark set."""
    rows = frame[(frame["network"] == network) & (frame["scale"] == scale)]
    rows = rows if trained_on is None else rows[rows["trained_on"] == trained_on]
    return rows.set_index("dataset")


def test_networks_of_this_decade_have_their_numbers_and_what_they_were_trained_on() -> None:
    wanted = {
        ("SMFANet", "DIV2K"): (197e3, 11e9, [32.25, 28.67, 27.61, 26.19, 30.72]),
        ("SMFANet", "DF2K"): (197e3, 11e9, [32.25, 28.71, 27.64, 26.18, 30.82]),
        ("LKDN", "DF2K"): (322e3, 18.3e9, [32.39, 28.79, 27.69, 26.42, 30.97]),
        ("ESC", "DFLIP"): (968e3, 149.2e9, [32.79, 29.06, 27.85, 27.45, 31.87]),
    }
    for (name, data), (params, multi_adds, psnr_db) in wanted.items():
        rows = line(TABLE, name, 4, data)
        assert set(rows["params"]) == {params} and set(rows["multi_adds"]) == {multi_adds}
        assert list(rows["psnr_db"]) == psnr_db and set(rows["kind"]) == {OWN}
        assert rows["page"].str.match(r"released repository \S+/\S+, \S+, commit [0-9a-f]{7}$").all()
    imdn = TABLE[TABLE["network"] == "IMDN"]  # no table of this decade that was read has it
    assert len(imdn) == 15 and set(imdn["kind"]) == {OTHER}


def test_rfdn_is_our_measurement_of_the_authors_weights_and_says_so() -> None:
    ours = TABLE[TABLE["kind"] == OURS]
    assert list(ours["network"]) == ["RFDN", "RFDN"] and set(ours["scale"]) == {4}
    assert dict(zip(ours["dataset"], ours["psnr_db"], strict=True)) == {"Set5": 32.159, "Set14": 28.645}
    assert set(ours["reported_in"]) == {"measured from the authors' weights"}
    assert ours["page"].str.contains("njulj/RFDN, trained_model/RFDN_AIM.pth").all()


def test_a_number_that_several_tables_print_is_said_once() -> None:
    once = distinct(TABLE)
    identity = ["network", "scale", "dataset", "trained_on"]
    assert not once.duplicated(identity).any()
    # Nothing is lost: every printed number still stands there, once.
    numbers = ["network", "scale", "dataset", "psnr_db"]
    assert set(map(tuple, once[numbers].to_numpy())) == set(map(tuple, TABLE[numbers].to_numpy()))
    # The network's own table leads, and lends nothing but gains what it lacks.
    omni = line(once, "Omni-SR", 4, "DIV2K")
    assert set(omni["table"]) == set(omni["reported_in"]) == {"Wang et al., 2023 (Omni-SR), main table"}
    assert set(omni["multi_adds"]) == {50.9e9}  # as ESC's table prints; its own prints none
    assert line(TABLE, "Omni-SR", 4, "DIV2K").loc["Set5", "multi_adds"].isna().any()
    vapsr = line(once, "VapSR", 4)
    assert set(vapsr["table"]) == {"Zhou et al., 2022 (VapSR), README"}
    elsewhere = vapsr[vapsr["reported_in"] != vapsr["table"]]
    assert list(elsewhere.index) == ["Manga109"]
    assert set(elsewhere["reported_in"]) == {"Xie et al., 2023 (LKDN), README"}


def test_of_two_second_hand_tables_the_one_without_doubts_leads() -> None:
    swin = line(distinct(TABLE), "SwinIR-light", 4)
    assert set(swin["table"]) == {"Zhou et al., 2023 (SRFormer), Table 5"}
    assert set(swin["params"]) == {930e3} and set(swin["trained_on"]) == {"DIV2K"}


def test_other_training_data_and_other_numbers_are_rows_of_their_own() -> None:
    once = distinct(TABLE)
    trainings = once[(once["network"] == "HiT-SRF") & (once["scale"] == 4)]
    assert set(trainings["trained_on"]) == {"DIV2K", "DF2K", "DFLIP"}
    # The README's row at x2 prints no cost: it is the same network, trained on more.
    assert set(line(once, "HiT-SRF", 2, "DF2K")["params"]) == {847e3}
    # One number apart, and it is another training.
    rows = TABLE[(TABLE["network"] == "Omni-SR") & (TABLE["scale"] == 4) & (TABLE["trained_on"] == "DIV2K")]
    changed = rows.copy()
    second = changed["reported_in"].str.contains("ESC") & (changed["dataset"] == "Set5")
    changed.loc[second, "psnr_db"] += 0.01
    assert (len(distinct(rows)), len(distinct(changed))) == (5, 10)
