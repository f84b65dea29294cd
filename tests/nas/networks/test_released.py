"""Released weights: recognised by their tensors, converted exactly, or refused in one line."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import shutil
import subprocess
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from authors_layouts import authors_ecbsr, authors_names, authors_plainusr
from levels import mostly_thorough
from released_forwards import FORWARDS, State, bsrn_s_forward, bsrn_s_state
from torch import Tensor, nn

from nas.cost.counting import cost_of
from nas.data.benchmarks import choose_benchmarks, read_benchmark
from nas.errors import CheckpointError, RecipeError
from nas.evaluation.benchmark_sets import load_network, measure_network
from nas.evaluation.released_figures import FIGURES, figures_of
from nas.networks.released.naming import plain_form
from nas.networks.released.reading import read_released, read_tensors
from nas.training.checkpoint import load_described, load_weights, save_described
from search_spaces.compressed import Compressed
from search_spaces.genotype import Genotype
from search_spaces.lightweight import Lightweight
from search_spaces.networks.ecbsr import Ecbsr
from search_spaces.published import PUBLISHED, published_name

Nas = Callable[..., subprocess.CompletedProcess[str]]

FILES: dict[str, tuple[str, float, float]] = {
    "LKDN-S_del_rep_x4.pth": ("lkdn-s", 32.102, 28.619),
    "LKDN-S_x4.pth": ("lkdn-s", 32.102, 28.619),
    "LKDN_x4.pth": ("lkdn", 32.390, 28.796),
    "PlainUSRU_Rep_x4.pth": ("plainusr-u", 30.769, 27.721),
    "PlainUSR_Rep_x4.pth": ("plainusr", 32.015, 28.539),
    "RFDN_AIM.pth": ("rfdn", 32.159, 28.645),
    "SMFANet_DIV2K_100w_x4SR.pth": ("smfanet", 32.253, 28.670),
    "SMFANet_plus_DIV2K_100w_x4SR.pth": ("smfanet-plus", 32.433, 28.769),
    "net_g_BSRN_x4.pth": ("bsrn", 32.349, 28.735),
    "rlfn_x4.pth": ("rlfn", 32.238, 28.620),
    "team00_SPAN.pth": ("span-28", 31.739, 28.401),
    "team22_spanv2_c2.pth": ("spanv2", 31.768, 28.380),
    "team23_safmnpp.pth": ("safmn-pp", 32.018, 28.580),
}
"""File -> published name, PSNR on Set5 and Set14 at x4, recorded with this code.

