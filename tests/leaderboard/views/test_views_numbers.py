"""What each view says, against numbers found by hand or by another way."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from leaderboard.fronts.pareto import hypervolume
from leaderboard.fronts.rank_correlation import best_kept, kendall, spearman
from leaderboard.tables.reported import distinct, reported
from leaderboard.tables.window import ALL
from leaderboard.views import (
    VIEWS,
    Show,
    agreement_info,
    benchmarks_info,
    curves_info,
    effort_info,
    front_info,
    fronts_info,
    heatmap_info,
    history_info,
    hypervolume_path,
    importance_info,
    parallel_info,
    parts_info,
    proxies_info,
    rejects_info,
    slices_info,
    timeline_info,
)
from leaderboard.views.axes import at_fixed_cost, between_share, options_of
from leaderboard.views.effort import own_seconds
from leaderboard.views.importance import permutation_importance
from leaderboard.views.points import name_places, thinned

NOON = pd.Timestamp("2026-01-01", tz="UTC")


def trial(number: int, psnr: float | None, cost: float, **changes: Any) -> dict[str, Any]:
    """One row of the frame; costs in the thousands."""
    row = {
        "study": "s",
        "stage": "search",
        "number": number,
        "state": "finished" if psnr is not None else "rejected",
        "genotype": f"g{number}",
        "name": None,
        "seed": 0,
        "rung": 0,
        "scale": 4,
        "params": cost,
        "multi_adds": cost * 1000,
        "conv_multi_adds": cost * 900,
        "activations": cost * 10,
        "protocol": "p",
        "plan": "proxy",
        "data": "photos",
        "metric": "y_float",
        "bicubic_psnr_db": 28.0,
        "bicubic_ssim": 0.8,
        "psnr_db": math.nan if psnr is None else psnr,
        "ssim": math.nan if psnr is None else 0.8 + (psnr - 28.0) / 100,
        "train_seconds": 10.0,
        "trunk_share": 1.0,
        "device": "cpu",
        "excess": {},
        "choices": {"block": "a"},
        "folder": None,
        "finished_at": NOON + pd.Timedelta(seconds=number),
        "family": "f",
    }
    return row | changes


def frame_of(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(list(rows))


SHOW = Show(study="s", cost="params", budget={"params": 10.0})


# Progress


def test_the_path_of_hypervolumes_is_what_computing_each_anew_gives() -> None:
    draw = np.random.default_rng(0)
    for count in (0, 1, 2, 7, 60):
        for steps in (3, 100):  # few values: equal costs and equal qualities
            cost = draw.integers(0, steps, count) / steps * 12
            quality = 27.5 + draw.integers(0, steps, count) / steps * 3
            path = hypervolume_path(cost, quality, cost_limit=10.0, quality_floor=28.0)
            anew = [
                hypervolume(cost[:end], quality[:end], cost_limit=10.0, quality_floor=28.0)
                for end in range(1, count + 1)
            ]
            assert path == pytest.approx(anew)


def test_the_history_by_hand() -> None:
    frame = frame_of(trial(0, 29.0, 4.0), trial(1, None, 50.0), trial(2, 28.5, 5.0), trial(3, 30.0, 6.0))
    steps = history_info(frame, SHOW).steps
    assert list(steps["number"]) == [0, 2, 3]
    assert list(steps["genotype"]) == ["g0", "g2", "g3"]
    assert list(steps["best_psnr_db"]) == [29.0, 29.0, 30.0]
    assert list(steps["hypervolume"]) == [6.0, 6.0, 2.0 + 4.0 * 2.0]  # (6-4)*1 and (10-6)*2


def test_effort_counts_each_second_once_though_rungs_go_on() -> None:
    rows = frame_of(
        trial(0, 29.0, 4.0, train_seconds=10.0),
        trial(1, 29.5, 4.0, genotype="g0", rung=1, protocol="q", train_seconds=25.0),  # 10 of them at rung 0
        trial(2, 28.5, 3.0, train_seconds=12.0),
        trial(3, 29.9, 3.0, genotype="g2", rung=1, protocol="q", train_seconds=9.0),  # began anew
    )
    assert list(own_seconds(rows)) == [10.0, 25.0, 37.0, 46.0]
    info = effort_info(rows, Show(study="s", cost="params", budget={"params": 10.0}))
    path = info.paths["s"]
    assert list(path["seconds"]) == [25.0, 46.0]  # of the longest rung, after all that was spent
    assert list(path["hypervolume"]) == [pytest.approx(9.0), pytest.approx(7 * 1.9)]


def test_effort_counts_the_falls_of_decaying_rungs_on_top_of_their_common_trunk() -> None:
    rows = frame_of(
        trial(0, 29.0, 4.0, train_seconds=12.0, trunk_share=0.75),
        trial(1, 29.5, 4.0, genotype="g0", rung=1, protocol="q", train_seconds=36.0, trunk_share=0.75),
    )
    assert list(own_seconds(rows)) == [12.0, 39.0]  # 9 of the second training's seconds were spent before


def test_studies_that_differ_by_seed_share_a_band_of_quartiles() -> None:
    studies = [
        [trial(0, 28.0 + gain, 5.0, study=name), trial(1, 28.5 + gain, 5.0, study=name, genotype="h")]
        for name, gain in (("a", 1.0), ("b", 2.0), ("c", 4.0))
    ]
    other = trial(0, 29.0, 5.0, study="d", family="else")
    unlike = trial(0, 29.0, 5.0, study="e", protocol="q")
    frame = frame_of(*[row for rows in studies for row in rows], other, unlike)
    show = Show(study="a", studies=("b", "c", "d", "e"), cost="params", budget={"params": 10.0})
    info = effort_info(frame, show)
    assert list(info.bands) == [("a", "b", "c")]
    band = info.bands["a", "b", "c"]
    assert (band["seconds"].iloc[0], band["seconds"].iloc[-1]) == (10.0, 20.0)
    first, last = band.iloc[0], band.iloc[-1]
    assert (first["low"], first["median"], first["high"]) == (7.5, 10.0, 15.0)  # of 5, 10 and 20
    assert (last["low"], last["median"], last["high"]) == (10.0, 12.5, 17.5)  # of 7.5, 12.5 and 22.5
    assert info.refused == ("e is left out: it has no result under this protocol",)
    assert "median and quartiles of 3 seeds" in str(VIEWS["effort"](frame, show).data)


# Fronts


def test_two_fronts_share_one_reference_and_say_who_beats_whom() -> None:
    rows = [
        *(trial(0, 29.0, 4.0), trial(1, 30.0, 6.0), trial(2, 28.5, 7.0)),
        *(trial(0, 29.5, 4.0, study="t", genotype="h0"), trial(1, 29.8, 8.0, study="t", genotype="h1")),
    ]
    info = fronts_info(
        frame_of(*rows), Show(study="s", studies=("t",), cost="params", budget={"params": 10.0})
    )
    first, second = info.fronts
    assert (len(first.front), len(second.front)) == (2, 2)
    assert first.hypervolume == pytest.approx(2 * 1 + 4 * 2)
    assert second.hypervolume == pytest.approx(4 * 1.5 + 2 * 1.8)
    assert (first.covers, second.covers) == ({"t": 0.5}, {"s": 0.5})
    free = fronts_info(frame_of(*rows), Show(study="s", studies=("t",), cost="params"))
    assert free.cost_limit == pytest.approx(8.0 * 1.01)  # the costliest of both


def test_published_networks_of_other_studies_are_references_under_the_same_protocol_only() -> None:
    imdn = trial(0, 29.7, 5.0, study="t", genotype="h0", name="imdn")
    frame = frame_of(
        *(trial(0, 29.0, 4.0), trial(1, 30.0, 6.0, name="own")),
        *(imdn, trial(1, 29.8, 8.0, study="t", genotype="h1")),
        trial(2, 35.0, 3.0, study="t", genotype="h2", name="unlike", protocol="q"),
    )
    info = front_info(frame, Show(study="s", cost="params", studies=("t",)))
    assert list(info.named["name"]) == ["own", "imdn"]
    assert list(info.points["genotype"]) == ["g0", "g1"]  # the reference is no candidate of this study
    assert list(info.front["genotype"]) == ["g0", "g1"]
    figure = VIEWS["front"](frame, Show(study="s", cost="params", studies=("t",)))
    assert [entry[0] for entry in figure.data[-1].customdata] == ["g1", "h0"]


def test_unlike_protocols_are_refused_in_words() -> None:
    rows = [trial(0, 29.0, 4.0), trial(0, 31.0, 4.0, study="t", protocol="q", metric="rgb")]
    same = trial(0, 31.0, 4.0, study="u", protocol="r")
    frame = frame_of(*rows, same, trial(0, None, 4.0, study="v"))
    show = Show(study="s", studies=("t", "u", "v"), cost="params")
    info = fronts_info(frame, show)
    assert [front.study for front in info.fronts] == ["s"]
    told, named, none = info.refused
    assert told == (
        "t is left out: it was measured under x4, plan proxy on photos, metric rgb, "
        "not under x4, plan proxy on photos, metric y_float"
    )
    assert "(r), not under" in named  # the words agree: the ids tell them apart
    assert named.endswith("(p)")
    assert none == "v has measured nothing yet"
    figure = VIEWS["fronts"](frame, show)
    assert not figure.data
    assert "t is left out" in figure.layout.annotations[0].text


# Choices


def test_what_cost_explains_is_taken_away() -> None:
    cost = np.array([10.0, 100.0, 1000.0, 10.0, 100.0, 1000.0])
    extra = np.array([0.1, 0.1, 0.1, -0.1, -0.1, -0.1])
    residual, explained = at_fixed_cost(cost, 2.0 * np.log10(cost) + extra)
    assert residual == pytest.approx(extra)
    assert explained == pytest.approx(1 - 0.06 / (16 + 0.06))
    same, none = at_fixed_cost([5.0, 5.0, 5.0], [1.0, 2.0, 3.0])
    assert same == pytest.approx([-1.0, 0.0, 1.0])
    assert none == pytest.approx(0.0)
    cost = np.logspace(1, 3, 30)
    curved, _ = at_fixed_cost(cost, 3 * np.log10(cost) - np.log10(cost) ** 2)
    assert curved == pytest.approx(np.zeros(30), abs=1e-9)


def test_choices_become_columns_of_texts_in_order() -> None:
    options, order = options_of(
        [
            {"width": 16, "block": "imdb", "share": True, "same": 1, "tail": {"kernel": 3}, "mix": [3, 5]},
            {"width": 8, "block": None, "share": False, "same": 1, "tail": {"kernel": 5}},
        ]
    )
    assert order == {
        "width": ["8", "16"],
        "block": ["none", "imdb"],
        "share": ["none", "yes"],
        "tail kernel": ["3", "5"],
        "mix": ["none", "3+5"],
    }
    assert list(options["block"]) == ["imdb", "none"]
    _, grouped = options_of([{"lr": value} for value in range(50)])
    assert len(grouped["lr"]) == 5
    assert grouped["lr"][0] == "0-9"


def test_the_share_between_options_is_eta_squared_less_chance() -> None:
    values = np.array([1.0, 2.0, 5.0, 6.0])
    eta = 16.0 / 17.0  # between 1.5 and 5.5: 4 * 2**2 of 17
    assert between_share(pd.Series(list("aabb")), values) == pytest.approx((eta - 1 / 3) / (2 / 3))
    draw = np.random.default_rng(0)
    noise = [between_share(pd.Series(draw.integers(0, 6, 40)), draw.normal(size=40)) for _ in range(300)]
    assert abs(np.mean(noise)) < 0.02


def study_of(count: int, effect: float = 0.2, seed: int = 0) -> pd.DataFrame:
    """Networks whose PSNR is cost, an effect of the block, none of the kernel, and a little noise."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        block, kernel, width = (
            draw.choice(["a", "b", "c"]),
            draw.choice(["3x3", "5x5"]),
            draw.choice([8, 16, 32]),
        )
        psnr = 29 + math.log10(width) + effect * (block == "b") + draw.normal(0, 0.02)
        choices = {"block": str(block), "kernel": str(kernel), "width": int(width), "skip": "x"}
        rows.append(trial(number, psnr, float(width * 100), choices=choices))
    return pd.DataFrame(rows)


