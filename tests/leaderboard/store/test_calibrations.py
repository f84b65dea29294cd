"""What is known of a protocol stands beside every front under it, whoever found it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leaderboard.sources import SOURCES
from leaderboard.store import Protocol, Store, Study
from leaderboard.store.records import Calibration
from leaderboard.views import Show, front_info, front_words

WORDS = "proxy resolves 0.06 dB, tau 0.78 [0.66, 0.86]"


def calibration(protocol: str, **changes: Any) -> Calibration:
    values: dict[str, Any] = {"protocol_id": protocol, "reference_id": "full", "architectures": 16}
    values |= {"tau": 0.78, "tau_low": 0.66, "tau_high": 0.86, "resolves_db": 0.0604, "study": "ladder"}
    return Calibration(**(values | changes))


def begin(store: Store, name: str = "ladder") -> Study:
    return store.open_study(name, recipe={"ladder": True}, space_digest="5d1f", code_version="0.1.0")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, WORDS),
        ({"resolves_db": None}, "proxy tau 0.78 [0.66, 0.86]"),
        ({"tau_low": None, "tau_high": None}, "proxy resolves 0.06 dB, tau 0.78"),
        ({"tau_low": -0.1}, "proxy resolves 0.06 dB, tau 0.78 [-0.10, 0.86]: no better than chance"),
        ({"tau": None}, "proxy resolves 0.06 dB"),
        ({"tau": None, "resolves_db": None}, "proxy calibrated, and nothing could be said"),
    ],
)
def test_the_words_say_what_is_known(changes: dict[str, Any], words: str) -> None:
    assert calibration("p", **changes).words == words


def test_the_newest_word_on_a_protocol_counts(store: Store) -> None:
    assert store.calibrations() == {} and store.last_calibration() == 0
    first, second = begin(store), begin(store, "again")
    store.record_calibrations(first.id, [calibration("a"), calibration("b")], {"architectures": 16})
    before = store.last_calibration()
    store.record_calibrations(second.id, [calibration("a", tau=0.5)], {"architectures": 9})
    found = store.calibrations()
    assert (found["a"].tau, found["a"].study) == (0.5, "again")
    assert found["b"] == calibration("b")
    assert store.last_calibration() > before > 0
    assert store.calibration_reports()["ladder"] == {"architectures": 16}
    store.record_calibrations(first.id, [calibration("a", tau=0.6)], {"architectures": 17})
    assert store.calibrations()["a"].tau == 0.6
    assert store.calibration_reports()["ladder"] == {"architectures": 17}
    assert store.calibration_reports()["again"] == {"architectures": 9}


def test_only_studies_that_calibrate_are_listened_to_and_nonsense_is_left_out(store: Store) -> None:
    search = store.open_study("search", recipe={}, space_digest="5d1f", code_version="0.1.0")
    store.record_calibrations(search.id, [calibration("a")], {})
    assert store.calibrations() == {}
    study, good = begin(store), vars(calibration("good"))
    entries: list[Any] = [
        *("text", 3, None, {}, {**good, "tau": "high"}, {**good, "protocol_id": 5}),
        *({**good, "architectures": None}, {**good, "resolves_db": [0.1]}, good),
    ]
    store.add_event(study.id, "calibrated", details={"calibrations": entries})
    store.add_event(study.id, "calibrated", details={"calibrations": "none", "report": [1]})
    assert list(store.calibrations()) == ["good"]
    assert store.calibration_reports() == {}


def test_it_goes_where_the_study_goes(store: Store, tmp_path: Path) -> None:
    study = begin(store)
    store.record_calibrations(study.id, [calibration("a")], {"architectures": 16})
    with Store.at(tmp_path / "other.db") as other:
        other.merge(lambda: [store.contents("ladder")])
        assert other.calibrations() == store.calibrations() != {}


def test_every_front_of_the_protocol_says_it(
    tmp_path: Path, fill_store: Callable[..., Study], make_protocol: Callable[..., Protocol]
) -> None:
    with Store.at(tmp_path / "results.db") as store:
        fill_store(store, retrained=3)
        show = Show(study="x4-300k")
        assert len(front_words(front_info(SOURCES["trials"](store, show), show))) == 2
        store.record_calibrations(begin(store).id, [calibration(make_protocol().id)], {})
        frame = SOURCES["trials"](store, show)
        assert front_words(front_info(frame, show))[2] == WORDS
        again = Show(study="x4-300k", protocol=make_protocol("full").id)
        assert len(front_words(front_info(frame, again))) == 2
