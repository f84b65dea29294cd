"""The statistics of a calibration against scipy, brute force, and numbers made with known noise."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from leaderboard.fronts.rank_correlation import spearman
from nas.calibration.rank_correlation import (
    RESOLVED,
    Noise,
    best_half,
    by_images,
    by_seeds,
    kendall,
    noise_of,
    rho_of,
    tau_of,
)


def brute_tau_b(x: list[float], y: list[float]) -> float:
    """By counting pairs, as the definition says."""
    agree = disagree = only_x = only_y = 0
    for i in range(len(x)):
        for j in range(i):
            a, b = (x[i] > x[j]) - (x[i] < x[j]), (y[i] > y[j]) - (y[i] < y[j])
            agree += a * b > 0
            disagree += a * b < 0
            only_x += a != 0 and b == 0
            only_y += a == 0 and b != 0
    one, other = agree + disagree + only_x, agree + disagree + only_y
    return (agree - disagree) / math.sqrt(one * other)


@pytest.mark.parametrize("seed", range(8))
def test_tau_and_rho_are_those_of_scipy_and_of_counting_ties_among_them(seed: int) -> None:
    draw = np.random.default_rng(seed)
    x = draw.integers(0, 6, 12).astype(float)
    y = x + draw.integers(-2, 3, 12)
    assert kendall(x, y) == pytest.approx(brute_tau_b(x.tolist(), y.tolist()))
    assert kendall(x, y) == pytest.approx(stats.kendalltau(x, y, variant="b").statistic)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert tau_of(x, y).value == pytest.approx(kendall(x, y))
    assert rho_of(x, y).value == pytest.approx(spearman(x, y))


def test_tau_by_hand() -> None:
    assert kendall([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(4 / 6)
    assert kendall([1, 2, 3], [3, 2, 1]) == -1
    assert math.isnan(kendall([1, 1, 1], [1, 2, 3]))
    assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))


def test_several_seeds_count_as_the_mean_of_single_trainings() -> None:
    draw = np.random.default_rng(0)
    reference = draw.normal(size=10)
    table = reference[:, None] + draw.normal(0, 0.7, (10, 3))
    for measure, single in ((tau_of, kendall), (rho_of, spearman)):
        alone = [single(column, reference) for column in table.T]
        assert measure(table, reference).value == pytest.approx(np.mean(alone))


def test_architectures_without_a_result_are_left_out() -> None:
    x, y = [1.0, 2.0, math.nan, 3.0, 4.0, 5.0], [1.0, 2.0, 9.0, 4.0, 3.0, math.nan]
    assert tau_of(x, y).value == kendall([1, 2, 3, 4], [1, 2, 4, 3])


def test_few_architectures_get_no_interval_and_two_get_nothing() -> None:
    few = tau_of([1, 2, 3, 4], [1, 2, 3, 4])
    assert few.value == 1 and math.isnan(few.low) and not few.by_chance
    assert math.isnan(tau_of([1, 2], [1, 2]).value) and math.isnan(rho_of([1, 2], [1, 2]).value)
    assert tau_of(np.arange(5), np.arange(5)).low == 1


def test_the_intervals_cover_the_true_value_about_as_often_as_they_say() -> None:
    """Tau of two normals with correlation r is 2 / pi * arcsin(r)."""
    r, covered, draw = 0.8, 0, np.random.default_rng(1)
    truth = 2 / math.pi * math.asin(r)
    for _ in range(60):
        x, y = draw.multivariate_normal([0, 0], [[1, r], [r, 1]], 25).T
        found = tau_of(x, y)
        covered += found.low <= truth <= found.high
    assert covered >= 50


def test_an_order_without_worth_is_called_chance() -> None:
    draw = np.random.default_rng(3)
    assert tau_of(draw.normal(size=16), draw.normal(size=16)).by_chance
    assert not tau_of(np.arange(16.0), np.arange(16.0) ** 2).by_chance


def test_the_same_numbers_give_the_same_intervals() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 12))
    assert tau_of(x, y) == tau_of(x, y) and rho_of(x, y) == rho_of(x, y)


def test_the_better_half_holds_the_middle_one() -> None:
    assert list(best_half([3.0, 5.0, 1.0, 4.0, 2.0])) == [1, 3, 0]


def test_noise_by_hand() -> None:
    """Two architectures, 30.0 and 30.2, and 31.0 and 31.4: squares 0.02 and 0.08, one degree each."""
    noise = noise_of([[30.0, 30.2], [31.0, 31.4]])
    assert noise.sigma_db == pytest.approx(math.sqrt(0.10 / 2)) and noise.degrees == 2
    # The second seed is 0.3 better on average; -0.05 and +0.05 are left, in four numbers, one degree.
    assert noise.shared_sigma_db == pytest.approx(math.sqrt(4 * 0.05**2)) and noise.shared_degrees == 1
    assert noise.resolved_db == pytest.approx(1.96 * math.sqrt(2) * noise.shared_sigma_db)


def test_what_a_seed_does_to_all_does_not_count_between_two_with_the_same_seed() -> None:
    draw = np.random.default_rng(0)
    architecture, patches = draw.normal(0, 1, (400, 1)), draw.normal(0, 0.3, (1, 6))
    noise = noise_of(30 + architecture + patches + draw.normal(0, 0.1, (400, 6)))
    assert noise.shared_sigma_db == pytest.approx(0.1, rel=0.05)
    assert noise.sigma_db > 0.2
    assert noise.between_db == noise.shared_sigma_db


def test_the_interval_of_sigma_is_chi_square_s_and_covers() -> None:
    draw, covered = np.random.default_rng(0), 0
    for _ in range(200):
        noise = noise_of(draw.normal(0, 0.2, (8, 3)))
        covered += noise.low_db <= 0.2 <= noise.high_db
    assert 180 <= covered <= 199


def test_noise_needs_several_seeds_and_takes_what_there_is() -> None:
    single = noise_of([[30.0], [31.0]])
    assert single.degrees == 0 and math.isnan(single.sigma_db) and math.isnan(single.resolved_db)
    holes = noise_of([[30.0, 30.2], [31.0, math.nan], [32.0, 32.2]])
    assert holes.degrees == 2 and holes.shared_degrees == 1 and holes.shared_sigma_db == pytest.approx(0)
    one = noise_of([[30.0, 30.2, 30.4]])
    assert one.degrees == 2 and one.shared_degrees == 0
    assert one.resolved_db == pytest.approx(RESOLVED * 0.2)


def test_a_difference_that_is_resolved_is_seen_by_two_single_trainings() -> None:
    """Of equal architectures 5 % differ by more; of those that differ so much, half do."""
    draw = np.random.default_rng(0)
    noise = Noise(
        sigma_db=0.1, degrees=9, low_db=0.1, high_db=0.1, shared_sigma_db=math.nan, shared_degrees=0
    )
    equal = np.abs(np.diff(draw.normal(0, 0.1, (20_000, 2)))) > noise.resolved_db
    assert equal.mean() == pytest.approx(0.05, abs=0.005)


def test_more_seeds_bring_the_order_nearer_to_the_truth() -> None:
    draw = np.random.default_rng(0)
    truth = np.linspace(0, 1, 40)
    found = by_seeds(truth[:, None] + draw.normal(0, 0.5, (40, 4)), truth)
    assert [count for count, _ in found] == [1, 2, 3, 4]
    assert all(before < after for (_, before), (_, after) in pairwise(found))


def test_fewer_images_have_more_noise_as_the_root_of_their_number() -> None:
    draw = np.random.default_rng(0)
    truth = np.linspace(0, 1, 30)
    scores = truth[:, None, None] + draw.normal(0, 0.4, (30, 3, 16))
    found = by_images(scores, truth, [1, 4, 16])
    sigmas = [noise.between_db for _, noise, _ in found]
    assert sigmas[0] / sigmas[2] == pytest.approx(4, rel=0.25)
    assert sigmas[1] / sigmas[2] == pytest.approx(2, rel=0.25)
    assert found[0][2] < found[1][2] < found[2][2]
    whole = noise_of(scores.mean(axis=2))
    assert sigmas[2] == pytest.approx(whole.between_db)