def test_importance_finds_the_choice_that_matters_and_no_other() -> None:
    info = importance_info(study_of(150), Show(study="s", cost="params"))
    assert info.axes["axis"].iloc[0] == "block"
    assert set(info.axes["axis"]) == {"block", "kernel", "width"}
    first, others = info.axes.iloc[0], info.axes.iloc[1:]
    assert first["low"] > 0.5
    assert (others["high"] < 0.1).all()
    assert info.skill > 0.8
    assert (info.networks, info.used, first["options"]) == (150, 150, 3)
    assert importance_info(study_of(150), Show(study="s", cost="params")).axes.equals(info.axes)


def test_importance_of_an_axis_is_twice_its_variance_share_where_it_is_all() -> None:
    """Shuffling the only axis makes answer and truth independent: the error grows by twice the variance."""
    codes = np.tile(np.array([[0, 0], [1, 0], [0, 1], [1, 1]]), (60, 1))
    target = codes[:, 0].astype(float)
    skill, growth = permutation_importance(codes, target)
    assert skill > 0.99
    assert growth.mean(axis=0) == pytest.approx([2.0, 0.0], abs=0.12)
    pairs = (codes[:, 0] != codes[:, 1]).astype(float)  # neither says anything alone
    skill, growth = permutation_importance(codes, pairs)
    assert skill > 0.99
    assert growth.mean(axis=0) == pytest.approx([2.0, 2.0], abs=0.12)


