from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from levels import mostly_thorough
from small_networks import BIG
from small_networks import SMALL as STUDENT
from torch import Tensor, nn

from nas.data import load_data
from nas.errors import CheckpointError, Interrupted, RecipeError
from nas.recipes.protocol import make_protocols
from nas.recipes.recipe import Recipe
from nas.training import Job, Plan, Progress, train
from nas.training.checkpoint import STATE, WEIGHTS, load_described, load_weights, save_weights
from nas.training.distil import (
    DISTILLATIONS,
    AttentionTransfer,
    AttentiveFeatures,
    Output,
    Seen,
    Teaching,
    find_points,
)
from nas.training.initialisation import check
from nas.training.loop import _Run
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED


def teacher_file(path: Path, genotype: Lightweight = BIG, scale: int = 2) -> Path:
    """A teacher whose weights were moved away from a first draw, so that it differs from bicubic."""
    torch.manual_seed(11)
    network = genotype.build(scale)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    about = {"space": genotype.space, "choices": genotype.to_dict(), "scale": scale}
    save_weights(path, network.state_dict(), about)
    return path


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return teacher_file(tmp_path_factory.mktemp("teacher") / "big.safetensors")


def job_of(images: Path, teacher: Path | None, folder: Path | None = None, **changes: object) -> Job:
    settings = {"steps": 8, "batch": 2, "lr_patch": 12, "lr": 1e-3, "distil_dim": 8, **changes}
    plan = Plan(**settings)  # type: ignore[arg-type]
    return Job(genotype=STUDENT, scale=2, plan=plan, data=f"folder:{images}", folder=folder, teacher=teacher)


def features(*channels: int, side: int = 6, seed: int = 0) -> list[Tensor]:
    torch.manual_seed(seed)
    return [torch.randn(3, count, side, side, requires_grad=True) for count in channels]


def test_attention_transfer_is_the_papers_formula_computed_by_loops() -> None:
    mine, theirs = features(4, 7), features(9, 5, seed=1)
    term = AttentionTransfer([4, 7], [9, 5], 0)
    got = term(Seen(sr=torch.empty(0), features=mine), Seen(sr=torch.empty(0), features=theirs))
    total = 0.0
    for a, b in zip(mine, theirs, strict=True):
        for sample in range(3):
            maps = []
            for f in (a, b):
                q = [
                    sum(f[sample, c, i, j].item() ** 2 for c in range(f.shape[1]))
                    for i in range(6)
                    for j in range(6)
                ]
                norm = math.sqrt(sum(v * v for v in q))
                maps.append([v / norm for v in q])
            total += math.sqrt(sum((u - v) ** 2 for u, v in zip(*maps, strict=True))) / 3
    assert got.item() == pytest.approx(total, rel=1e-5)


def test_attention_transfer_from_itself_is_nothing_and_has_a_gradient() -> None:
    mine = features(4)
    seen = Seen(sr=torch.empty(0), features=mine)
    loss = AttentionTransfer([4], [4], 0)(seen, seen)
    loss.backward()
    assert loss.item() == 0
    assert mine[0].grad is not None
    assert torch.isfinite(mine[0].grad).all()


def test_afd_weighs_every_pair_and_its_weights_add_up_to_one() -> None:
    mine, theirs = features(4, 7, 5), features(9, 5, seed=1)
    torch.manual_seed(2)
    term = AttentiveFeatures([4, 7, 5], [9, 5], 16)
    student, teacher = Seen(sr=torch.empty(0), features=mine), Seen(sr=torch.empty(0), features=theirs)
    weights = term.attention(student, teacher)
    assert weights.shape == (3, 2, 3)
    torch.testing.assert_close(weights.sum(2), torch.ones(3, 2))
    maps = [[F.normalize(f.square().sum(1).flatten(1), dim=1) for f in some] for some in (mine, theirs)]
    expected = sum(
        (weights[:, t, s] * (maps[0][s] - maps[1][t]).square().mean(1)).mean()
        for t in range(2)
        for s in range(3)
    )
    torch.testing.assert_close(term(student, teacher), expected)