Where the authors' code was measured or a paper prints a number, the test compares with that, too.
"""


@pytest.fixture(scope="session")
def released(shared: Path) -> Path:
    folder = shared / "weights"
    if not folder.is_dir():
        pytest.skip("needs the released weights in shared/weights")
    return folder


def save(path: Path, held: Any) -> Path:
    torch.save(held, path)
    return path


def image(height: int = 36, width: int = 52) -> Tensor:
    """A picture with edges and slopes, (1, 3, H, W) in [0, 1]."""
    rows, columns = torch.meshgrid(torch.linspace(0, 6, height), torch.linspace(0, 9, width), indexing="ij")
    planes = [rows.sin() * columns.cos(), (rows * columns).sin(), ((rows + columns) % 2 > 1).float()]
    return (torch.stack(planes)[None] * 0.4 + 0.5).clamp(0, 1)


@torch.no_grad()
def out(network: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = network.eval()(x)
    return result


# The files at hand


@pytest.mark.parametrize("file", FILES)
def test_each_file_is_recognised_whatever_its_name(file: str, released: Path, tmp_path: Path) -> None:
    name = FILES[file][0]
    path = shutil.copy(released / file, tmp_path / "x.pth")
    found = read_released(Path(path))
    assert (found.name, found.scale) == (name, 4)
    assert found.folded == (file == "LKDN-S_x4.pth")
    known = PUBLISHED[name].genotype_at(4)
    assert known is not None
    assert cost_of(found.genotype, 4).params == cost_of(known, 4).params
    assert cost_of(found.genotype, 4).multi_adds == cost_of(known, 4).multi_adds


@pytest.mark.parametrize("file", [file for file, row in FILES.items() if row[0] in FORWARDS])
def test_each_computes_what_a_second_reading_of_the_code_computes(file: str, released: Path) -> None:
    path = released / file
    state: State = read_tensors(path)
    x = image()
    with torch.no_grad():
        expected = FORWARDS[FILES[file][0]](state, x)
    given = out(read_released(path).build(), x)
    assert (given - expected).abs().max() < 1e-4
    enlarged = torch.nn.functional.interpolate(x, scale_factor=4, mode="bicubic", align_corners=False)
    assert (given - enlarged).abs().mean() < 0.1, "is no enlargement of the image at all"


def test_lkdn_s_in_training_form_is_its_folded_file(released: Path) -> None:
    folded = read_released(released / "LKDN-S_del_rep_x4.pth")
    trained = read_released(released / "LKDN-S_x4.pth")
    assert folded.genotype == trained.genotype
    for name, tensor in folded.weights.items():
        torch.testing.assert_close(trained.weights[name], tensor, rtol=1e-5, atol=1e-5)
    x = image()
    assert (out(folded.build(), x) - out(trained.build(), x)).abs().max() < 1e-4


def test_without_the_fold_the_training_form_is_another_network(released: Path) -> None:
    """The comparison above would see a branch that is left out."""
    state = read_tensors(released / "LKDN-S_x4.pth")
    less = dict(state)
    less["B1.c1_r.rep1x1.weight"] = torch.zeros_like(state["B1.c1_r.rep1x1.weight"])
    x = image()
    with torch.no_grad():
        difference = FORWARDS["lkdn-s"](state, x) - FORWARDS["lkdn-s"](less, x)
    assert difference.abs().max() > 1e-3


QUICK = [("Set5", "PlainUSRU_Rep_x4.pth"), ("Set5", "team23_safmnpp.pth"), ("Set5", "team00_SPAN.pth")]


@pytest.mark.parametrize("case", mostly_thorough([(s, f) for s in ("Set5", "Set14") for f in FILES], QUICK))
def test_the_psnr_of_each_file(case: tuple[str, str], released: Path, shared: Path) -> None:
    benchmark_set, file = case
    network = load_network(str(released / file), scale=None, weights=None, runs=Path("runs"), open_store=None)
    [chosen] = choose_benchmarks(shared / "data" / "test", [benchmark_set])
    images = read_benchmark(chosen, 4)
    scores = measure_network(network, images, "y_float", torch.device("cpu"))
    recorded = dict(zip(("Set5", "Set14"), FILES[file][1:], strict=True))[benchmark_set]
    assert scores.psnr_db == pytest.approx(recorded, abs=0.002)
    figures = [figure for figure in FIGURES if network.origin["sha256"] == figure.sha256]
    for figure in figures:
        if benchmark_set in figure.measured:
            assert scores.psnr_db == pytest.approx(figure.measured[benchmark_set], abs=0.001)
        if benchmark_set in figure.printed:
            assert scores.psnr_db == pytest.approx(float(figure.printed[benchmark_set]), abs=0.01)


# Files that are not at hand: the authors' layouts, made from networks here with random weights


def shuffled(genotype: Genotype, scale: int) -> nn.Module:
    """A network with random weights everywhere, so that no two parts look alike."""
    torch.manual_seed(3)
    network = genotype.build(scale)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network


LAYOUT_OF = {
    **{name: name for name in ("imdn", "rfdn", "bsrn", "rlfn", "safmn", "gpdn", "lkdn", "smfanet", "vapsr")},
    **{"lkdn-s": "lkdn", "smfanet-plus": "smfanet", "vapsr-s": "vapsr", "spanv2": "spanv2"},
    **{"man-tiny": "man", "man-light": "man", "safmn-pp": "safmn-pp", "safmn-pp-light": "safmn-pp-light"},
    **{"span-28": "span", "span-48": "span", "span-52": "span"},
}
CASES = [(name, scale) for name in LAYOUT_OF for scale in (2, 3, 4)]
SLOW = ("man-light", "span-52", "span-48", "smfanet-plus", "vapsr", "imdn", "lkdn")


def in_authors_range(name: str, weights: State) -> State:
    """RFDN and RLFN as released, for values from 0 to 255."""
    if name in ("rfdn", "rlfn"):
        weights = dict(weights)
        weights["stem.weight"] = weights["stem.weight"] / 255
        for part in ("weight", "bias"):
            weights[f"tail.0.{part}"] = weights[f"tail.0.{part}"] * 255
    return weights


@pytest.mark.parametrize(
    "case", mostly_thorough(CASES, [case for case in CASES if case[0] not in SLOW or case[1] == 2])
)
def test_a_file_of_the_authors_layout_is_the_network_that_it_was_made_from(
    case: tuple[str, int], tmp_path: Path
) -> None:
    name, scale = case
    known = PUBLISHED[name].genotype_at(scale)
    assert known is not None
    genotype = plain_form(known)
    network = shuffled(genotype, scale)
    weights = in_authors_range(name, network.state_dict())
    path = save(tmp_path / "x.pth", {"params": OrderedDict(authors_names(LAYOUT_OF[name], weights))})
    found = read_released(path)
    assert (found.genotype, found.scale, found.folded) == (genotype, scale, False)
    assert found.name == name
    x = image(20, 28)
    torch.testing.assert_close(out(found.build(), x), out(network, x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["lkdn-s", "span-28", "span-48"])
def test_a_training_form_is_folded(name: str, tmp_path: Path) -> None:
    genotype = PUBLISHED[name].genotype
    assert genotype is not None
    network = shuffled(genotype, 4)
    state = authors_names(LAYOUT_OF[name], network.state_dict())
    if LAYOUT_OF[name] == "span":  # the authors' plain copies, which may be out of date
        for key in [key for key in state if key.endswith("sk.weight")]:
            head = key.removesuffix("sk.weight")
            shape = (*state[key].shape[:2], 3, 3)
            state[f"{head}eval_conv.weight"] = torch.randn(shape)
            state[f"{head}eval_conv.bias"] = torch.randn(shape[0])
    found = read_released(save(tmp_path / "x.pth", {"params": state, "params_ema": state}))
    assert found.folded and found.name == name
    assert found.genotype == plain_form(genotype) != genotype
    assert_close_relative(out(found.build(), image(20, 28)), out(network, image(20, 28)))


def assert_close_relative(given: Tensor, expected: Tensor) -> None:
    assert (given - expected).abs().max() < 1e-4 * max(1.0, float(expected.abs().max()))


@pytest.mark.parametrize("name", [f"plainusr{size}" for size in ("-u", "-t", "-s", "-m", "", "-l")])
@pytest.mark.parametrize("branched", [False, True])
@pytest.mark.parametrize("scale", [2, 4])
def test_plainusr_folded_and_in_training_form(name: str, branched: bool, scale: int, tmp_path: Path) -> None:
    trained = PUBLISHED[name].genotype
    assert trained is not None
    genotype = trained if branched else plain_form(trained)
    network = shuffled(genotype, scale)
    state = authors_plainusr(network.state_dict(), network.get_submodule("blocks").__len__())  # type: ignore[operator]
    found = read_released(save(tmp_path / "x.pth", state))
    assert (found.name, found.scale, found.folded) == (name, scale, branched)
    assert_close_relative(out(found.build(), image(20, 28)), out(network, image(20, 28)))


@pytest.mark.parametrize("genotype", [Ecbsr(width=16, blocks=4), Ecbsr(width=16, blocks=3, colour="rgb")])
@pytest.mark.parametrize("scale", [2, 4])
def test_ecbsr_in_training_form_and_folded(genotype: Ecbsr, scale: int, tmp_path: Path) -> None:
    network = shuffled(genotype, scale)
    state = authors_ecbsr(network.state_dict(), genotype.blocks)
    found = read_released(save(tmp_path / "x.pth", state))
    assert found.folded and found.genotype == plain_form(genotype)
    assert_close_relative(out(found.build(), image(20, 28)), out(network, image(20, 28)))
    plain = {name.removeprefix("body."): tensor for name, tensor in found.weights.items()}
    form = {_ecbsr_plain(name, genotype.blocks): tensor for name, tensor in plain.items()}
    again = read_released(save(tmp_path / "y.pth", form))
    assert not again.folded and again.genotype == found.genotype
    torch.testing.assert_close(out(again.build(), image(20, 28)), out(found.build(), image(20, 28)))


def _ecbsr_plain(name: str, blocks: int) -> str:
    words = name.split(".")
    if words[0] == "last":
        return f"backbone.{blocks + 1}.conv3x3.{words[1]}"
    return f"backbone.{words[1]}.{'conv3x3' if words[2] == '0' else 'act'}.{words[3]}"


def test_a_size_without_a_published_name(tmp_path: Path) -> None:
    """RLFN-S: 48 channels."""
    genotype = dataclasses.replace(_lightweight("rlfn"), width=48)
    network = shuffled(genotype, 4)
    path = save(tmp_path / "x.pth", authors_names("rlfn", in_authors_range("rlfn", network.state_dict())))
    found = read_released(path)
    assert (found.name, found.genotype, found.family) == (published_name(genotype), genotype, "RLFN")
    assert cost_of(found.genotype, 4).params == pytest.approx(470.2e3, abs=100)
    torch.testing.assert_close(out(found.build(), image()), out(network, image()), rtol=1e-4, atol=1e-4)


def _lightweight(name: str) -> Lightweight:
    genotype = PUBLISHED[name].genotype
    assert isinstance(genotype, Lightweight)
    return genotype


def test_the_pruned_rlfn_keeps_its_narrow_ends(tmp_path: Path) -> None:
    """RLFN of NTIRE 2022: 46 channels, 48 inside its blocks, 317.2 K parameters."""
    torch.manual_seed(0)
    wide = dataclasses.replace(_lightweight("rlfn"), width=48, blocks=4)
    state = authors_names("rlfn", shuffled(wide, 4).state_dict())
    cut = {}
    for name, tensor in state.items():
        inner = name.split(".")[1] if name.startswith("block_") else ""
        outer_out = not name.startswith("block_") or inner in ("c3_r", "c5") or name.endswith("conv4.weight")
        outer_out = outer_out or name.endswith("conv4.bias")
        outer_in = not name.startswith("block_") or inner in ("c1_r", "c5") or name.endswith("conv1.weight")
        if outer_out and len(tensor) == 48 and not name.startswith("upsampler"):
            tensor = tensor[:46]
        if tensor.dim() == 4 and outer_in and tensor.shape[1] == 48:
            tensor = tensor[:, :46]
        cut[name] = tensor.clone()
    found = read_released(save(tmp_path / "x.pth", cut))
    assert isinstance(found.genotype, Compressed)
    params = sum(tensor.numel() for tensor in found.weights.values())
    assert params == pytest.approx(317.2e3, abs=100)
    assert cost_of(found.genotype, 4).params == params
    # Zeros where the channels were cut make it the wide network again.
    network = wide.build(4)
    padded = {
        name: torch.nn.functional.pad(
            found.weights[name],
            [
                n
                for side, has in zip(reversed(own.shape), reversed(found.weights[name].shape), strict=True)
                for n in (0, side - has)
            ],
        )
        for name, own in network.state_dict().items()
    }
    network.load_state_dict(padded)
    torch.testing.assert_close(out(found.build(), image()), out(network, image()), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("skip", ["bicubic", "none"])
def test_gpdn_with_and_without_its_skip_are_told_apart(skip: str, tmp_path: Path) -> None:
    genotype = dataclasses.replace(_lightweight("gpdn"), skip=skip)
    network = genotype.build(4)
    with torch.no_grad():  # trained tails give the image, or what the bicubic one lacks: nothing, here
        tail = network.get_submodule("tail.0")
        assert isinstance(tail, nn.Conv2d) and tail.bias is not None
        tail.weight.zero_()
        tail.bias.fill_(0.5 if skip == "none" else 0.0)
    found = read_released(save(tmp_path / "x.pth", authors_names("gpdn", network.state_dict())))
    assert found.genotype == genotype


def wrappers() -> dict[str, Callable[[State], Any]]:
    """What training frameworks wrap weights into; wrong weights stand beside the right ones."""
    off = lambda state: {name: tensor + 1 for name, tensor in state.items()}  # noqa: E731
    before = lambda prefix: lambda state: {prefix + name: tensor for name, tensor in state.items()}  # noqa: E731
    return {
        "flat": lambda state: state,
        "params": lambda state: {"params": state},
        "averaged first": lambda state: {"params": off(state), "params_ema": state},
        "state_dict": lambda state: {"state_dict": state, "epoch": 3, "best": 31.5},
        "lightning": lambda state: {"state_dict": before("network.")(state), "hyper_parameters": {"dim": 32}},
        "model_state_dict": lambda state: {"model_state_dict": state, "optimizer_state_dict": {"lr": 0.1}},
        "two levels": lambda state: {"model": {"params": state}},
        "DataParallel": before("module."),
        "compiled": before("_orig_mod.module."),
        "parameters": lambda state: {name: nn.Parameter(tensor) for name, tensor in state.items()},
    }


@pytest.mark.parametrize("wrapper", wrappers())
def test_levels_and_prefixes_of_training_frameworks(wrapper: str, tmp_path: Path) -> None:
    network = shuffled(_lightweight("safmn"), 2)
    state = authors_names("safmn", network.state_dict())
    found = read_released(save(tmp_path / "x.pth", wrappers()[wrapper](state)))
    assert found.name == "safmn"
    torch.testing.assert_close(found.weights, dict(network.state_dict()))


# What is refused


class Harmful:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def hostile(tmp_path: Path) -> dict[str, Any]:
    """Name -> what is written, or the bytes of the file."""
    good = authors_names("safmn", shuffled(_lightweight("safmn"), 4).state_dict())
    path = save(tmp_path / "good.pth", good)
    nested: Any = good
    for _ in range(64):
        nested = {"state_dict": nested}
    first = "feats.0.ccm.ccm.0.weight"
    longer = dict(good)
    longer["to_feat.weight"] = torch.zeros(1).expand(10**6, 3, 3, 3)
    return {
        "cut": path.read_bytes()[: path.stat().st_size // 2],
        "empty": b"",
        "text": b"import os; os.system('x')\n" * 10,
        "code": {"params": {**good, "x": Harmful(tmp_path / "mark")}},
        "code alone": Harmful(tmp_path / "mark"),
        "nested": nested,
        "list": list(good.values()),
        "names that are numbers": dict(enumerate(good.values())),
        "no tensors": {"params": {name: tensor.tolist() for name, tensor in list(good.items())[:2]}},
        "another shape": {**good, first: torch.zeros(72, 35, 3, 3)},
        "another width": {**good, "to_feat.weight": torch.zeros(37, 3, 3, 3)},
        "another scale": {**good, "to_img.0.weight": torch.zeros(75, 36, 3, 3)},
        "a vector": {**good, "to_img.0.weight": torch.zeros(48)},
        "a number": {**good, "to_feat.weight": torch.tensor(1.0)},
        "one missing": {name: tensor for name, tensor in good.items() if name != first},
        "one too many": {**good, "extra.weight": torch.zeros(1)},
        "a gap": {name.replace("feats.3.", "feats.30."): tensor for name, tensor in good.items()},
        "half": {name: tensor.half() for name, tensor in good.items()},
        "integers": {**good, first: torch.zeros(72, 36, 3, 3, dtype=torch.int64)},
        "complex": {**good, first: torch.zeros(72, 36, 3, 3, dtype=torch.complex64)},
        "sparse": {**good, first: torch.zeros(72, 36, 3, 3).to_sparse()},
        "NaN": {**good, first: torch.full((72, 36, 3, 3), float("nan"))},
        "enormous": longer,
        "enormous and deep": {**good, "feats.999999999.x": torch.zeros(1)},
        "unknown network": {f"layer{number}.conv.weight": torch.zeros(8, 8, 3, 3) for number in range(9)},
        "our names": _lightweight("rlfn").build(4).state_dict(),
        "a name with a newline": {"to\nfeat": torch.zeros(1), "x" * 9999: torch.zeros(1)},
        "too wide": authors_names("safmn", _as_wide()),
        "span": {f"block_1.c1_r.{name}.weight": torch.zeros(8, 8) for name in ("eval_conv", "sk")},
        "ecbsr": {"backbone.0.conv3x3.weight": torch.zeros(8), "backbone.0.conv1x1_sbx.k0": torch.zeros(3)},
        "plainusr": {"tail.0.weight": torch.zeros(48, 3), "blockm.body.0.expand_conv.weight": torch.zeros(1)},
    }


def _as_wide() -> State:
    """SAFMN's tensors with 128 channels, as its larger size has."""
    state = _lightweight("safmn").build(4).state_dict()
    sizes = {36: 128, 72: 256, 9: 32}
    return {
        name: torch.zeros([sizes.get(side, side) for side in tensor.shape]) for name, tensor in state.items()
    }