def test_importance_is_refused_below_enough_networks_and_where_nothing_is_foretold() -> None:
    show = Show(study="s", cost="params")
    few = study_of(24)
    assert importance_info(few, show).axes.empty
    assert (
        "24 networks are measured; importance needs 25"
        in VIEWS["importance"](few, show).layout.annotations[0].text
    )
    noise = study_of(80, effect=0.0)
    assert importance_info(noise, show).skill <= 0.05
    shuffled = noise.assign(psnr_db=np.random.default_rng(3).normal(30, 0.1, 80))
    if importance_info(shuffled, show).skill <= 0:
        assert "read no importance" in VIEWS["importance"](shuffled, show).layout.title.subtitle.text
    many = study_of(1000)
    assert (importance_info(many, show).networks, importance_info(many, show).used) == (1000, 800)


def test_slices_hold_the_five_numbers_of_each_option() -> None:
    frame = study_of(60)
    info = slices_info(frame, Show(study="s", cost="params"))
    assert info.axes[0] == "block"
    rows = frame[[choices["block"] == "b" for choices in frame["choices"]]]["psnr_db"]
    boxes = info.boxes.set_index(["axis", "option", "value"])
    box = boxes.loc[("block", "b", "psnr_db")]
    assert list(box[["count", "least", "q1", "median", "q3", "most"]]) == pytest.approx(
        [len(rows), rows.min(), rows.quantile(0.25), rows.median(), rows.quantile(0.75), rows.max()]
    )
    left = boxes.loc[("block", "b", "residual")]["median"] - boxes.loc[("block", "a", "residual")]["median"]
    assert left == pytest.approx(0.2, abs=0.03)
    assert slices_info(frame, Show(study="s", axes=("kernel",))).axes == ("kernel",)