@pytest.mark.parametrize("kind", DISTILLATIONS)
def test_gradients_reach_the_student_and_what_trains_along_but_never_the_teacher(kind: str) -> None:
    torch.manual_seed(0)
    student, teacher = STUDENT.build(2), BIG.build(2)
    for parameter in student.parameters():
        nn.init.normal_(parameter, std=0.1)
    teaching = Teaching(kind, student, teacher, weight=None, points=4, dim=8, lr_patch=12)
    sr, told = teaching(student, torch.rand(2, 3, 12, 12))
    assert sr.shape == (2, 3, 24, 24)
    assert told.item() > 0
    told.backward()
    assert all(p.grad is None for p in teacher.parameters())
    first = next(student.stem.parameters())  # type: ignore[union-attr]
    assert first.grad is not None
    assert first.grad.abs().sum() > 0
    along = list(teaching.term.parameters())
    assert bool(along) == (kind == "afd")
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in along)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_network_has_points_at_which_it_can_be_looked_at(name: str) -> None:
    scale = 4
    network = PUBLISHED[name].build(scale)
    points = find_points(network, 24, 4, name)
    assert 1 <= len(points.names) <= 4
    assert len(points.channels) == len(points.names)
    assert all("tail" not in place for place in points.names), points.names


def test_blocks_that_are_used_twice_count_twice_and_any_module_serves_without_lists() -> None:
    shared = replace(STUDENT, blocks=4, sharing="all").build(2)
    assert find_points(shared, 12, 4, "network").names == ["blocks.0"] * 4
    plain = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Upsample(scale_factor=2))
    assert find_points(plain, 12, 4, "network").channels == [8, 8]
    with pytest.raises(RecipeError, match="teacher: no module of it puts out a map of the size of the LR"):
        find_points(nn.Sequential(nn.Upsample(scale_factor=2)), 12, 4, "teacher")


@pytest.mark.parametrize("kind", DISTILLATIONS)
@pytest.mark.parametrize("ema", mostly_thorough([0.0, 0.9], {0.9}))
def test_a_distilled_training_cut_off_at_any_step_ends_as_if_it_had_not_been(
    images: Path, tmp_path: Path, teacher: Path, kind: str, ema: float
) -> None:
    def job(folder: str) -> Job:
        return job_of(images, teacher, tmp_path / folder, distil=kind, ema=ema)

    whole = train(job("whole"))
    for cut in (1, 5):

        def stop(progress: Progress, cut: int = cut) -> None:
            if progress.step == cut:
                raise Interrupted("enough")

        with pytest.raises(Interrupted):
            train(job(f"cut{cut}"), stop)
        assert (tmp_path / f"cut{cut}" / STATE).exists()
        again = train(job(f"cut{cut}"))
        assert (again.psnr_db, again.curve) == (whole.psnr_db, whole.curve)
        a, b = (load_weights(tmp_path / folder / WEIGHTS)[0] for folder in ("whole", f"cut{cut}"))
        assert all(torch.equal(a[name], b[name]) for name in a)
    assert load_described(tmp_path / "whole" / WEIGHTS)[0] == STUDENT  # and nothing of the term's


@pytest.mark.parametrize("kind", DISTILLATIONS)
def test_a_batch_in_two_parts_is_taught_as_the_whole_one_is(images: Path, teacher: Path, kind: str) -> None:
    def weights(accumulate: int) -> dict[str, Tensor]:
        run = _Run(job_of(images, teacher, batch=4, distil=kind), accumulate)
        run.finish(None)
        return run.network.state_dict()

    whole, halves = weights(1), weights(2)
    for name, tensor in whole.items():
        torch.testing.assert_close(halves[name], tensor, rtol=1e-2, atol=2e-4)


