"""Networks in every format: the file that comes out computes the same, alone, at any size."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import skimage.data
import torch
from every_option import SPREAD, spread
from levels import mostly_thorough, nightly
from onnx import TensorProto, helper
from PIL import Image
from torch import Tensor, nn

import nas
from leaderboard.store import Store
from leaderboard.store.records import Measurement
from nas.errors import CheckpointError, ExportError, RecipeError
from nas.evaluation.benchmark_sets import Network, digest_weights, load_network
from nas.export import formats
from nas.export.formats import FORMATS, SUFFIXES, export
from nas.export.onnx import LEAST, LR, OPSET, SCALE, SR, OnnxNetwork, write_onnx
from nas.export.python_source import python_source
from nas.export.rewrites import REWRITES, exportable
from nas.training.checkpoint import save_weights
from search_spaces.blocks.attention import ATTENTIONS
from search_spaces.blocks.convolutions import CONVOLUTIONS
from search_spaces.blocks.folding import Foldable, fold
from search_spaces.blocks.stems import STEMS
from search_spaces.blocks.tails import PixelShuffleTail
from search_spaces.blocks.transformers import TRANSFORMERS
from search_spaces.lightweight import Lightweight
from search_spaces.published import PUBLISHED

Nas = Callable[..., subprocess.CompletedProcess[str]]

SMALL = Lightweight(
    width=16, blocks=2, block="imdb", attention="esa", kernel="asymmetric", transformers=0, skip="bicubic"
)
SIZES = ((1, 16, 16), (2, 17, 23), (1, 40, 31), (1, 97, 18))


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(0)


def awake(module: nn.Module, seed: int = 0) -> nn.Module:
    """With every weight random: layers that begin as zero would hide what is wrong behind them.

    With 0.05 instead of 0.02 EFRDN's outputs reach 3e7, and float32 itself is wrong by 4 % against float64.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn(value.shape, generator=generator) * 0.02)
        for name, buffer in module.named_buffers():
            if "running" in name:
                buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return module.eval()


def network_of(genotype: Lightweight = SMALL, scale: int = 2) -> Network:
    module = awake(genotype.build(scale))
    return Network(
        name="small",
        source="memory",
        scale=scale,
        module=module,
        genotype=genotype,
        weights=digest_weights(module),
    )


TRACED = ("imdn", "bsrn", "safmn")
"""Published networks that become ONNX thoroughly; all others nightly, and every part thoroughly."""


def test_the_spread_takes_every_option_of_every_axis() -> None:
    for name, table in Lightweight.tables.items():
        assert {getattr(spread(number), name) for number in SPREAD} >= set(table), name


@torch.no_grad()
def difference(module: nn.Module, run: Callable[[Tensor], Tensor]) -> float:
    worst = 0.0
    for size in SIZES:
        x = torch.rand(size[0], 3, *size[1:], generator=torch.Generator().manual_seed(1))
        wanted = module(x)
        worst = max(worst, ((run(x) - wanted).abs().max() / wanted.abs().max().clamp(min=1)).item())
    return worst


@pytest.mark.parametrize("name", mostly_thorough(PUBLISHED, {"imdn", "safmn", "f2srgan", "gpdn"}))
def test_what_is_rewritten_for_tracing_computes_the_same(name: str) -> None:
    module = awake(PUBLISHED[name].build(2))
    assert difference(module, exportable(module)) < 1e-5


@pytest.mark.parametrize("part", REWRITES, ids=lambda part: part.__name__)
def test_every_rewritten_part_is_in_a_network_that_is_tried(part: type[nn.Module]) -> None:
    networks = (
        PUBLISHED[name].build(2) for name in ("safmn", "safmn-pp", "smfanet", "gpdn", "f2srgan", "esrt")
    )
    assert any(type(module) is part for network in networks for module in network.modules())