def test_the_heatmap_holds_means_and_counts_of_pairs() -> None:
    frame = study_of(80)
    info = heatmap_info(frame, Show(study="s", cost="params", axes=("block", "kernel")))
    assert info.axes == ("block", "kernel")
    assert info.counts.to_numpy().sum() == 80
    cell = [
        place
        for place, choices in enumerate(frame["choices"])
        if choices["block"] == "b" and choices["kernel"] == "3x3"
    ]
    assert info.counts.loc["3x3", "b"] == len(cell)
    residual, _ = at_fixed_cost(frame["params"], frame["psnr_db"])
    assert info.means.loc["3x3", "b"] == pytest.approx(residual[cell].mean())
    assert heatmap_info(frame, Show(study="s", cost="params", axes=("kernel",))).axes == ("kernel", "block")


def test_parallel_lines_of_a_large_study_keep_the_front_and_a_spread() -> None:
    frame = study_of(4000)
    info = parallel_info(frame, Show(study="s", cost="params"))
    points = info.choices.points
    assert len(info.shown) <= 1500
    assert set(points.index[points["on_front"]]) <= set(info.shown)
    assert points.loc[list(info.shown), "psnr_db"].min() == points["psnr_db"].min()
    chosen = parallel_info(frame, Show(study="s", genotypes=("g5", "g7")))
    assert set(points.loc[list(chosen.shown), "genotype"]) == {"g5", "g7"}


# RankCorrelation


@pytest.mark.parametrize("levels", [4, 1000])
def test_rank_agreement_is_scipys(levels: int) -> None:
    draw = np.random.default_rng(1)
    x = draw.integers(0, levels, 60).astype(float)
    y = x + draw.integers(0, levels, 60)
    tau, low, high = kendall(x, y)
    assert tau == pytest.approx(stats.kendalltau(x, y).statistic)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert low < tau < high
    drawn = [
        stats.kendalltau(x[some], y[some]).statistic
        for some in np.random.default_rng(2).integers(0, 60, (600, 60))
    ]
    assert (low, high) == pytest.approx(tuple(np.quantile(drawn, (0.025, 0.975))), abs=0.05)


def test_agreement_without_order_is_no_number() -> None:
    assert all(math.isnan(value) for value in kendall([1.0, 1.0], [1.0, 2.0]))
    assert math.isnan(spearman([1.0, 1.0], [1.0, 2.0]))
    assert best_kept([4, 3, 2, 1, 0, 0, 0, 0], [9, 0, 8, 7, 0, 0, 0, 0]) == 0.5


