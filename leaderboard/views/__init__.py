"""Figures of results: each a function that gathers the numbers and one that draws them.

Another view is such a pair and one line in `VIEWS`; a frame that no view had before is one more source in
`leaderboard/sources.py`. Text that a user chose is escaped before it is drawn.
"""

from __future__ import annotations

from typing import Any

from leaderboard.views.benchmarks import BenchmarksInfo, benchmarks_figure, benchmarks_info
from leaderboard.views.curves import CurvesInfo, curves_figure, curves_info
from leaderboard.views.effort import EffortInfo, effort_figure, effort_info
from leaderboard.views.front import (
    FrontInfo,
    budget_words,
    cost_range,
    front_figure,
    front_info,
    front_title,
    front_words,
    psnr_range,
)
from leaderboard.views.fronts import FrontsInfo, fronts_figure, fronts_info
from leaderboard.views.heatmap import HeatmapInfo, heatmap_figure, heatmap_info
from leaderboard.views.importance import ImportanceInfo, importance_figure, importance_info
from leaderboard.views.parallel import ParallelInfo, parallel_figure, parallel_info
from leaderboard.views.parts import PartsInfo, parts_figure, parts_info
from leaderboard.views.points import name_places
from leaderboard.views.progress import HistoryInfo, history_figure, history_info, hypervolume_path
from leaderboard.views.proxies import ProxiesInfo, proxies_figure, proxies_info
from leaderboard.views.rank_correlation import RankCorrelationInfo, agreement_figure, agreement_info
from leaderboard.views.rejects import RejectsInfo, rejects_figure, rejects_info
from leaderboard.views.show import Show, View, budget_of
from leaderboard.views.slices import SlicesInfo, slices_figure, slices_info
from leaderboard.views.style import (
    ACCENT,
    ALARM,
    FADED,
    FONT,
    GRID,
    INK,
    SERIES,
    SETTINGS,
    WARM,
    cost_title,
    escaped,
    protocol_words,
    quality_title,
    quality_words,
    ticks,
)
from leaderboard.views.timeline import TimelineInfo, timeline_figure, timeline_info
from leaderboard.views.tuning import TuningInfo, tuning_figure, tuning_info

__all__ = [
    "ACCENT",
    "ALARM",
    "FADED",
    "FONT",
    "GRID",
    "INK",
    "SERIES",
    "SETTINGS",
    "VIEWS",
    "WARM",
    "BenchmarksInfo",
    "CurvesInfo",
    "EffortInfo",
    "FrontInfo",
    "FrontsInfo",
    "HeatmapInfo",
    "HistoryInfo",
    "ImportanceInfo",
    "ParallelInfo",
    "PartsInfo",
    "ProxiesInfo",
    "RankCorrelationInfo",
    "RejectsInfo",
    "Show",
    "SlicesInfo",
    "TimelineInfo",
    "TuningInfo",
    "View",
    "agreement_figure",
    "agreement_info",
    "benchmarks_figure",
    "benchmarks_info",
    "budget_of",
    "budget_words",
    "cost_range",
    "cost_title",
    "curves_figure",
    "curves_info",
    "effort_figure",
    "effort_info",
    "escaped",
    "front_figure",
    "front_info",
    "front_title",
    "front_words",
    "fronts_figure",
    "fronts_info",
    "heatmap_figure",
    "heatmap_info",
    "history_figure",
    "history_info",
    "hypervolume_path",
    "importance_figure",
    "importance_info",
    "name_places",
    "parallel_figure",
    "parallel_info",
    "parts_figure",
    "parts_info",
    "protocol_words",
    "proxies_figure",
    "proxies_info",
    "psnr_range",
    "quality_title",
    "quality_words",
    "rejects_figure",
    "rejects_info",
    "slices_figure",
    "slices_info",
    "ticks",
    "timeline_figure",
    "timeline_info",
    "tuning_figure",
    "tuning_info",
]

VIEWS: dict[str, View[Any]] = {
    "front": View(
        "Quality against cost",
        front_info,
        front_figure,
        about="Which networks no other one beats in both quality and cost, and how sure that is.",
    ),
    "fronts": View(
        "Study against study",
        fronts_info,
        fronts_figure,
        about="The fronts of several studies under one protocol, with one reference for their hypervolumes.",
    ),
    "benchmarks": View(
        "Benchmark sets",
        benchmarks_info,
        benchmarks_figure,
        source="benchmarks",
        about="What papers report on a benchmark set, and what was measured here.",
    ),
    "history": View(
        "Progress of the search",
        history_info,
        history_figure,
        about="Best quality and hypervolume after each measured candidate.",
    ),
    "effort": View(
        "Hypervolume over training time",
        effort_info,
        effort_figure,
        about="How much front the seconds of training bought; a band for studies that differ by seed.",
    ),
    "importance": View(
        "What matters at fixed cost",
        importance_info,
        importance_figure,
        about="How much each axis says of the quality once cost is accounted for.",
    ),
    "parallel": View(
        "All choices at once",
        parallel_info,
        parallel_figure,
        about="One line a network through all its choices, the greener the better.",
    ),
    "slices": View(
        "Quality by choice",
        slices_info,
        slices_figure,
        about="Quality, and quality at fixed cost, for each option of an axis.",
    ),
    "heatmap": View(
        "Quality by two choices",
        heatmap_info,
        heatmap_figure,
        about="Mean quality at fixed cost for each pair of options of two axes.",
    ),
    "agreement": View(
        "Rank agreement",
        agreement_info,
        agreement_figure,
        about="How far a short training foretells the order after a long one, and one seed that of another.",
    ),
    "proxies": View(
        "Which proxy to trust",
        proxies_info,
        proxies_figure,
        source="calibrations",
        about="How well short trainings rank, and what they resolve, for the seconds that they take.",
    ),
    "tuning": View(
        "Tuning of a plan",
        tuning_info,
        tuning_figure,
        source="tuning",
        about="Gain over bicubic against each tuned field of a training plan, and its settings, best first.",
    ),
    "curves": View(
        "How networks trained",
        curves_info,
        curves_figure,
        source="curves",
        about="Loss and PSNR over the steps of the chosen networks, or of those on the front.",
    ),
    "rejects": View(
        "Proposals over budget",
        rejects_info,
        rejects_figure,
        about="How many proposals were over each limit, and by how much.",
    ),
    "timeline": View(
        "Who trained when",
        timeline_info,
        timeline_figure,
        source="events",
        about="One bar a training by worker and device, with failures and idle time.",
    ),
    "parts": View(
        "What a network spends where",
        parts_info,
        parts_figure,
        source="parts",
        about="Parameters and Multi-Adds of one network by its parts.",
    ),
}