@pytest.mark.parametrize("number", [*mostly_thorough(SPREAD[::2], SPREAD[::6]), *nightly(SPREAD[1::2])])
def test_every_option_computes_the_same_rewritten_and_as_python(number: int) -> None:
    module = awake(spread(number).build(2))
    assert difference(module, exportable(module)) < 1e-5
    assert_same_as_python(module)


@pytest.mark.parametrize("name", mostly_thorough(PUBLISHED, {"imdn", "safmn", "f2srgan", "gpdn"}))
def test_every_published_network_is_the_same_bits_as_python(name: str) -> None:
    assert_same_as_python(awake(PUBLISHED[name].build(2)))


def assert_same_as_python(module: nn.Module) -> None:
    folded = fold(module)
    assert not any(isinstance(part, Foldable) for part in folded.modules())
    text = python_source(folded, "a network")
    assert "search_spaces" not in text
    assert "\nimport nas" not in text
    names = {"__name__": "alone"}
    exec(compile(text, "alone.py", "exec"), names)  # noqa: S102  (our own text)
    x = torch.rand(1, 3, 17, 24)
    with torch.no_grad():
        assert torch.equal(names["network"]()(x), folded(x))  # type: ignore[operator]


@pytest.mark.parametrize(
    "name", [*mostly_thorough(TRACED, ()), *nightly(sorted(set(PUBLISHED) - set(TRACED)))]
)
def test_every_published_network_becomes_onnx(name: str, tmp_path: Path) -> None:
    module = awake(PUBLISHED[name].build(2))
    write_onnx(module, 2, tmp_path / "a.onnx")
    assert difference(module, OnnxNetwork(tmp_path / "a.onnx", 1)) < 1e-5