def test_fidelities_are_paired_by_network_rungs_before_seeds() -> None:
    rows = []
    for number in range(8):
        rows.append(trial(number, 29.0 + number / 10, 4.0))
        rung = {"rung": 1, "protocol": "q", "genotype": f"g{number}"}
        rows.append(trial(20 + number, 30.0 + number / 10, 4.0, **rung))
        rows.append(trial(40 + number, 30.0 - number / 10, 4.0, stage="seeds", seed=1, **rung))
    info = agreement_info(pd.DataFrame(rows), Show(study="s", protocol="q"))
    rungs, seeds = info.pairs
    assert (rungs.first, rungs.second) == ("proxy rung 0", "proxy rung 1")
    assert list(rungs.points["second"]) == pytest.approx([30.0] * 8)  # means over both seeds
    assert (seeds.first, seeds.second, seeds.tau) == ("proxy rung 1, seed 0", "proxy rung 1, seed 1", -1.0)
    assert (seeds.low, seeds.high) == (-1.0, -1.0)
    few = agreement_info(pd.DataFrame(rows[:9]), Show(study="s"))
    assert (few.pairs, few.most) == ((), 3)
    assert (
        "share 3 networks at most"
        in VIEWS["agreement"](pd.DataFrame(rows[:9]), Show(study="s")).layout.annotations[0].text
    )


# Curves, timeline, parts, rejects, benchmarks


def test_curves_are_of_the_chosen_networks_best_first() -> None:
    rows = [
        {"genotype": genotype, "seed": seed, "stage": "search", "rung": 0, "protocol": "p", "step": step}
        | {"loss": 1 / step, "psnr_db": reached if step == 100 else measured, "reached_psnr_db": reached}
        | {"name": None, "scale": 4, "plan": "proxy", "data": "photos", "metric": "y_float"}
        for genotype, seed, reached, measured in (
            ("a", 0, 29.0, math.nan),
            ("b", 0, 30.0, 29.5),
            ("b", 1, 30.4, 29),
        )
        for step in (100, 50)
    ]
    info = curves_info(pd.DataFrame(rows), Show(study="s"))
    assert [(line.genotype, line.seed, line.reached) for line in info.lines] == [
        *(("b", 0, 30.0), ("b", 1, 30.4), ("a", 0, 29.0)),
    ]
    assert list(info.lines[0].rows["step"]) == [50, 100]
    assert info.on_the_way
    alone = curves_info(pd.DataFrame(rows), Show(study="s", genotypes=("a",)))
    assert [line.genotype for line in alone.lines] == ["a"]
    assert not alone.on_the_way
    figure = VIEWS["curves"](pd.DataFrame(rows), Show(study="s"))
    assert [trace.name for trace in figure.data if trace.showlegend] == [
        "b: 30.20 dB (2 seeds)",
        "a: 29.00 dB",
    ]


def event(number: int, kind: str, seconds: float, trial: float = math.nan, **changes: Any) -> dict[str, Any]:
    row = {"id": number, "kind": kind, "at": NOON, "seconds": seconds, "trial": trial, "stage": "search"}
    row |= {
        "number": trial,
        "genotype": f"g{trial:g}",
        "seed": 0.0,
        "rung": 0.0,
        "worker": None,
        "device": None,
    }
    return row | {"details": {}} | changes


def test_the_timeline_by_hand() -> None:
    owner, first, second = (
        {"worker": "host"},
        {"worker": "w1", "device": "cpu"},
        {"worker": "w2", "device": "cpu"},
    )
    events = [
        event(1, "search_started", 0.0),
        event(2, "started", 0.0, 0.0, **owner),
        event(3, "started", 0.0, 1.0, **owner),
        event(4, "started", 5.0, 2.0, **owner),  # waits for w1
        event(5, "finished", 10.0, 0.0, **first),
        event(6, "failed", 20.0, 1.0, worker="w2", details={"failure": "error", "reason": "it broke"}),
        event(7, "finished", 40.0, 2.0, rung=1.0, **first),
        event(8, "started", 40.0, 3.0, **owner),
        event(9, "taken_over", 60.0, 3.0, worker="other"),
        event(10, "finished", 70.0, 3.0, **second),
        event(11, "started", 70.0, 4.0, **owner),
        event(12, "search_ended", 80.0),
    ]
    info = timeline_info(pd.DataFrame(events), Show(study="s"))
    bars = info.bars.set_index(["number", "outcome"])
    assert tuple(bars.loc[(0, "finished"), ["lane", "start", "end"]]) == ("w1, cpu", 0.0, 10.0)
    assert tuple(bars.loc[(2, "finished"), ["lane", "start", "end"]]) == ("w1, cpu", 10.0, 40.0)
    assert tuple(bars.loc[(1, "failed"), ["lane", "start", "end"]]) == ("w2, cpu", 0.0, 20.0)
    assert bars.loc[(1, "failed"), "said"] == "it broke"
    assert tuple(bars.loc[(3, "taken_over"), ["lane", "start", "end"]]) == ("host", 40.0, 60.0)
    assert tuple(bars.loc[(3, "finished"), ["lane", "start", "end"]]) == ("w2, cpu", 60.0, 70.0)
    assert tuple(bars.loc[(4, "running"), ["lane", "start", "end"]]) == ("host", 70.0, 80.0)
    assert info.sessions == ((0.0, 80.0),)
    assert info.idle["w1, cpu"] == pytest.approx(0.5)
    assert info.idle["w2, cpu"] == pytest.approx(1 - 30 / 80)
    text = str(VIEWS["timeline"](pd.DataFrame(events), Show(study="s")).layout.title.subtitle.text)
    assert "6 trainings begun: 3 finished, 1 failed, 1 lost and taken over, 1 running" in text


