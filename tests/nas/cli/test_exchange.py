from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from new_records import propose, record

from leaderboard.store import Protocol, Store
from nas.cli import main

COST = {"params": 1000, "multi_adds": 10**8, "conv_multi_adds": 10**8, "activations": 10**6}
PROXY = Protocol(
    **{"id": "proxy-1", "scale": 4, "plan_name": "proxy", "plan": {"steps": 10}, "data": "photos"},
    **{"data_digest": "9f", "metric": "y_float", "bicubic_psnr_db": 28.0, "bicubic_ssim": 0.8},
)


@pytest.fixture
def nas(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Runs the command in this process: its exit status, and all that it said."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["nas", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


def fill(path: Path, name: str, psnr_db: float = 29.0, recipe: dict[str, Any] | None = None) -> None:
    """One finished and one running trial of a study."""
    with Store.at(path) as store:
        study = store.open_study(name, recipe=recipe or {}, space_digest="5d", code_version="1")
        store.ensure_protocol(PROXY)
        for genotype in ("aaaa", "bbbb"):
            network = {"genotype_id": genotype, "space": "s", "choices": {"width": 8}}
            trial = propose(store, study.id, **network, cost=COST)
            if genotype == "aaaa":
                result = {"psnr_db": psnr_db, "ssim": 0.8, "checkpoint": None}
                record(store, trial.id, genotype_id=genotype, protocol_id="proxy-1", **result)


def test_another_database_is_taken_in_and_what_came_of_it_is_said(tmp_path: Path, nas: Any) -> None:
    fill(tmp_path / "there.db", "demo")
    runs = tmp_path / "runs"
    status, said = nas("import-results", tmp_path / "there.db", "--runs", runs)
    assert status == 0
    assert "took in 2 networks, 1 protocols, 1 evaluations, 1 studies, 1 trials, 3 events" in said
    assert "left out: 1 trials that wait or run there" in said
    status, said = nas("import-results", tmp_path / "there.db", "--runs", runs)
    assert status == 0 and "took in nothing new" in said and "here already: 2 networks" in said
    fill(tmp_path / "other.db", "demo", psnr_db=30.0)
    status, said = nas("import-results", tmp_path / "other.db", "--runs", runs, "--as", "theirs")
    assert status == 0
    assert "with other numbers here, which are kept: 1" in said
    assert "aaaa under proxy-1, seed 0: 29.0000 dB, 0.80000 here, 30.0000 dB, 0.80000 there" in said
    with Store.at(runs / "results.db", read_only=True) as store:
        assert [study.name for study in store.studies()] == ["demo", "theirs"]


def test_a_clash_of_names_is_one_line_that_says_what_to_do(tmp_path: Path, nas: Any) -> None:
    fill(tmp_path / "there.db", "demo", recipe={"scale": 2})
    fill(tmp_path / "runs" / "results.db", "demo", recipe={"scale": 4})
    status, said = nas("import-results", tmp_path / "there.db", "--runs", tmp_path / "runs")
    assert status == 2
    assert said == (
        "nas: run 'demo' is here with another recipe: scale was 4, now 2; take it in under another name "
        "(--as NAME, --prefix TEXT)\n"
    )
    both = ("--as", "a", "--prefix", "b")
    status, said = nas("import-results", tmp_path / "there.db", "--runs", tmp_path / "runs", *both)
    assert (status, said) == (2, "nas: --prefix b and --as a: one of them\n")


def test_trials_are_written_in_the_format_of_the_files_ending(tmp_path: Path, nas: Any) -> None:
    fill(tmp_path / "runs" / "results.db", "demo")
    for ending in ("csv", "parquet", "jsonl"):
        path = tmp_path / f"trials.{ending}"
        status, said = nas("export-results", "demo", "--output", path, "--runs", tmp_path / "runs")
        assert status == 0 and said.startswith(f"wrote 2 trials to {path}")
        assert f"nas import-results {path}" in said
        status, said = nas("import-results", path, "--runs", tmp_path / ending)
        assert status == 0 and "1 trials" in said
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["psnr_db"] == 29.0
    status, said = nas("export-results", "dem", "--output", tmp_path / "a.csv", "--runs", tmp_path / "runs")
    assert (status, said) == (2, "nas: unknown run 'dem'; did you mean 'demo'? (known: demo)\n")
    status, said = nas("export-results", "--output", tmp_path / "a.ods", "--runs", tmp_path / "runs")
    assert status == 2 and "unknown format 'ods' (known: csv, jsonl, parquet)" in said