def test_a_student_comes_closer_to_its_teacher_with_it_than_without(
    images: Path, tmp_path: Path, teacher: Path
) -> None:
    valid = load_data(f"folder:{images}", 2, 12).valid
    big = load_described(teacher)[2].eval()

    def distance(kind: str) -> float:
        with_one = teacher if kind != "none" else None
        train(job_of(images, with_one, tmp_path / kind, steps=60, distil=kind, distil_weight=3.0))
        student = load_described(tmp_path / kind / WEIGHTS)[2].eval()
        with torch.no_grad():
            apart = [F.l1_loss(student(lr[None] / 255), big(lr[None] / 255)).item() for lr in valid.lr]
        return sum(apart) / len(apart)

    assert distance("output") < 0.8 * distance("none")


def test_features_come_closer_to_the_teachers_maps_too(images: Path, tmp_path: Path, teacher: Path) -> None:
    def apart(kind: str, weight: float) -> float:
        changes = {"steps": 40, "distil": kind, "distil_weight": weight if kind != "none" else None}
        train(job_of(images, None if kind == "none" else teacher, tmp_path / kind, **changes))
        student = load_described(tmp_path / kind / WEIGHTS)[2].eval()
        big = load_described(teacher)[2]
        teaching = Teaching("at", student, big, weight=1, points=4, dim=8, lr_patch=12)
        lr = load_data(f"folder:{images}", 2, 12).valid.lr[0][None] / 255
        with torch.no_grad():
            return teaching(student, lr)[1].item()

    alone = apart("none", 0)
    assert apart("at", 1.0) < 0.8 * alone
    assert apart("afd", 2000.0) < 0.9 * alone


def test_fine_tuning_begins_with_the_weights_it_is_given(images: Path, tmp_path: Path) -> None:
    first = train(job_of(images, None, tmp_path / "first"))
    assert first.weights is not None
    still = job_of(images, None, tmp_path / "still", steps=1, lr=1e-12, lr_end=0.0)
    second = train(replace(still, begin_weights=first.weights))
    assert second.psnr_db == pytest.approx(first.psnr_db, abs=1e-4)
    with pytest.raises(CheckpointError, match=r"big\.safetensors: does not fit the network: .*not known"):
        train(replace(still, begin_weights=teacher_file(tmp_path / "big.safetensors")))


def test_a_state_belongs_to_its_teacher_and_to_the_weights_it_began_with(
    images: Path, tmp_path: Path, teacher: Path
) -> None:
    def stop(progress: Progress) -> None:
        raise Interrupted("enough")

    job = job_of(images, teacher, tmp_path / "run", distil="output")
    with pytest.raises(Interrupted):
        train(job, stop)
    other = teacher_file(tmp_path / "other.safetensors", replace(BIG, width=32))
    with pytest.raises(CheckpointError, match=r"belongs to another training \(teacher was"):
        train(replace(job, teacher=other))
    start = teacher_file(tmp_path / "start.safetensors", STUDENT)
    with pytest.raises(CheckpointError, match=r"belongs to another training \(begin_weights was None"):
        train(replace(job, begin_weights=start))