def test_a_search_that_was_killed_ends_with_its_last_event() -> None:
    events = [event(1, "search_started", 0.0), event(2, "started", 1.0, 0.0, worker="w")]
    events += [event(3, "finished", 9.0, 0.0, worker="w", device="cpu"), event(4, "search_started", 100.0)]
    events += [
        event(5, "started", 100.0, 1.0, worker="w"),
        event(6, "finished", 120.0, 1.0, worker="w", device="cpu"),
    ]
    info = timeline_info(pd.DataFrame(events), Show(study="s"))
    assert info.sessions == ((0.0, 9.0), (100.0, 120.0))
    assert info.idle == {"w, cpu": pytest.approx(1 - 28 / 29)}


def test_a_very_long_timeline_draws_the_last_trainings_and_says_so() -> None:
    events = []
    for number in range(3000):
        events.append(event(2 * number, "started", float(number), float(number), worker="w"))
        events.append(
            event(2 * number + 1, "finished", number + 0.5, float(number), worker="w", device="cpu")
        )
    figure = VIEWS["timeline"](pd.DataFrame(events), Show(study="s"))
    assert sum(len(trace.x) for trace in figure.data) == 2500
    assert "the last 2,500 are drawn" in figure.layout.title.subtitle.text


def test_the_parts_of_a_network_and_their_shares() -> None:
    parts = pd.DataFrame(
        {
            "part": ["stem", "block"],
            "copies": [1, 4],
            "uses": [1, 2],
            "params": [100, 300],
            "multi_adds": [10, 90],
            "conv_multi_adds": [10, 30],
            "activations": [1, 3],
            "genotype": "g",
            "words": "w",
            "scale": 4,
        }
    )
    info = parts_info(parts, Show(study="s"))
    assert info.costs == ("params", "multi_adds")
    assert list(info.parts["params_share"]) == [0.25, 0.75]
    assert list(info.parts["multi_adds_share"]) == [0.1, 0.9]
    assert parts_info(parts, Show(study="s", cost="conv_multi_adds")).costs == ("params", "conv_multi_adds")
    figure = VIEWS["parts"](parts, Show(study="s"))
    assert list(figure.data[0].y) == ["1. stem", "2. block (4 copies, used 2 times)"]
    assert list(figure.data[0].text) == ["100 (25%)", "300 (75%)"]


def test_rejects_are_counted_for_each_limit() -> None:
    frame = frame_of(
        trial(0, 29.0, 4.0),
        trial(1, None, 50.0, excess={"params": 0.5}),
        trial(2, None, 50.0, excess={"params": 0.1, "multi_adds": 1.0}),
        trial(3, None, 50.0, excess={"params": 0.3}),
        trial(4, None, 50.0, excess={"params": 0.3}),
    )
    frame.at[4, "excess"] = {}  # inside the budget since its cost was counted again
    info = rejects_info(frame, SHOW)
    assert (info.rejected, info.proposed) == (3, 5)
    assert info.limits.to_dict("records") == [
        {"limit": "params", "count": 3, "median_over": pytest.approx(0.3)},
        {"limit": "multi_adds", "count": 1, "median_over": pytest.approx(1.0)},
    ]


def number(origin: str, network: str, psnr: float, **changes: Any) -> dict[str, Any]:
    row = {"origin": origin, "network": network, "genotype": None, "name": None, "weights": "", "scale": 4}
    row |= {"benchmark": "Set5", "metric": "as reported" if origin == "reported" else "y_float"}
    row |= {"low_resolution": "read", "psnr_db": psnr, "ssim": 0.9, "params": 1e5, "multi_adds": 5e9}
    row |= {"conv_multi_adds": 4e9 if origin == "measured" else math.nan, "stage": None, "plan": None}
    row |= {"reported_in": None, "page": None, "suspect": None, "trained_on": None, "kind": None}
    return row | changes