HOSTILE = (
    *("cut", "empty", "text", "code", "code alone", "nested", "list", "names that are numbers", "no tensors"),
    *("another shape", "another width", "another scale", "a vector", "a number", "one missing"),
    *("one too many", "a gap", "half", "integers", "complex", "sparse", "NaN", "enormous"),
    *("enormous and deep", "unknown network", "our names", "a name with a newline", "too wide"),
    *("span", "ecbsr", "plainusr"),
)


def written(name: str, tmp_path: Path) -> Path:
    held = hostile(tmp_path)[name]
    path = tmp_path / "x.pth"
    if isinstance(held, bytes):
        path.write_bytes(held)
    else:
        save(path, held)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_not_one_is_refused_in_one_line_and_runs_nothing(name: str, tmp_path: Path) -> None:
    path = written(name, tmp_path)
    with pytest.raises(CheckpointError) as error:
        read_released(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and len(line) < 700
    assert not (tmp_path / "mark").exists()


def test_the_cases_above_are_all_and_the_right_file_is_taken(tmp_path: Path) -> None:
    assert set(hostile(tmp_path)) == set(HOSTILE)
    assert read_released(tmp_path / "good.pth").name == "safmn"


@pytest.mark.filterwarnings("ignore")
def test_reasons_name_what_is_wrong(tmp_path: Path) -> None:
    reasons = {
        "another scale": "looks like SAFMN, but to_img.0.weight has 75 outputs (needed: 12 at x2, 27",
        "one missing": "looks like SAFMN, but feats.0.ccm.ccm.0.weight is missing",
        "one too many": "looks like SAFMN, but extra.weight is not known",
        "another shape": "but feats.0.ccm.ccm.0.weight has the shape (72, 35, 3, 3), not (72, 36, 3, 3)",
        "half": "is of torch.float16; save weights in float32",
        "unknown network": "holds no released network known here, but 9 tensors (layer0.conv.weight, layer1.",
        "too wide": "looks like SAFMN, but",
        "code": "it asks for posix.system, which no weights need; nothing of it was run",
    }
    for name, reason in reasons.items():
        with pytest.raises(CheckpointError) as error:
            read_released(written(name, tmp_path))
        assert reason.lower() in str(error.value).lower(), name


def training_forms() -> dict[str, Callable[[], State]]:
    """Name -> a file with training-time branches, one of each layout that has any."""

    def span_28() -> State:
        state = authors_names("span", shuffled(_genotype("span-28"), 4).state_dict())
        for key in [key for key in state if key.endswith("sk.weight")]:
            head = key.removesuffix("sk.weight")
            state[f"{head}eval_conv.weight"] = torch.randn(*state[key].shape[:2], 3, 3)
            state[f"{head}eval_conv.bias"] = torch.randn(len(state[key]))
        return state

    def plainusr_t() -> State:
        network = shuffled(_genotype("plainusr-t"), 4)
        return authors_plainusr(network.state_dict(), len(list(network.get_submodule("blocks").children())))

    def ecbsr(colour: str) -> State:
        genotype = Ecbsr(width=8, blocks=1, colour=colour)
        return authors_ecbsr(shuffled(genotype, 2).state_dict(), genotype.blocks)

    return {
        "bsrn-s": lambda: bsrn_s_state(width=16, blocks=1, scale=2),
        "lkdn-s": lambda: authors_names("lkdn", shuffled(_genotype("lkdn-s"), 4).state_dict()),
        "span-28": span_28,
        "plainusr-t": plainusr_t,
        "ecbsr": lambda: ecbsr("y"),
        "ecbsr in colour": lambda: ecbsr("rgb"),
    }


def _genotype(name: str) -> Genotype:
    genotype = PUBLISHED[name].genotype
    assert genotype is not None
    return genotype


@pytest.mark.parametrize("name", mostly_thorough(training_forms(), {"bsrn-s", "ecbsr"}))
def test_a_training_form_with_a_tensor_of_another_size_is_refused(name: str, tmp_path: Path) -> None:
    """Torch repeats a tensor of one channel for all, so that a fold of it has the right shape."""
    state = training_forms()[name]()
    assert read_released(save(tmp_path / "x.pth", state)).folded
    accepted, roles = [], set()
    for key, tensor in state.items():
        role = re.sub(r"\d+", "N", key, count=1)
        if role in roles:  # one block stands for all
            continue
        roles.add(role)
        sides = [axis for axis, side in enumerate(tensor.shape) if side > 1]
        for smaller in [tensor.narrow(axis, 0, 1).clone() for axis in sides]:
            try:
                read_released(save(tmp_path / "x.pth", {**state, key: smaller}))
            except CheckpointError:
                continue
            accepted.append((key, tuple(tensor.shape), tuple(smaller.shape)))
    assert accepted == [] and len(roles) > 10


def bombs() -> dict[str, State]:
    """Files of at most 3 MB whose folds would take gigabytes or minutes."""
    n, zeros = 30_000, torch.zeros
    chain = {"conv.0": (1, n, 1, 1), "conv.1": (n, 1, 3, 3), "conv.2": (n, 1, 1, 1), "sk": (1, 1, 1, 1)}
    cell = {"rep1x1": (1, 1, 1, 1), "pw": (1, 1, 1, 1), "dw": (1, 1, 3, 3)}
    return {
        "an identity": {
            **{"B1.atten.pointwise.weight": zeros(1), "x.rep1x1.weight": zeros(1, 1, 1, 1)},
            "x.pw.weight": zeros(n, 1, 1, 1),
        },
        "a product": {
            "block_1.c1_r.eval_conv.weight": zeros(1),
            **{f"x.{part}.weight": zeros(shape) for part, shape in chain.items()},
        },
        "a matrix of two vectors": {"B1.conv_out.weight": zeros(n, 1), "B1.cw": zeros(n)},
        "many products": {
            "block_1.c1_r.eval_conv.weight": zeros(1),
            **{
                f"{x}.{part}.weight": zeros([500 if side == n else side for side in shape])
                for x in range(120)
                for part, shape in chain.items()
            },
        },
        "many small ones": {
            "B1.atten.pointwise.weight": zeros(1),
            **{f"{x}.{part}.weight": zeros(shape) for x in range(2499) for part, shape in cell.items()},
        },
    }


@pytest.mark.parametrize("name", bombs())
def test_a_small_file_cannot_take_much_memory_or_time(name: str, tmp_path: Path) -> None:
    path = save(tmp_path / "x.pth", bombs()[name])
    assert path.stat().st_size < 3_000_000
    began, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CheckpointError, match=r"looks like [A-Z-]+, but"):
        read_released(path)
    assert time.process_time() - began < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB


@pytest.mark.parametrize("scale", [2, 4])
def test_bsrn_s_computes_what_a_second_reading_of_its_code_does(scale: int, tmp_path: Path) -> None:
    state = bsrn_s_state(width=24, blocks=3, scale=scale)
    found = read_released(save(tmp_path / "x.pth", {"params": state}))
    assert isinstance(found.genotype, Lightweight)
    assert (found.genotype.width, found.genotype.blocks, found.genotype.attention) == (24, 3, "esa-point")
    assert (found.family, found.name, found.scale) == ("BSRN-S", None, scale)
    x = image(20, 28)
    torch.testing.assert_close(out(found.build(), x), bsrn_s_forward(state, x), rtol=1e-4, atol=1e-5)


def test_a_wrong_mean_colour_is_no_man(tmp_path: Path) -> None:
    genotype = PUBLISHED["man-tiny"].genotype
    assert genotype is not None
    state = authors_names("man", genotype.build(4).state_dict())
    state["sub_mean.bias"] = state["sub_mean.bias"] + 0.1
    with pytest.raises(CheckpointError, match=r"sub_mean\.bias is not"):
        read_released(save(tmp_path / "x.pth", state))


@pytest.mark.parametrize("command", ["evaluate", "import-weights", "upscale"])
def test_the_commands_refuse_it_with_status_2(command: str, nas: Nas, tmp_path: Path) -> None:
    path = written("code", tmp_path)
    (tmp_path / "i").mkdir()
    words = {
        "evaluate": [str(path), "--data-dir", str(tmp_path)],
        "import-weights": [str(path), "--out", "y.safetensors"],
        "upscale": [str(tmp_path / "i"), "--model", str(path)],
    }[command]
    if command == "evaluate":
        _write_set(tmp_path)
    done = nas(command, *words)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1 and str(path) in done.stderr
    assert not (tmp_path / "mark").exists() and not (tmp_path / "y.safetensors").exists()