def test_what_does_not_go_together_is_said_in_one_line(images: Path, tmp_path: Path, teacher: Path) -> None:
    with pytest.raises(RecipeError, match="distil = 'at' needs a teacher, and there is none"):
        train(job_of(images, None, distil="at"))
    with pytest.raises(RecipeError, match=r"a teacher \(.*big.safetensors\) is of no use to a plan with"):
        train(job_of(images, teacher))
    with pytest.raises(RecipeError, match="unknown distil 'atx'; did you mean 'at'"):
        Plan(steps=1, distil="atx")
    with pytest.raises(RecipeError, match=r"distil_weight = -1; a number from 0 to 1000000"):
        Plan(steps=1, distil_weight=-1)
    with pytest.raises(RecipeError, match="unknown quantise_bits '3'"):
        Plan(steps=1, quantise_bits=3)
    large = teacher_file(tmp_path / "x4.safetensors", BIG, 4)
    with pytest.raises(RecipeError, match=r"x4.safetensors: the teacher, genotype .* is of x4, not x2"):
        train(job_of(images, large, distil="at"))
    (tmp_path / "bad.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match=r"bad.safetensors: no readable weights"):
        train(job_of(images, tmp_path / "bad.safetensors", distil="at"))
    save_weights(tmp_path / "mute.safetensors", {"a": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match=r"mute.safetensors: does not say which network"):
        train(job_of(images, tmp_path / "mute.safetensors", distil="at"))


def test_new_fields_leave_the_identity_of_older_plans_alone() -> None:
    assert Plan(steps=200, batch=4).identity() == {"steps": 200, "batch": 4}
    assert Plan(steps=200, distil="afd").identity() == {"steps": 200, "distil": "afd"}


def test_output_alone_looks_at_no_features() -> None:
    network = nn.Upsample(scale_factor=2)
    teaching = Teaching("output", network, nn.Upsample(scale_factor=2), weight=2, points=4, dim=8, lr_patch=8)
    assert isinstance(teaching.term, Output)
    assert teaching(network, torch.rand(1, 3, 8, 8))[1].item() == 0


@pytest.mark.gpu
@pytest.mark.parametrize("kind", DISTILLATIONS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_gpu_repeats_student_and_teacher_as_one_graph(
    images: Path, teacher: Path, kind: str, precision: str
) -> None:
    job = job_of(images, teacher, steps=30, distil=kind, ema=0.9, precision=precision)
    cpu, gpu = train(job), train(replace(job, device="cuda"))
    assert gpu.engine == "graph"
    assert gpu.psnr_db == pytest.approx(cpu.psnr_db, abs=0.1)


def test_the_teacher_belongs_to_the_protocol_and_nothing_else_changes_it(
    small_recipe: Callable[..., Recipe], teacher: Path, tmp_path: Path
) -> None:
    recipe = small_recipe()
    plans = [recipe.plan("retrain")]

    def ids(of: Path | None) -> str:
        return make_protocols(recipe, "longer", plans, of)[0][0].id

    moved = tmp_path / "moved.safetensors"
    moved.write_bytes(teacher.read_bytes())
    other = teacher_file(tmp_path / "other.safetensors", replace(BIG, width=32))
    assert ids(None) != ids(teacher) == ids(moved) != ids(other)


PROGRAM = """
import sys
from pathlib import Path
from nas.training import Job, Plan, ranks, train
from nas.training.checkpoint import load_described
start, teacher, data, folder = sys.argv[1:]
plan = Plan(steps=20, batch=4, lr_patch=12, lr=1e-3, distil="at", distil_weight=1.0)
job = Job(
    genotype=load_described(Path(start))[0], scale=2, plan=plan, data=data, folder=Path(folder),
    teacher=Path(teacher), begin_weights=Path(start),
)
with ranks.joined():
    train(job)
"""


@pytest.mark.thorough
def test_two_processes_are_taught_as_one_is_and_refuse_what_they_do_not_share(
    images: Path, teacher: Path, tmp_path: Path
) -> None:
    program, start = tmp_path / "program.py", teacher_file(tmp_path / "start.safetensors", STUDENT)
    program.write_text(PROGRAM)
    together = [*("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")]
    for way, folder in (([], "one"), (together, "two")):
        words = [str(program), str(start), str(teacher), f"folder:{images}", str(tmp_path / folder)]
        done = subprocess.run(
            [sys.executable, *way, *words], capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
    one, two = (load_weights(tmp_path / folder / WEIGHTS)[0] for folder in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-2, atol=1e-3)
    for changes, message in (
        ({"distil": "afd"}, r"distil = 'afd' keeps values that several processes do not share"),
        ({"distil": "at", "quantise_bits": 8}, r"quantise_bits = 8 keeps values"),
    ):
        job = job_of(images, teacher, **changes)
        check(job)
        with pytest.raises(RecipeError, match=message):
            check(job, processes=2)