def test_reported_and_measured_numbers_stand_apart() -> None:
    frame = pd.DataFrame(
        [
            number("reported", "IMDN", 32.21, reported_in="Table 1"),
            number("reported", "ODD", 33.0, suspect="psnr_db: too good; params: too few"),
            number("reported", "COSTLY", 32.0, suspect="multi_adds: counted twice"),
            number("measured", "imdn", 32.2, genotype="g1"),
            number("measured", "imdn", 32.1, genotype="g1", metric="y_uint8"),
            number("measured", "bicubic", 28.4),
            number("measured", "unknown", 31.0, params=math.nan),
            number("measured", "imdn", 27.0, benchmark="Set14"),
        ]
    )
    info = benchmarks_info(frame, Show(study="s", cost="params"))
    assert (info.benchmark, info.scale, info.left_out) == ("Set5", 4, 1)
    assert info.bicubic == {"y_float": 28.4}
    doubts = dict(zip(info.points["label"], info.points["suspect"], strict=True))
    assert doubts["ODD"] == "too good; too few"
    assert not isinstance(doubts["COSTLY"], str)  # its parameters and PSNR are not in doubt
    figure = VIEWS["benchmarks"](frame, Show(study="s", cost="params"))
    assert [trace.name for trace in figure.data] == [
        "reported, metric as in the paper",
        "reported, suspected misprint",
        "measured, y_float",
        "measured, y_uint8",
    ]
    assert "reported in Table 1" in "".join(figure.data[0].hovertext)
    conv = benchmarks_info(frame, Show(study="s", cost="conv_multi_adds")).points.set_index("label")
    assert conv.loc["IMDN", "x"] == 5e9  # as printed
    assert set(conv.loc["imdn", "x"]) == {4e9}
    assert conv.loc["COSTLY", "suspect"] == "counted twice"
    assert benchmarks_info(frame, Show(study="s", benchmark="Set14")).benchmark == "Set14"


def published(*measured: dict[str, Any]) -> pd.DataFrame:
    """The papers' rows of this package, and some measured ones, as the source `benchmarks` has them."""
    papers = distinct(reported()).rename(columns={"dataset": "benchmark"})
    papers = papers.assign(origin="reported", metric="as reported", name=None, genotype=None, stage=None)
    papers = papers.assign(plan=None, low_resolution=None, conv_multi_adds=math.nan)
    return pd.concat([papers, pd.DataFrame(list(measured))], ignore_index=True)


MINE = number("measured", "mine", 31.9, params=320e3, conv_multi_adds=18e9, trained_on="folder:T91")


def test_reported_networks_near_the_measured_cost_are_shown_and_told_what_they_were_trained_on() -> None:
    show = Show(study="s", cost="params", benchmark="Set5", scale=4)
    info = benchmarks_info(published(MINE), show)
    labels = set(info.points["label"])
    assert {"mine", "LKDN", "VapSR", "BSRN", "SAFMN"} <= labels
    assert not {"CARN", "SwinIR-light", "ESC"} & labels
    assert 13 <= len(info.points) <= 15 and info.farther > 40
    figure = VIEWS["benchmarks"](published(MINE), show)
    hovers = [text for trace in figure.data for text in trace.hovertext]
    assert any("LKDN" in text and "trained on DF2K" in text for text in hovers)
    assert any("mine" in text and "trained on folder:T91" in text for text in hovers)
    assert any("HNCT" in text and "training data not stated" in text for text in hovers)
    words = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert f"near in cost ({info.farther} others not shown), 1 measured" in words
    everything = benchmarks_info(published(MINE), replace(show, near=ALL))
    assert everything.farther == 0 and {"CARN", "ESC", "RFDN"} <= set(everything.points["label"])
    doubled = benchmarks_info(published(MINE), replace(show, near=1.2)).points
    assert doubled["x"].between(320e3 / 1.2, 320e3 * 1.2).all() and len(doubled) > 1
    names = [trace.name for trace in VIEWS["benchmarks"](published(MINE), replace(show, near=ALL)).data]
    assert "authors' weights, measured by us" in names
    # Nothing measured: nothing to be near to.
    assert benchmarks_info(published(), show).farther == 0


def test_misprints_and_outliers_do_not_stretch_the_axis() -> None:
    show = Show(study="s", cost="params", benchmark="Set14", scale=3, near=ALL)
    figure = VIEWS["benchmarks"](published(), show)
    bottom, top = figure.layout.yaxis.range
    assert top < 31.3  # FDSCSR-S prints 33.37, ESC 30.97
    assert bottom > 29.5
    words = figure.layout.title.subtitle.text.replace("<br>", " ")
    assert "1 beyond the axis (double-click shows all)" in words
    ssim = VIEWS["benchmarks"](published(), replace(show, benchmark="Manga109", quality="ssim"))
    assert ssim.layout.yaxis.range[0] > 0.93  # ESC-FP prints 0.8706
    # A failed training is an outlier among measured ones; networks trained shortly are not.
    mine = [{**MINE, "benchmark": "Set14", "scale": 3, "psnr_db": psnr} for psnr in (29.2, 29.3, 29.4, 29.5)]
    failed = {**mine[0], "psnr_db": 9.0}
    low = VIEWS["benchmarks"](published(*mine, failed), show).layout.yaxis.range[0]
    assert 28.9 < low < 29.2