def _write_set(folder: Path) -> None:
    import numpy as np
    from PIL import Image

    (folder / "Set5").mkdir()
    pixels = (out(nn.Identity(), image(96, 128))[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "Set5" / "a.png")


# The commands


def _file(name: str, scale: int, folder: Path) -> Path:
    """A file of the authors' layout with random weights."""
    network = shuffled(_lightweight(name), scale)
    weights = in_authors_range(name, network.state_dict())
    return save(folder / f"{name}.pth", {"params": authors_names(LAYOUT_OF[name], weights)})


def test_a_published_name_takes_a_released_file_as_weights(tmp_path: Path) -> None:
    path = _file("safmn", 2, tmp_path)
    named = load_network("safmn", scale=None, weights=path, runs=tmp_path, open_store=None)
    alone = load_network(str(path), scale=None, weights=None, runs=tmp_path, open_store=None)
    assert (named.scale, named.name, named.weights) == (2, "safmn", alone.weights)
    with pytest.raises(RecipeError, match=r"holds safmn at x2, not imdn"):
        load_network("imdn", scale=None, weights=path, runs=tmp_path, open_store=None)
    with pytest.raises(RecipeError, match=r"holds safmn at x2, not x4"):
        load_network("safmn", scale=4, weights=path, runs=tmp_path, open_store=None)


def test_weights_of_our_names_are_taken_as_before(tmp_path: Path) -> None:
    network = shuffled(_lightweight("safmn"), 4)
    path = save(tmp_path / "x.pth", {"params": network.state_dict()})
    found = load_network("safmn", scale=4, weights=path, runs=tmp_path, open_store=None)
    torch.testing.assert_close(found.module.state_dict(), network.state_dict())


def test_an_imported_file_says_whose_weights_it_holds(nas: Nas, tmp_path: Path) -> None:
    path = _file("rlfn", 2, tmp_path)
    done = nas("import-weights", str(path), "--out", "rlfn.safetensors")
    assert done.returncode == 0, done.stderr
    assert "rlfn at x2, 526.9K parameters (RLFN, arXiv 2205.07514)" in done.stdout
    about = load_weights(tmp_path / "rlfn.safetensors")[1]
    released = read_released(path)
    assert about["origin"] == {
        "family": "RLFN",
        "source": "RLFN, arXiv 2205.07514, released weights",
        "sha256": released.sha256,
        "folded": False,
    }
    genotype, scale, network = load_described(tmp_path / "rlfn.safetensors")
    assert (genotype, scale) == (_lightweight("rlfn"), 2)
    torch.testing.assert_close(dict(network.state_dict()), released.weights)
    found = load_network(
        str(tmp_path / "rlfn.safetensors"), scale=None, weights=None, runs=tmp_path, open_store=None
    )
    assert (found.name, found.origin["sha256"]) == ("rlfn", released.sha256)
    again = nas("import-weights", str(path), "--out", "rlfn.safetensors")
    assert again.returncode == 2 and "--force replaces it" in again.stderr
    other = nas("import-weights", str(path), "--out", "rlfn.pth")
    assert other.returncode == 2 and "ends in .safetensors" in other.stderr


def test_one_command_prints_the_table(nas: Nas, released: Path, shared: Path) -> None:
    files = [str(released / name) for name in ("PlainUSRU_Rep_x4.pth", "SMFANet_DIV2K_100w_x4SR.pth")]
    sets = ("--sets", "Set5", "--data-dir", str(shared / "data" / "test"))
    done = nas("evaluate", *files, *sets, "--no-record")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    head = ["file", "network", "scale", "set", "PSNR", "dB", "SSIM", "authors'", "code", "print"]
    assert rows[1] == head
    assert rows[2][:5] == ["PlainUSRU_Rep_x4.pth", "plainusr-u", "x4", "Set5", "30.769"]
    assert rows[2][6:] == ["-", "-"]
    assert rows[3][1:5] == ["smfanet", "x4", "Set5", "32.253"] and rows[3][6:] == ["32.253", "32.25"]
    done = nas("evaluate", files[1], *sets, "--json")
    told = json.loads(done.stdout)
    assert told["released"]["family"] == "SMFANet" and told["network"] == "smfanet"
    assert told["sets"][0]["authors_code"] == [{"psnr_db": 32.253, "data": "DIV2K"}]


def test_figures_of_a_file_that_is_not_known_are_those_of_all_training_data() -> None:
    assert [one.data for one in figures_of("smfanet-plus", 4, "0" * 64)] == ["DIV2K", "DF2K"]
    own = figures_of("smfanet-plus", 4, "238c4eb5d1b177c42cee93cac9fa96cbae63a52c4daded9d153ae9b771f228d0")
    assert [one.data for one in own] == ["DIV2K"]
    assert figures_of("rlfn", 3, "") == []
    assert {figure.network for figure in FIGURES} <= set(PUBLISHED)


@pytest.mark.thorough
def test_every_command_takes_an_imported_file(nas: Nas, images: Path, tmp_path: Path) -> None:
    path = _file("safmn", 2, tmp_path)
    assert nas("import-weights", str(path), "--out", "big.safetensors").returncode == 0
    _write_set(tmp_path)
    commands = (
        ("evaluate", "big.safetensors", "--data-dir", "."),
        ("evaluate", "big.safetensors", "--table", "--data-dir", "."),
        ("measure", "big.safetensors", str(path), "--output", "96x64", "--times", "2", "--no-memory"),
        ("export", "big.safetensors", "--out", "big.onnx"),
        ("export", "big.safetensors", "--format", "safetensors", "--out", "copy.safetensors"),
        ("upscale", str(images), "--model", "big.safetensors", "--out", "large"),
        ("upscale", str(images), "--model", str(path), "--out", "large-too"),
    )
    for words in commands:
        done = nas(*words, timeout=300)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    pairs = [(one, tmp_path / "large-too" / one.name) for one in (tmp_path / "large").iterdir()]
    assert pairs and all(one.read_bytes() == other.read_bytes() for one, other in pairs)


@pytest.mark.thorough
def test_an_imported_file_teaches(nas: Nas, images: Path, tmp_path: Path) -> None:
    path = _file("safmn", 2, tmp_path)
    assert nas("import-weights", str(path), "--out", "big.safetensors").returncode == 0
    student = dataclasses.replace(_lightweight("safmn"), width=16, blocks=1)
    save_described(tmp_path / "small.safetensors", student, 2, student.build(2))
    done = nas(
        *("compress", "small.safetensors", "--distil-from", "big.safetensors", "--distil", "output"),
        *("--name", "taught", "--data", f"folder:{images}", "--plan", "quick", "--steps", "3"),
        *("--set", "batch=2", "--set", "lr_patch=12", "--output", "96x96", "--max-drop-db", "20"),
        *("--device", "cpu"),
        timeout=600,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "teacher" in done.stdout and "distilled" in done.stdout
