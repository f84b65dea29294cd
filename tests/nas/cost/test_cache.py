from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import nas.cost.counting
from nas.cost.budget import Cost
from nas.cost.cache import KnownCosts
from nas.cost.counting import breakdown, cost_of, measure
from nas.samplers import RandomChooser
from search_spaces import Space
from search_spaces.lightweight import Lightweight

KEY = ("lightweight", ("block", 32, "imdb", None), (180, 320))
NUMBERS = (1, 2, 3, 4)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def forgetful(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder, and a counter that remembers nothing from before."""
    monkeypatch.setattr(nas.cost.counting, "_known_parts", {})
    monkeypatch.setattr(nas.cost.counting, "_on_disk", KnownCosts())
    return folder


def test_what_one_process_counted_another_one_knows(folder: Path) -> None:
    known = KnownCosts()
    assert known.get(KEY) is None
    known.put(KEY, NUMBERS, "search_spaces.lightweight")
    assert KnownCosts().get(KEY) == NUMBERS


def test_a_line_that_was_cut_off_or_altered_is_not_believed(folder: Path) -> None:
    known = KnownCosts()
    for width in (16, 24, 32):
        known.put(("lightweight", width), (width, 2, 3, 4), "search_spaces.lightweight")
    (file,) = folder.glob("parts-*.jsonl")
    empty, first, second, third = file.read_text("utf-8").split("\n")
    file.write_text("\n".join([empty, first.replace("16, 2,", "17, 2,"), second, third[:-9]]), "utf-8")
    known.put(("lightweight", 40), NUMBERS, "search_spaces.lightweight")
    found = KnownCosts()
    told = {width: found.get(("lightweight", width)) for width in (16, 24, 32, 40)}
    assert told == {16: None, 24: (24, 2, 3, 4), 32: None, 40: NUMBERS}


@pytest.mark.parametrize(
    ("key", "module"), [(KEY, "my_lab.my_space"), (("lightweight", object()), "search_spaces.lightweight")]
)
def test_parts_of_others_and_keys_without_a_lasting_name_are_not_kept(
    folder: Path, key: tuple[object, ...], module: str
) -> None:
    known = KnownCosts()
    assert known.get(key) is None
    known.put(key, NUMBERS, module)
    assert list(folder.iterdir()) == []


def test_without_a_cache_folder_everything_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAS_CACHE", "off")
    known = KnownCosts()
    known.put(KEY, NUMBERS, "search_spaces.lightweight")
    assert KnownCosts().get(KEY) is None


def test_costs_from_disk_are_those_that_are_counted(forgetful: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    space, chooser = Space(Lightweight), RandomChooser(11)
    drawn = [space.suggest(chooser) for _ in range(6)]
    counted = [cost_of(genotype, 3, (48, 64)) for genotype in drawn]
    monkeypatch.setattr(nas.cost.counting, "_known_parts", {})
    monkeypatch.setattr(nas.cost.counting, "_on_disk", KnownCosts())
    monkeypatch.setattr(nas.cost.counting, "_count", None)  # nothing may be counted again
    assert [cost_of(genotype, 3, (48, 64)) for genotype in drawn] == counted
    monkeypatch.undo()
    built = [measure(lambda g=one: g.build(3), 3, (48, 64)) for one in drawn]  # type: ignore[misc]
    assert built == counted


@pytest.mark.thorough
def test_processes_that_write_at_once_lose_no_line(folder: Path) -> None:
    code = (
        "import sys; from nas.cost.cache import KnownCosts; known = KnownCosts()\n"
        "for i in range(200): known.put(('s', int(sys.argv[1]), i), (i, 1, 2, 3), 'search_spaces.x')"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(number)]) for number in range(3)]
    assert [writer.wait(120) for writer in writers] == [0, 0, 0]
    known = KnownCosts()
    assert all(known.get(("s", number, i)) == (i, 1, 2, 3) for number in range(3) for i in range(200))


def test_a_breakdown_names_the_parts_and_adds_up_to_the_cost() -> None:
    space, chooser = Space(Lightweight), RandomChooser(5)
    for _ in range(6):
        genotype = space.suggest(chooser)
        parts = breakdown(genotype, 4)
        names = [name for name, _, _ in parts]
        assert names[0].startswith("stem, ") and names[-1].startswith("tail, ")
        total = {key: sum(cost.to_dict()[key] for _, _, cost in parts) for key in parts[0][2].to_dict()}
        assert Cost(**total) == cost_of(genotype, 4)