# Points


def test_a_huge_cloud_is_thinned_to_its_outline() -> None:
    draw = np.random.default_rng(0)
    cost, quality = 10 ** draw.uniform(4, 6, 100_000), draw.uniform(28, 31, 100_000)
    kept = thinned(cost, quality)
    assert 1000 < kept.sum() < 25_000
    assert kept[np.argmax(quality)]
    assert thinned(cost[:2000], quality[:2000]).all()
    rows = pd.concat([pd.DataFrame([trial(0, 29.0, 4.0)])] * 6000, ignore_index=True)
    rows = rows.assign(
        genotype=[f"g{row}" for row in range(6000)],
        params=cost[:6000],
        psnr_db=quality[:6000],
        number=range(6000),
    )
    figure = VIEWS["front"](rows, Show(study="s", cost="params"))
    assert figure.data[0].type == "scattergl"
    assert f"{len(figure.data[0].x):,} of" in figure.layout.title.subtitle.text


def test_names_cover_neither_each_other_nor_leave_the_axes() -> None:
    ranges = ((0.0, 1.0), (0.0, 1.0))
    places = name_places([0.5, 0.501, 0.99], [0.5, 0.5, 0.99], ["first", "second", "third"], ranges=ranges)
    assert places[0] == "top center"
    assert places[1] not in (None, "top center")
    assert places[2] in ("middle left", "bottom center", None, "top left")
    crowd = name_places([0.5] * 40, [0.5] * 40, ["a long name"] * 40, ranges=ranges)
    assert crowd.count(None) > 30


# Proxies


def calibrated(study: str, reference: str = "long", **changes: Any) -> dict[str, Any]:
    """One row of the source `calibrations`."""
    row: dict[str, Any] = {
        "study": study,
        "kind": "rung",
        "scale": 4.0,
        "data": "photos",
        "device": "cpu",
        "reference": reference,
        "reference_plan": "longer",
        "reference_steps": 4000.0,
        "plan": "steady",
        "steps": 100.0,
        "protocol": "p",
        "seconds": 3.0,
        "tau": 0.7,
        "tau_low": 0.5,
        "tau_high": 0.8,
        "resolves_db": 0.2,
        "architectures": 16.0,
        "own": False,
    }
    return row | changes


def test_proxies_are_compared_against_one_reference_only() -> None:
    frame = frame_of(
        calibrated("a", own=True),
        calibrated("a", steps=400.0, seconds=12.0, tau=0.9, tau_low=math.nan, tau_high=math.nan),
        calibrated("b", tau=math.nan),  # nothing could be said
        calibrated("c", tau=0.4, tau_low=0.1),
        calibrated("d", "another", tau=0.99),
        calibrated("a", kind="free", plan="params", tau=0.5, seconds=math.nan),
        calibrated("a", kind="free", plan="conv_multi_adds", tau=0.49, seconds=math.nan),
        calibrated("a", kind="free", plan="zico", tau=math.nan, seconds=math.nan),
    )
    info = proxies_info(frame, Show(study="a"))
    assert list(info.rungs["study"]) == ["a", "a", "c"]
    assert list(info.rungs["tau"]) == [0.7, 0.9, 0.4]
    assert list(info.free["plan"]) == ["params", "conv_multi_adds"]
    assert info.others == 1
    assert (
        info.reference == "Against longer, 4,000 steps (protocol long), x4 on photos, 16 architectures, cpu"
    )
    figure = VIEWS["proxies"](frame, Show(study="a"))
    assert "Left out, since their reference is another one: 1" in figure.layout.title.subtitle.text
    ranks, resolved = figure.data[0], figure.data[1]
    assert list(ranks.y) == [0.7, 0.9] and list(ranks.x) == [3.0, 12.0]
    assert list(ranks.error_y.array) == [pytest.approx(0.1), None]
    assert list(ranks.error_y.arrayminus) == [pytest.approx(0.2), None]
    assert list(resolved.y) == [0.2, 0.2]
    free = [(trace.name, trace.y[0]) for trace in figure.data if "untrained" in trace.name]
    assert free == [("params, untrained: 0.50", 0.5), ("conv multi adds, untrained: 0.49", 0.49)]
