from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from forked import Forker
from levels import mostly_thorough, nightly
from small_networks import SMALL, source, trained_weights

from leaderboard.errors import StudyMismatchError
from leaderboard.store import Store
from nas.cli.compress import _checked, _plan, _size
from nas.compression.compression import Compression
from nas.compression.pipeline import TEACHER, Compressing, Pipeline
from nas.compression.source import CompressionSource
from nas.compression.stages import FLOAT, INT8, STAGE, Stage, load_stage
from nas.cost.counting import cost_of
from nas.data import load_data
from nas.data.benchmarks import BenchmarkSet
from nas.errors import CheckpointError, CompressError, Interrupted, RecipeError
from nas.evaluation.benchmark_sets import Network, load_network
from nas.export.onnx import OnnxNetwork
from nas.training import Job, Plan, Progress, named_plan, train, validate
from nas.training.checkpoint import WEIGHTS, load_described, load_weights, save_weights
from nas.training.step_rates import StepRates
from nas.training.validation import mean_scores
from search_spaces.blocks.folding import folds
from search_spaces.compressed import Compressed
from search_spaces.named import Named

PLAN = named_plan("quick", steps=8, batch=2, lr_patch=12)
OUTPUT = (96, 96)


@pytest.fixture(scope="module")
def trained(images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights of a small and of a larger network."""
    return trained_weights(images, tmp_path_factory.mktemp("trained"), PLAN)


def order(images: Path, **changes: Any) -> Compression:
    usual: dict[str, Any] = {
        "plan": replace(PLAN, distil="output"),
        "finetune_steps": 4,
        "data": f"folder:{images}",
        "prune": 0.6,
        "rounds": 2,
        "quantise": "int8",
        "max_drop_db": 20.0,
        "output": OUTPUT,
    }
    return Compression(**usual | changes)


def silent(name: str, progress: Progress) -> None:
    """Report nothing."""


def silently(stage: Stage) -> None:
    """Tell nothing."""


Make = Callable[..., Pipeline]


@pytest.fixture(scope="module")
def whole(images: Path, trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """A pipeline with everything in it, from the first stage to the last."""
    runs = tmp_path_factory.mktemp("runs")
    with Store.at(runs / "results.db") as store:
        teacher = source(trained["big"])
        made = Pipeline("tiny", order(images), source(trained["small"]), teacher, store=store, runs=runs)
        return Whole(runs, finish(made))


class Whole(NamedTuple):
    runs: Path
    result: Compressing


@pytest.fixture
def pipeline(images: Path, trained: dict[str, Path], store: Store, tmp_path: Path) -> Make:
    """A pipeline over the small network, taught by the larger one; keywords change its order."""

    def make(*, name: str = "tiny", **changes: Any) -> Pipeline:
        asked = order(images, **changes)
        teacher = source(trained["big"]) if asked.plan.distil != "none" else None
        runs = tmp_path / "runs"
        return Pipeline(name, asked, source(trained["small"]), teacher, store=store, runs=runs)

    return make


def finish(pipeline: Pipeline) -> Compressing:
    return pipeline.run(silent, silently)


@pytest.mark.thorough
def test_every_stage_is_smaller_and_a_row_of_one_protocol(whole: Whole) -> None:
    result = whole.result
    names = [stage.name for stage in result.stages]
    assert names == [TEACHER, "original", "distilled", "pruned 1/2", "pruned 2/2", "int8"]
    stages = dict(zip(names, result.stages, strict=True))
    before = stages["original"].cost["multi_adds"]
    assert stages["distilled"].cost == stages["original"].cost
    assert stages["pruned 1/2"].cost["multi_adds"] <= 0.6**0.5 * before
    assert 0.45 * before < stages["pruned 2/2"].cost["multi_adds"] <= 0.6 * before
    assert stages["int8"].cost == stages["pruned 2/2"].cost
    assert stages["int8"].bytes < stages["pruned 2/2"].bytes < stages["original"].bytes
    assert all(stage.median_ms is not None and stage.median_ms > 0 for stage in result.stages)
    assert (result.stopped, result.good) == (None, stages["int8"])
    with Store.at(whole.runs / "results.db", read_only=True) as store:
        frame, runtimes = store.frame("tiny"), store.runtimes()
        assert store.study("tiny").owner is None
    assert list(frame["genotype"]) == [stage.genotype.id for stage in result.stages]
    assert frame["protocol"].nunique() == 1
    assert list(frame["state"]) == ["finished"] * 6
    assert list(frame["psnr_db"]) == [stage.psnr_db for stage in result.stages]
    assert list(frame["space"]) == ["lightweight"] * 2 + ["compressed"] * 4
    assert set(frame["plan"]) == {"compress"}
    assert list(runtimes["precision"]) == ["fp32"] * 5 + ["int8"]
    assert set(runtimes["engine"]) == {"onnxruntime"}


@pytest.mark.thorough
def test_what_is_kept_of_a_stage_reaches_what_its_row_says(whole: Whole, images: Path) -> None:
    valid = load_data(f"folder:{images}", 2, 12).valid
    cpu = torch.device("cpu")
    for stage in whole.result.stages:
        network = load_network(
            stage.genotype.id,
            scale=2,
            weights=None,
            runs=whole.runs,
            open_store=lambda: Store.at(whole.runs / "results.db", read_only=True),
        )
        assert network.genotype == stage.genotype
        assert cost_of(stage.genotype, 2).to_dict() == stage.cost
        reached = mean_scores(validate(network.module, valid, 2, "y_float", cpu))[0]
        if stage.name == "int8":
            assert reached == pytest.approx(stage.psnr_db, abs=1.0)  # its weights without its activations
            assert stage.training_psnr_db == pytest.approx(stage.psnr_db, abs=1.0)
            file = OnnxNetwork(stage.folder / INT8)
            assert mean_scores(validate(file, valid, 2, "y_float", cpu))[0] == stage.psnr_db
            assert not (stage.folder / FLOAT).exists()
            continue
        assert reached == pytest.approx(stage.psnr_db, abs=1e-6)
        file = OnnxNetwork(stage.folder / FLOAT)
        assert mean_scores(validate(file, valid, 2, "y_float", cpu))[0] == pytest.approx(reached, abs=1e-2)


@pytest.mark.thorough
def test_the_weights_of_the_last_stage_lie_on_the_grid_of_eight_bits(whole: Whole) -> None:
    before, after = (load_weights(stage.folder / WEIGHTS)[0] for stage in whole.result.stages[-2:])
    assert after.keys() == before.keys()

    def off_grid(weight: torch.Tensor) -> float:
        rows = weight.flatten(1)
        steps = rows / (rows.abs().amax(1, keepdim=True) / 127)
        return (steps - steps.round()).abs().max().item()

    layers = [name for name, value in after.items() if value.ndim == 4]
    assert all(off_grid(after[name]) < 1e-3 for name in layers)
    assert all(off_grid(before[name]) > 0.1 for name in layers)


def test_a_training_for_integers_cut_off_ends_as_if_it_had_not_been(
    images: Path, trained: dict[str, Path], tmp_path: Path
) -> None:
    plan = replace(PLAN, quantise_bits=8, ema=0.9)

    def job(name: str) -> Job:
        data, begin = f"folder:{images}", trained["small"]
        folder = tmp_path / name
        return Job(genotype=SMALL, scale=2, plan=plan, data=data, folder=folder, begin_weights=begin)

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise Interrupted("enough")

    whole = train(job("whole"))
    with pytest.raises(Interrupted):
        train(job("cut"), stop)
    again = train(job("cut"))
    assert (again.psnr_db, again.curve) == (whole.psnr_db, whole.curve)
    a, b = (load_weights(tmp_path / name / WEIGHTS)[0] for name in ("whole", "cut"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("where", [*mostly_thorough(["distilled"], ()), *nightly(["pruned 2/2", "int8"])])
def test_an_interruption_in_any_training_is_gone_on_from(
    pipeline: Make, store: Store, whole: Whole, where: str
) -> None:
    def stop(name: str, progress: Progress) -> None:
        if name == where and progress.step == 2:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        pipeline(name="cut").run(stop, silently)
    assert store.study("cut").owner is None
    seen: list[str] = []
    again = pipeline(name="cut").run(lambda name, progress: seen.append(name), silently)
    assert seen[0] == where
    assert seen.count(where) == (6 if where == "distilled" else 2)  # two steps were taken before
    for stage, expected in zip(again.stages, whole.result.stages, strict=True):
        assert (stage.name, stage.genotype, stage.psnr_db) == (
            expected.name,
            expected.genotype,
            expected.psnr_db,
        )
    assert list(store.frame("cut")["state"]) == ["finished"] * 6


@pytest.mark.nightly
def test_the_same_order_under_another_name_has_rows_of_its_own(pipeline: Make, store: Store) -> None:
    for name in ("one", "other"):
        finish(pipeline(name=name, prune=None, quantise="none"))
    assert list(store.frame("one")["state"]) == ["finished"] * 3
    assert list(store.frame("other")["state"]) == ["repeated"] * 3
    assert list(store.frame("one")["psnr_db"]) == list(store.frame("other")["psnr_db"])


@pytest.mark.thorough
def test_a_crash_between_training_and_measuring_trains_nothing_again(pipeline: Make) -> None:
    result = finish(pipeline(prune=None, quantise="none"))
    assert [stage.name for stage in result.stages] == [TEACHER, "original", "distilled"]
    (result.stages[-1].folder / STAGE).unlink()
    seen: list[str] = []
    again = pipeline(prune=None, quantise="none").run(lambda name, progress: seen.append(name), silently)
    assert seen == []
    assert again.stages[-1].psnr_db == result.stages[-1].psnr_db


@pytest.mark.thorough
def test_a_loss_that_is_too_large_stops_at_the_last_good_stage_and_a_larger_limit_goes_on(
    pipeline: Make, store: Store
) -> None:
    strict = pipeline(plan=PLAN, prune=0.2, rounds=1, max_drop_db=0.0)
    result = finish(strict)
    assert [stage.name for stage in result.stages] == ["original", "pruned"]
    assert result.stopped is not None
    assert result.stopped.name == "pruned"
    assert result.good is not None
    assert result.good.name == "original"
    drop = result.drop_db(result.stopped)
    assert drop is not None
    assert drop > 0
    assert drop == pytest.approx(result.stages[0].psnr_db - result.stages[1].psnr_db)
    assert len(store.frame("tiny")) == 2
    seen: list[str] = []
    more = pipeline(plan=PLAN, prune=0.2, rounds=1, max_drop_db=50.0)
    result = more.run(lambda name, progress: seen.append(name), silently)
    assert [stage.name for stage in result.stages] == ["original", "pruned", "int8"]
    assert set(seen) == {"int8"}


@pytest.mark.thorough
def test_light_f2srgan_goes_from_its_teacher_to_integers(images: Path, store: Store, tmp_path: Path) -> None:
    """The survey's row, at a few steps; the student has no weights, and the teacher's are a first draw."""
    torch.manual_seed(0)
    genotype = Named(network="f2srgan")
    about = {"space": genotype.space, "choices": genotype.to_dict(), "scale": 2}
    save_weights(tmp_path / "teacher.safetensors", genotype.build(2).state_dict(), about)
    student = Named(network="f2srgan-student")
    fresh = Network(name="f2srgan-student", source="fresh", scale=2, module=student.build(2))
    plan = Plan(steps=3, batch=1, lr_patch=12, lr=1e-4, distil="afd", optimizer="adamw")
    made = Pipeline(
        "light",
        order(images, plan=plan, finetune_steps=2, rounds=1),
        CompressionSource.of(fresh, trained=False),
        source(tmp_path / "teacher.safetensors"),
        store=store,
        runs=tmp_path / "runs",
    )
    result = finish(made)
    assert [stage.name for stage in result.stages] == [TEACHER, "distilled", "pruned", "int8"]
    assert result.reference is result.stages[1]
    assert result.stages[0].note == ""
    pruned = result.stages[2].genotype
    assert isinstance(pruned, Compressed)
    assert (pruned.of, pruned.choices) == ("published", {"network": "f2srgan-student"})
    assert result.stages[2].cost["multi_adds"] <= 0.6 * result.stages[1].cost["multi_adds"]


@pytest.mark.thorough
def test_benchmark_sets_are_measured_at_every_stage_and_kept(
    images: Path, trained: dict[str, Path], store: Store, tmp_path: Path
) -> None:
    made = Pipeline(
        "sets",
        order(images, plan=PLAN, prune=None),
        source(trained["small"]),
        None,
        store=store,
        runs=tmp_path / "runs",
        benchmarks=[BenchmarkSet(name="Set5", root=images)],
    )
    result = finish(made)
    table = store.benchmarks()
    assert [stage.benchmarks["Set5"][0] for stage in result.stages] == list(table["psnr_db"])
    assert list(table["genotype"]) == [stage.genotype.id for stage in result.stages]


def test_another_order_or_other_weights_under_the_same_name_are_refused(
    pipeline: Make, images: Path, trained: dict[str, Path], store: Store, tmp_path: Path
) -> None:
    pipeline(prune=0.6)
    with pytest.raises(StudyMismatchError, match=r"run 'tiny' exists.*compress\.prune was 0\.6, now 0\.5"):
        pipeline(prune=0.5)
    moved = tmp_path / "moved.safetensors"
    weights, about = load_weights(trained["small"])
    save_weights(moved, {name: value + 0.01 for name, value in weights.items()}, about)
    teacher = source(trained["big"])
    with pytest.raises(StudyMismatchError, match=r"compress\.source\.weights was"):
        Pipeline("tiny", order(images), source(moved), teacher, store=store, runs=tmp_path / "runs")


@pytest.mark.thorough
def test_what_cannot_be_done_is_said_before_anything_is(
    whole: Whole, images: Path, trained: dict[str, Path], store: Store, tmp_path: Path
) -> None:
    plain: dict[str, Any] = {"plan": PLAN, "prune": None, "quantise": "none"}
    with pytest.raises(RecipeError, match="nothing to do: give a teacher to distil from, a share to keep"):
        order(images, **plain)
    with pytest.raises(RecipeError, match=r"prune = 1\.5: the share that is kept, between 0 and 1"):
        order(images, prune=1.5)
    with pytest.raises(RecipeError, match="unknown importance 'lmap'; did you mean 'lamp'"):
        order(images, importance="lmap")
    with pytest.raises(RecipeError, match="rounds = 0: a whole number"):
        order(images, rounds=0)
    teacher = source(trained["big"])
    with pytest.raises(RecipeError, match="distil = 'none' with a teacher"):
        Pipeline("x", order(images, plan=PLAN), teacher, teacher, store=store, runs=tmp_path)
    with pytest.raises(RecipeError, match="is the network itself: a teacher is another one"):
        Pipeline("x", order(images), teacher, teacher, store=store, runs=tmp_path)
    nameless = Network(name="my.lab:net", source="x", scale=2, module=SMALL.build(2))
    with pytest.raises(CompressError, match=r"my\.lab:net: no genotype describes it"):
        CompressionSource.of(nameless, trained=True)
    done = whole.result.stages[-1].folder / WEIGHTS
    again = source(done)
    with pytest.raises(CompressError, match="is compressed already: compress what it was made from"):
        Pipeline("x", order(images, plan=PLAN), again, None, store=store, runs=tmp_path)
    assert store.studies() == []


def test_a_damaged_stage_is_said_in_one_line(tmp_path: Path) -> None:
    for text in ('{"name": 3', "[]", '{"genotype": {"space": "lightweight", "choices": {}}}'):
        (tmp_path / STAGE).write_text(text)
        with pytest.raises(CheckpointError, match=r"stage\.json: no readable stage .*move its folder away"):
            load_stage(tmp_path)


@pytest.mark.thorough
def test_a_target_that_would_remove_whole_layers_ends_without_a_row_for_it(
    pipeline: Make, store: Store
) -> None:
    with pytest.raises(CompressError, match="the least that pruning can leave"):
        finish(pipeline(plan=PLAN, prune=0.0001, rounds=1))
    assert len(store.frame("tiny")) == 1


Nas = Callable[..., subprocess.CompletedProcess[str]]


def command(images: Path, trained: dict[str, Path], name: str, *more: str) -> list[str]:
    return [
        *("compress", str(trained["small"]), "--distil-from", str(trained["big"]), "--prune", "0.6"),
        *("--distil", "output", "--rounds", "2", "--quantise", "int8", "--data", f"folder:{images}"),
        *("--plan", "quick", "--steps", "8", "--finetune-steps", "4", "--set", "batch=2"),
        *("--set", "lr_patch=12", "--output", "96x96", "--name", name, "--max-drop-db", "20", *more),
    ]


def stages_of(told: str) -> list[tuple[str, str, float]]:
    return [(row["name"], row["genotype"], row["psnr_db"]) for row in json.loads(told)["stages"]]


@pytest.mark.thorough
def test_a_pipeline_that_is_killed_goes_on_with_the_same_command(
    images: Path, trained: dict[str, Path], tmp_path: Path, nas: Nas, forker: Forker, whole: Whole
) -> None:
    process = forker.nas(*command(images, trained, "killed"), cwd=tmp_path)
    stages = tmp_path / "runs" / "killed" / "stages"
    deadline = time.monotonic() + 120
    while not (stages / "2-distilled" / WEIGHTS).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    finished = {path: path.stat().st_mtime_ns for path in stages.rglob(STAGE)}
    assert len(finished) in (2, 3)
    done = nas(*command(images, trained, "killed", "--json"))
    assert done.returncode == 0, done.stderr
    assert all(path.stat().st_mtime_ns == before for path, before in finished.items())
    expected = [(stage.name, stage.genotype.id, stage.psnr_db) for stage in whole.result.stages]
    assert stages_of(done.stdout) == expected
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        assert list(store.frame("killed")["state"]) == ["finished"] * 6


@pytest.mark.nightly
def test_a_pipeline_that_is_killed_again_and_again_ends_as_one_that_is_not(
    images: Path, trained: dict[str, Path], tmp_path: Path, nas: Nas, whole: Whole
) -> None:
    for attempt in range(30):
        process = subprocess.Popen(
            [sys.executable, "-m", "nas", *command(images, trained, "killed")],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=5 + attempt % 5)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        if process.returncode == 0:
            break
    done = nas(*command(images, trained, "killed", "--json"))
    expected = [(stage.name, stage.genotype.id, stage.psnr_db) for stage in whole.result.stages]
    assert stages_of(done.stdout) == expected


@pytest.mark.thorough
def test_the_command_stops_with_status_one_where_too_much_is_lost(
    images: Path, trained: dict[str, Path], nas: Nas
) -> None:
    done = nas(
        *("compress", str(trained["small"]), "--prune", "0.1", "--data", f"folder:{images}"),
        *("--plan", "quick", "--steps", "1", "--set", "batch=1", "--set", "lr_patch=12"),
        *("--output", "96x96", "--name", "strict", "--max-drop-db", "0"),
    )
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("Stopped: pruned is ")
    assert " dB below original, and --max-drop-db is 0; the last good stage is original: " in last


def test_the_command_refuses_in_one_line_what_it_cannot_mean(
    images: Path, trained: dict[str, Path], nas: Nas
) -> None:
    for changes, message in (
        (("--scale", "4"), "was trained for x2, not for x4"),
        (("--importance", "lmap"), "did you mean 'lamp'"),
    ):
        refused = nas(*command(images, trained, "refused", *changes))
        assert refused.returncode == 2
        assert message in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1
    with pytest.raises(RecipeError, match="this is what --distil and --quantise are for"):
        _plan("quick", None, ["distil=at"], None)
    with pytest.raises(RecipeError, match=r"plan field 'lr': write NAME=VALUE"):
        _plan("quick", None, ["lr"], None)
    with pytest.raises(RecipeError, match=r"--output 'big': WIDTHxHEIGHT is needed"):
        _size("big")
    with pytest.raises(RecipeError, match=r"--name '\.\./x': letters, digits"):
        _checked("../x")
    assert _plan("quick", 5, ["loss=mse", "lr=0.001"], "afd").identity() == {
        **{"steps": 5, "batch": 4, "lr_patch": 24, "lr": 0.001, "lr_end": 1e-05},
        **{"loss": "mse", "distil": "afd"},
    }


@pytest.mark.thorough
def test_every_command_of_the_page_works(nas: Nas) -> None:
    page = (Path(__file__).parents[3] / "docs" / "compressing.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL)
    printed = []
    for line in block.splitlines():
        done = nas(*shlex.split(line)[1:], timeout=300)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout)
    tables = [
        re.findall(r"^(?:original|pruned|int8) +\d.*$", text, flags=re.MULTILINE)
        for text in (printed[1], printed[3])
    ]
    assert len(tables[0]) == 3
    assert tables[0] == tables[1]


@pytest.mark.thorough
@pytest.mark.parametrize("branches", ["asymmetric", "repmb"])
def test_a_network_with_branches_is_folded_once_before_it_is_pruned_or_quantised(
    branches: str, images: Path, store: Store, tmp_path: Path
) -> None:
    genotype = replace(SMALL, kernel="3x3", branches=branches)
    network = Network(
        name="branched", source="memory", scale=2, module=genotype.build(2), genotype=genotype, weights=""
    )
    untrained = CompressionSource(network=network, genotype=genotype, trained=False)
    wanted = order(images, plan=PLAN, rounds=1, sparsity=1e-4, importance="group-lasso")
    made = Pipeline("branched", wanted, untrained, None, store=store, runs=tmp_path / "runs")
    original, pruned, quantised = finish(made).stages
    assert original.genotype == genotype
    plain = cost_of(replace(genotype, branches="none"), 2).to_dict()
    assert original.cost == plain
    assert pruned.cost["multi_adds"] <= 0.6 * plain["multi_adds"]
    assert quantised.cost == pruned.cost
    for stage in (pruned, quantised):
        assert isinstance(stage.genotype, Compressed) and stage.genotype.folded
        assert stage.cost == cost_of(stage.genotype, 2).to_dict()
        built = load_described(stage.folder / WEIGHTS)
        assert built[0] == stage.genotype and not folds(built[2])


def test_a_compression_keeps_the_precision_that_was_measured_when_it_was_created(
    pipeline: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(bf16: float) -> None:
        rates = StepRates(fp32=10, bf16=bf16, batch=2, lr_patch=12)
        monkeypatch.setattr("nas.search.precision.measure_step_rates", lambda *asked: rates)

    plan = replace(PLAN, precision="auto")
    measured(bf16=20)
    made = pipeline(plan=plan)
    assert [line.split(" (")[0] for line in made.notes] == ["precision = auto: bf16"]
    assert made.compression.finetune.precision == made.protocol.plan["precision"] == "bf16"
    measured(bf16=1)
    again = pipeline(plan=plan)
    assert (again.protocol, again.notes) == (made.protocol, [])
    assert pipeline(name="another", plan=plan).protocol.plan["precision"] == "fp32"