class EveryPart(nn.Module):
    """All attentions, kernel shapes, blocks and transformers, one after the other: one tracing for all."""

    def __init__(self) -> None:
        super().__init__()
        self.stems = nn.ModuleList(stem(16) for stem in STEMS.values())
        blocks = (spread(number).parts_by_role(2)["block"].build() for number in range(0, 24, 2))
        self.parts = nn.ModuleList(
            [
                *(attention(16) for attention in ATTENTIONS.values()),
                *(conv(16, 16) for conv in CONVOLUTIONS.values()),
                *blocks,
                *(
                    kind(16, heads=2, mlp_ratio=1, shifted=shifted)
                    for kind in TRANSFORMERS.values()
                    for shifted in (False, True)
                ),
            ]
        )
        self.tail = PixelShuffleTail(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        features = sum(stem(x) for stem in self.stems)
        for part in self.parts:
            features = (features + part(features)) / 2
        return self.tail(features)


@pytest.mark.thorough
def test_every_part_becomes_onnx(tmp_path: Path) -> None:
    module = awake(EveryPart())
    write_onnx(module, 2, tmp_path / "a.onnx")
    assert difference(module, OnnxNetwork(tmp_path / "a.onnx", 1)) < 1e-5


@pytest.mark.parametrize("number", nightly(SPREAD))
def test_every_option_becomes_onnx(number: int, tmp_path: Path) -> None:
    module = awake(spread(number).build(2))
    write_onnx(module, 2, tmp_path / "a.onnx")
    assert difference(module, OnnxNetwork(tmp_path / "a.onnx", 1)) < 1e-5


@pytest.mark.parametrize(
    "name", [*mostly_thorough(["bsrn"], ()), *nightly(["safmn", "f2srgan", "esrt", "swinir-light"])]
)
def test_published_networks_become_torch_programs(name: str, tmp_path: Path) -> None:
    from nas.export.program import read_program, write_program

    module = awake(PUBLISHED[name].build(2))
    write_program(module, tmp_path / "a.pt2")
    assert difference(module, read_program(tmp_path / "a.pt2")) < 1e-5


WORST = Lightweight(
    width=16, blocks=1, block="ffc", transformers=1, transformer="esrt", heads=2, skip="bicubic"
)
"""Fourier units and an ESRT block inside, the parts that trace worst."""


@pytest.mark.parametrize("format", mostly_thorough(FORMATS, {"safetensors"}))
@pytest.mark.parametrize(
    "genotype", [SMALL, pytest.param(WORST, marks=pytest.mark.nightly)], ids=["small", "worst"]
)
def test_every_format_enlarges_a_photograph_as_the_network_does(
    format: str, genotype: Lightweight, tmp_path: Path
) -> None:
    network = network_of(genotype)
    made = export(network, format, tmp_path / "network", licence="CC0")
    assert made.path == tmp_path / f"network{SUFFIXES[format]}"
    x = torch.from_numpy(skimage.data.astronaut()[60:105, 190:252]).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        wanted = network.module(x)
        assert (product(format, made.path)(x) - wanted).abs().max() < 1e-5
    assert str(Path(nas.__file__).parent).encode() not in made.path.read_bytes(), "where it was made"
    card = json.loads(made.cards[0].read_text())
    assert card["licence"] == "CC0"
    assert card["weights"]["digest"] == network.weights
    assert card["cost"]["params"] > 0
    assert "Licence of the weights: CC0" in made.cards[1].read_text()
    with pytest.raises(RecipeError, match="is there already"):
        export(network, format, tmp_path / "network")


def product(format: str, path: Path) -> Callable[[Tensor], Tensor]:
    """What somebody has who is given the file."""
    if format == "onnx":
        return OnnxNetwork(path, 1)
    if format == "torch-export":
        return torch.export.load(path).module()
    if format == "safetensors":
        return load_network(
            str(path), scale=None, weights=None, runs=path.parent, open_store=None
        ).module.eval()
    return lambda x: formats._in_own_process(path, x)


@pytest.mark.thorough
def test_the_file_says_its_opset_and_scale_and_every_size_is_free(tmp_path: Path) -> None:
    write_onnx(SMALL.build(3), 3, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == OPSET
    about = {entry.key: entry.value for entry in model.metadata_props}
    assert about[SCALE] == "3"
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [bool(side.dim_param) for side in shape] == [True, False, True, True]
    session = OnnxNetwork(tmp_path / "a.onnx").session
    assert [one.name for one in (*session.get_inputs(), *session.get_outputs())] == [LR, SR]
    assert OnnxNetwork(tmp_path / "a.onnx")(torch.rand(1, 3, 1, 5)).shape == (1, 3, 3, 15)


def test_a_file_that_computes_something_else_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of()

    def off(network: Network, path: Path) -> Callable[[Tensor], Tensor]:
        path.write_text("wrong")
        return lambda x: network.module(x) + 0.5

    monkeypatch.setitem(FORMATS, "onnx", off)
    with pytest.raises(ExportError, match=r"differs by 5.0e-01 .*nothing was written \(other formats"):
        export(network, "onnx", tmp_path / "a.onnx")
    monkeypatch.setitem(FORMATS, "onnx", lambda network, path: lambda x: network.module(x) * float("nan"))
    with pytest.raises(ExportError, match="differs by nan"):
        export(network, "onnx", tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


class SizedByValue(nn.Module):
    """Cannot be traced: what it does depends on the pixels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3) if x.mean() > 0 else x


@pytest.mark.thorough
def test_what_cannot_be_exported_is_refused_in_one_line(tmp_path: Path) -> None:
    network = Network(name="odd", source="", scale=2, module=SizedByValue())
    for format in ("onnx", "torch-export"):
        with pytest.raises(ExportError, match=r"odd as .*cannot be traced.*other formats: .*python") as told:
            export(network, format, tmp_path / "odd")
        assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []
    hooked = SMALL.build(2)
    hooked.register_forward_hook(lambda *_: None)
    with pytest.raises(ExportError, match="hooks"):
        python_source(hooked, "hooked")


def graph(path: Path, scale: float, *, channels: int = 3, about: dict[str, str] | None = None) -> Path:
    """An ONNX file of others: nearest enlargement."""
    ends = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", channels, "h", "w"]),
        helper.make_tensor_value_info("large", TensorProto.FLOAT, None),
    ]
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, 1.0, scale, scale])
    resize = helper.make_node("Resize", ["image", "", "scales"], ["large"], mode="nearest")
    made = helper.make_graph([resize], "resize", ends[:1], ends[1:], [scales])
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, about or {})
    onnx.save(model, path)
    return path


def test_an_onnx_file_of_others_is_asked_for_its_scale(tmp_path: Path) -> None:
    network = OnnxNetwork(graph(tmp_path / "a.onnx", 2.0))
    assert network.scale == 2
    assert network(torch.rand(1, 3, 5, 7)).shape == (1, 3, 10, 14)


def test_onnx_files_that_are_none_or_strange_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ExportError, match="is no ONNX file"):
        OnnxNetwork(tmp_path / "text.onnx")
    whole = graph(tmp_path / "whole.onnx", 2.0).read_bytes()
    (tmp_path / "half.onnx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ExportError, match=r"half.onnx: is no"):
        OnnxNetwork(tmp_path / "half.onnx")
    with pytest.raises(ExportError, match="is no super-resolution network"):
        OnnxNetwork(graph(tmp_path / "grey.onnx", 2.0, channels=1))
    with pytest.raises(ExportError, match="is no super-resolution network"):
        OnnxNetwork(graph(tmp_path / "odd.onnx", 1.5))
    with pytest.raises(ExportError, match="says x4 and enlarges x2"):
        OnnxNetwork(graph(tmp_path / "liar.onnx", 2.0, about={SCALE: "4"}))
    with pytest.raises(ExportError, match="metadata are damaged"):
        OnnxNetwork(graph(tmp_path / "damaged.onnx", 2.0, about={LEAST: "small"}))
    with pytest.raises(ExportError, match="no such file"):
        OnnxNetwork(tmp_path / "absent.onnx")


def test_weights_of_another_genotype_and_hostile_files_are_refused(tmp_path: Path) -> None:
    other = Lightweight(width=18, blocks=2, block="imdb").build(2)
    about = {"space": "lightweight", "choices": SMALL.to_dict(), "scale": 2}
    save_weights(tmp_path / "other.safetensors", other.state_dict(), about)
    (tmp_path / "evil.pth").write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    for word, weights in (("other.safetensors", None), ("imdn", "evil.pth")):
        with pytest.raises(CheckpointError):
            load_network(
                str(tmp_path / word) if weights is None else word,
                scale=2,
                weights=None if weights is None else tmp_path / weights,
                runs=tmp_path,
                open_store=None,
            )
    assert not Path("hacked").exists()


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name.startswith("onnx") else there(name)
    )
    with pytest.raises(RecipeError, match=r"onnx and onnxscript: pip install 'paretosr\[export\]'"):
        write_onnx(SMALL.build(2), 2, tmp_path / "a.onnx")
    with pytest.raises(RecipeError, match="onnxruntime: pip"):
        OnnxNetwork(tmp_path / "a.onnx")


def test_the_commands_export_and_enlarge_with_what_they_made(nas: Nas, tmp_path: Path) -> None:
    module = awake(SMALL.build(2))
    about = {"space": "lightweight", "choices": SMALL.to_dict(), "scale": 2}
    save_weights(tmp_path / "w.safetensors", module.state_dict(), about)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    done = nas("export", "w.safetensors", "--out", "net.onnx", "--license", "MIT")
    assert done.returncode == 0, done.stderr
    assert "largest difference to PyTorch" in done.stdout
    for model, out in (("net.onnx", "o.png"), ("w.safetensors", "w.png")):
        done = nas("upscale", "a.png", "--model", model, "--out", out, "--device", "cpu")
        assert done.returncode == 0, done.stderr
    large = [np.array(Image.open(tmp_path / name)).astype(int) for name in ("o.png", "w.png")]
    assert large[0].shape == (60, 82, 3)
    assert np.abs(large[0] - large[1]).max() <= 1  # a value between two levels may round either way
    done = nas("upscale", "a.png", "--model", "net.onnx", "--scale", "4")
    assert (done.returncode, done.stderr) == (2, "nas: net.onnx: enlarges x2, not x4\n")


def test_the_card_holds_what_was_measured_with_these_weights(tmp_path: Path) -> None:
    network = network_of()
    measured = Measurement(
        network="small",
        genotype_id=SMALL.id,
        weights=network.weights,
        scale=2,
        benchmark="Set5",
        data_digest="d" * 16,
        low_resolution="read",
        metric="y_float",
        psnr_db=31.234,
        ssim=0.9,
        per_image={},
        seconds=1.0,
        device="cpu",
        torch_version="2",
        code_version="0",
    )
    with Store.at(tmp_path / "results.db") as store:
        about = {"space": SMALL.space, "choices": SMALL.to_dict()}
        store.record_measurement(measured, **about)
        other = dataclasses.replace(measured, weights="f" * 16, psnr_db=1.0)
        store.record_measurement(other, **about)
    made = export(
        network,
        "safetensors",
        tmp_path / "a",
        open_store=lambda: Store.at(tmp_path / "results.db", read_only=True),
    )
    card = json.loads(made.cards[0].read_text())
    assert [row["psnr_db"] for row in card["results"]] == [31.234]
    assert card["training"] is None
    assert "| Set5 | y_float | 31.234 | 0.90000 |" in made.cards[1].read_text()


@pytest.mark.thorough
def test_a_searched_network_is_exported_with_its_provenance(nas: Nas, tmp_path: Path, images: Path) -> None:
    (tmp_path / "tiny.toml").write_text(
        f'scale = 2\ndata = "folder:{images}"\ntrials = 1\ndevice = "cpu"\n'
        "[space.only]\nwidth = [16]\nblocks = [1]\ntransformers = [0]\n"
        '[proxy]\nplan = "quick"\nsteps = 3\nbatch = 2\nlr_patch = 12\n'
    )
    done = nas("search", "tiny.toml")
    assert done.returncode == 0, done.stderr
    done = nas("export", "tiny", "--format", "python", "--out", "net.py")
    assert done.returncode == 0, done.stderr
    training = json.loads((tmp_path / "net.py.json").read_text())["training"]
    assert training["run"] == "tiny"
    assert training["recipe"]["scale"] == 2
    assert training["protocol"]["plan"] == "quick"


@pytest.mark.thorough
def test_every_command_of_the_page_works(nas: Nas, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "using.md").read_text(encoding="utf-8")
    about = {"space": "lightweight", "choices": SMALL.to_dict(), "scale": 2}
    save_weights(tmp_path / "weights.safetensors", awake(SMALL.build(2)).state_dict(), about)
    save_weights(tmp_path / "imdn.safetensors", PUBLISHED["imdn"].build(4).state_dict(), {})
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "photo.png", tmp_path / "folder" / "a.png"):
        Image.fromarray(skimage.data.astronaut()[:100, :110]).save(path)
    commands = re.findall(r"^nas .*$", page, flags=re.MULTILINE)
    assert len(commands) == 7
    for command in commands:
        done = nas(*shlex.split(command)[1:], timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    [code] = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    alone = "import sys, torch\nsys.path.insert(0, '.')\nlr = torch.rand(1, 3, 9, 9)\n" + code
    alone += "assert sr.shape == (1, 3, 18, 18)"
    subprocess.run([sys.executable, "-I", "-c", alone], check=True, cwd=tmp_path)
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert {"photo_x2.png", "mine.png", "large.tif", "enlarged/a_x2.png", "exported/imdn-x4.pt2"} <= made
