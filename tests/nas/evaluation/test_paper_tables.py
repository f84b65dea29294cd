"""`nas evaluate --table` and `--self-ensemble`, over real weights and images."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from new_records import propose
from PIL import Image

from leaderboard.store import Store
from leaderboard.tables.reported import distinct, reported
from nas.cli import main
from nas.cost.counting import cost_of
from nas.training.checkpoint import save_weights
from search_spaces.lightweight import Lightweight

Nas = Callable[..., tuple[int, str, str]]

TINY = Lightweight(
    **{"width": 16, "blocks": 1, "block": "residual", "attention": "none", "kernel": "3x3"},
    **{"aggregation": "plain", "transformers": 1, "skip": "bicubic"},
)


@pytest.fixture
def nas(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Nas:
    """Runs `nas evaluate` in this process: status, standard output, standard error."""
    monkeypatch.delenv("NAS_DATA", raising=False)

    def run(*words: str) -> tuple[int, str, str]:
        options = ["--runs", str(tmp_path), "--device", "cpu"]
        monkeypatch.setattr("sys.argv", ["nas", "evaluate", *words, *options])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def files(tmp_path: Path) -> dict[int, str]:
    """Weights of one network at x2 and x4, and small sets called Set5 and Set14."""
    for name in ("Set5", "Set14"):
        (tmp_path / "sets" / name).mkdir(parents=True)
        pixels = np.random.default_rng(len(name)).integers(0, 256, (9, 12, 3), dtype=np.uint8)
        image = Image.fromarray(pixels).resize((96, 72), Image.Resampling.BICUBIC)
        image.save(tmp_path / "sets" / name / "a.png")
    made = {}
    for scale in (2, 4):
        torch.manual_seed(scale)
        path = tmp_path / f"x{scale}.safetensors"
        about = {"space": TINY.space, "choices": TINY.to_dict(), "scale": scale}
        save_weights(path, TINY.build(scale).state_dict(), about)
        made[scale] = str(path)
    return made


def data(tmp_path: Path) -> tuple[str, str]:
    return "--data-dir", str(tmp_path / "sets")


def keep_cost(tmp_path: Path, scale: int) -> None:
    """What a search would have kept of the network: its cost."""
    with Store.at(tmp_path / "results.db") as store:
        known = {study.name for study in store.studies()}
        if "run" not in known:
            store.open_study("run", recipe={}, space_digest="s", code_version="0")
        propose(
            store,
            store.study("run").id,
            **{"genotype_id": TINY.id, "space": TINY.space, "choices": TINY.to_dict()},
            **{"scale": scale, "cost": cost_of(TINY, scale).to_dict()},
            **{"state": "rejected", "excess": {"params": 1.0}},
        )


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_the_table_has_a_network_at_all_its_scales_among_the_published_ones(
    files: dict[int, str], nas: Nas, tmp_path: Path
) -> None:
    keep_cost(tmp_path, 2)  # that of x4 is counted for the table
    every = ("--table", "--format", "csv", "--near", "all")
    status, text, said = nas(*files.values(), "bicubic", *every, *data(tmp_path))
    assert status == 0 and said.endswith("x2: All 62 reported rows.\nx4: All 68 reported rows.\n")
    rows = table(text)
    papers = distinct(reported()).fillna({"trained_on": ""})
    papers = papers.drop_duplicates(["network", "scale", "table", "trained_on"])
    for scale in (2, 4):
        here = [row for row in rows if row["scale"] == str(scale)]
        names = [row["method"] for row in here]
        assert {TINY.id, "bicubic", "IMDN", "EFRDN"} <= set(names)
        assert len(names) == len(papers[papers["scale"] == scale]) + 2
        params = [float(row["params"]) for row in here if row["params"]]
        assert params == sorted(params)
    mine, larger = (row for row in rows if row["method"] == TINY.id)
    for row, scale in ((mine, 2), (larger, 4)):
        cost = cost_of(TINY, scale)
        assert (float(row["params"]), float(row["multi_adds"])) == (cost.params, cost.multi_adds)
        assert float(row["conv_multi_adds"]) == cost.conv_multi_adds < cost.multi_adds
    with Store.at(tmp_path / "results.db") as store:
        kept = {(one.benchmark, one.scale): one.psnr_db for one in store.measurements(TINY.id)}
    assert float(mine["Set5 psnr_db"]) == pytest.approx(kept["Set5", 2], abs=1e-9)
    # The table alone needs neither images nor weights.
    Path(files[2]).unlink(), Path(files[4]).unlink()
    assert nas(TINY.id[:8], "--table", "--format", "csv")[1].count(TINY.id) == 2
    assert nas(*every)[1] == nas("run", *every)[1] == text
    assert nas("run", "--table", "--format", "csv", "--scale", "4")[1].count(TINY.id) == 1


def test_the_table_shows_what_is_near_in_cost_and_can_be_narrowed(
    files: dict[int, str], nas: Nas, tmp_path: Path
) -> None:
    assert nas(files[4], *data(tmp_path))[0] == 0
    keep_cost(tmp_path, 4)
    cost = cost_of(TINY, 4)

    def shown(*words: str) -> tuple[list[str], str]:
        status, text, said = nas(TINY.id, "--table", "--format", "csv", *words)
        assert status == 0
        return [row["method"] for row in table(text) if row["method"] != TINY.id], said

    default, said = shown()
    assert 12 <= len(default) <= 14
    assert len(set(default) & {"MAN-tiny", "VapSR-S", "SMFANet"}) == 3
    assert said.startswith(f"x4: {len(default)} of 68 reported rows: the nearest")
    assert "within a factor of" in said and "--near all" in said
    few, _ = shown("--near", "25")
    params = distinct(reported()).set_index(["scale", "network"]).loc[4, "params"].groupby("network").first()
    assert 0 < len(few) < 68 and all(cost.params / 25 <= params[name] <= 25 * cost.params for name in few)
    assert len(shown("--near", "all")[0]) == 68
    # Without the images: --sets is about columns.
    status, text, _ = nas(TINY.id, "--table", "--sets", "Set5,Manga109")
    head = text.splitlines()[2]
    assert status == 0
    assert "Trained on" in head and "Set5 PSNR" in head and "Manga109 PSNR" in head
    assert "Set14" not in head and "Urban100" not in head
    assert "** and * are the best and the second best of each number" in text
    for words, message in (
        (("--table", "--near", "0.5"), "--near 0.5: a factor of 1 or more"),
        (("--table", "--near", "close"), "--near close: a factor of 1 or more"),
        (("--near", "2"), "--near 2 narrows the papers' table: add --table"),
        (("--table", "--sets", "Set99"), "unknown benchmark set 'Set99'"),
    ):
        status, _, said = nas(TINY.id, *words)
        assert status == 2 and message in said and said.count("\n") == 1


def test_every_format_names_the_metric_and_unlike_metrics_do_not_mix(
    files: dict[int, str], nas: Nas, tmp_path: Path
) -> None:
    for metric in ("y_float", "y_uint8"):
        assert nas(files[2], "--metric", metric, *data(tmp_path))[0] == 0
    for form, first in (("table", "x2, "), ("markdown", "**x2, "), ("latex", "% x2, ")):
        _, text, _ = nas(TINY.id, "--table", "--format", form, "--metric", "y_uint8")
        assert text.startswith(f"{first}measured with y_uint8")
        assert text.count(TINY.id) == 1 and "y_float" not in text and "y\\_float" not in text
    rows = json.loads(nas(TINY.id, "--table", "--format", "json")[1])
    assert [row["source"] for row in rows if row["method"] == TINY.id] == ["measured, y_float"]
    status, _, said = nas(TINY.id, "--table", "--metric", "rgb")
    assert (status, said.count("\n")) == (2, 1)
    assert "no number with rgb in the database (measured with y_float at x2, y_uint8 at x2)" in said


def test_what_is_in_the_database_is_not_measured_again(
    files: dict[int, str], nas: Nas, tmp_path: Path
) -> None:
    nas(files[2], "--table", *data(tmp_path), "--sets", "Set5")
    with Store.at(tmp_path / "results.db") as store:
        [before] = store.benchmarks()["created_at"]
        nas(files[2], "--table", *data(tmp_path))
        frame = store.benchmarks().set_index("benchmark")
    assert frame.loc["Set5", "created_at"] == before
    assert sorted(frame.index) == ["Set14", "Set5"]


def test_a_self_ensemble_is_a_row_of_its_own_with_eight_times_the_cost(
    files: dict[int, str], nas: Nas, tmp_path: Path
) -> None:
    assert nas(files[2], *data(tmp_path))[0] == 0
    status, text, _ = nas(files[2], "--self-ensemble", *data(tmp_path))
    once = cost_of(TINY, 2).multi_adds
    assert status == 0 and text.startswith(f"{TINY.id}+  (")
    assert "mean of 8 flips and turns, 8 times the Multi-Adds (8 x " in text
    rows = {row["method"]: row for row in table(nas(TINY.id, "--table", "--format", "csv")[1])}
    assert float(rows[f"{TINY.id}+"]["multi_adds"]) == 8 * once == 8 * float(rows[TINY.id]["multi_adds"])
    assert rows[f"{TINY.id}+"]["params"] == rows[TINY.id]["params"]
    assert rows[f"{TINY.id}+"]["Set5 psnr_db"] != rows[TINY.id]["Set5 psnr_db"]
    tiled = nas(files[2], "--self-ensemble", "--tile", "48", *data(tmp_path))
    assert tiled[0] == 0 and "tiles of 48" in tiled[1]
    with Store.at(tmp_path / "results.db") as store:
        assert len(store.measurements()) == 4
        assert not any(math.isnan(one.psnr_db) for one in store.measurements())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("bicubic", "--self-ensemble"), "folders and bicubic have none"),
        (("a", "b", "--weights", "w.pth"), "--weights w.pth belong to one network, and 2 are named"),
        (("--table", "--format", "latx"), "unknown format 'latx'; did you mean 'latex'?"),
        (("--table", "--sr", "a", "--hr", "b"), "--table shows what is in the database"),
        (("nothing", "--table"), "nothing: no number with y_float in the database"),
        (("nothing", "--table", "--data-dir", "sets"), "unknown network 'nothing'"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    nas: Nas, tmp_path: Path, files: dict[int, str], words: tuple[str, ...], message: str
) -> None:
    with Store.at(tmp_path / "results.db"):
        pass  # an empty database
    words = tuple(str(tmp_path / "sets") if word == "sets" else word for word in words)
    status, _, said = nas(*words)
    assert status == 2 and message in said
    assert said.count("\n") == 1
