from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from leaderboard.store import Store
from nas.cost.latency import processor
from nas.cost.memory import peak_memory, process_peak
from nas.errors import RecipeError
from nas.export.onnx import write_onnx
from nas.measuring.measure import MeasurementSetting, Subject, measure_networks, runtime_of
from search_spaces.lightweight import Lightweight

Nas = Callable[..., subprocess.CompletedProcess[str]]

CPU = torch.device("cpu")
TINY = MeasurementSetting(device=CPU, threads=1, size=(48, 64), runs=3, memory=False)
CALLED: list[str] = []


class Named(nn.Module):
    """Doubles an image, and says that it was called."""

    def __init__(self, name: str, fails_after: int = 10**6) -> None:
        super().__init__()
        self.name, self.left = name, fails_after

    def forward(self, x: Tensor) -> Tensor:
        CALLED.append(self.name)
        self.left -= 1
        if self.left < 0:
            raise ValueError("had enough\nof this")
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def subject(name: str, module: nn.Module | None = None) -> Subject:
    return Subject(name=name, scale=2, module=module or Named(name))


def small(width: int = 16, blocks: int = 1) -> Subject:
    torch.manual_seed(0)
    genotype = Lightweight(width=width, blocks=blocks, block="residual", transformers=0)
    return Subject(name=genotype.id, scale=2, module=genotype.build(2), genotype=genotype)


def test_networks_take_turns_after_those_runs_that_do_not_count() -> None:
    CALLED.clear()
    rows = measure_networks([subject("a"), subject("b")], ["eager"], ["fp32"], TINY)
    assert [row.subject.name for row in rows] == ["a", "b"]
    expected = [*"ab", *"abab", *"ababab"]
    assert expected == CALLED  # made ready, warm-up, runs


def test_throughput_is_what_the_median_says() -> None:
    setting = MeasurementSetting(device=CPU, threads=1, size=(48, 64), runs=3, batch=4, memory=False)
    (row,) = measure_networks([small()], ["eager"], ["fp32"], setting)
    assert row.latency is not None
    assert 0 < row.latency.p5_ms <= row.latency.median_ms <= row.latency.p95_ms
    assert row.images_a_second == pytest.approx(4000 / row.latency.median_ms)
    assert row.megapixels_a_second == pytest.approx(4 * 48 * 64 / 1e3 / row.latency.median_ms)
    runtime = runtime_of(row, setting)
    assert (runtime.height, runtime.width, runtime.batch, runtime.threads) == (48, 64, 4, 1)
    assert (runtime.device, runtime.median_ms) == (processor(CPU), row.latency.median_ms)


def test_sizes_are_those_of_the_output_or_of_the_input() -> None:
    shapes = []

    class Look(Named):
        def forward(self, x: Tensor) -> Tensor:
            shapes.append(tuple(x.shape))
            return super().forward(x)

    for of_input in (False, True):
        setting = MeasurementSetting(
            device=CPU, threads=1, size=(48, 64), of_input=of_input, runs=1, memory=False
        )
        (row,) = measure_networks([subject("look", Look("look"))], ["eager"], ["fp32"], setting)
        runtime = runtime_of(row, setting)
        assert (runtime.height, runtime.width) == ((96, 128) if of_input else (48, 64))
    assert set(shapes[:4]) == {(1, 3, 24, 32)}
    assert set(shapes[4:]) == {(1, 3, 48, 64)}


def test_a_network_that_fails_is_a_row_with_its_reason_and_the_others_go_on() -> None:
    at_once, later = Named("at once", 0), Named("later", 4)
    rows = measure_networks(
        [subject("well"), subject("at once", at_once), subject("later", later)], ["eager"], ["fp32"], TINY
    )
    assert [row.reason for row in rows] == [None, "ValueError: had enough", "ValueError: had enough"]
    assert [row.latency is None for row in rows] == [False, True, True]


def test_nothing_is_left_changed() -> None:
    before = torch.get_num_threads(), torch.is_grad_enabled(), torch.backends.cudnn.allow_tf32
    module = small().module
    assert module is not None
    setting = MeasurementSetting(device=CPU, threads=2, size=(48, 64), runs=1, memory=False)
    rows = measure_networks([subject("s", module)], ["eager"], ["bf16"], setting)
    assert rows[0].latency is not None
    assert (torch.get_num_threads(), torch.is_grad_enabled(), torch.backends.cudnn.allow_tf32) == before
    assert {p.dtype for p in module.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("engines", "precisions", "device", "says"),
    [
        (["eagre"], ["fp32"], "cpu", "unknown engine 'eagre'; did you mean 'eager'?"),
        (["eager"], ["fp31"], "cpu", "unknown precision 'fp31'; did you mean 'fp32'?"),
        (["eager"], ["int8"], "cpu", "eager computes in fp32, tf32, bf16, fp16, not in int8"),
        (["onnxruntime"], ["bf16"], "cpu", "onnxruntime computes in fp32, int8, not in bf16"),
        (["onnxruntime"], ["fp32"], "cuda", "onnxruntime is measured on the CPU, not on cuda"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(
    engines: list[str], precisions: list[str], device: str, says: str
) -> None:
    setting = MeasurementSetting(device=torch.device(device), threads=1, size=(48, 64))
    CALLED.clear()
    with pytest.raises(RecipeError, match=says.replace("?", r"\?")):
        measure_networks([subject("a")], engines, precisions, setting)
    assert CALLED == []


def test_a_missing_compiler_or_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RecipeError, match=r"needs a C\+\+ compiler on the CPU, and none of no-such-compiler"):
        measure_networks([subject("a")], ["compiled"], ["fp32"], TINY)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxruntime" else name)
    with pytest.raises(RecipeError, match=r"needs onnxruntime: pip install 'paretosr\[export\]'"):
        measure_networks([subject("a")], ["onnxruntime"], ["fp32"], TINY)


@pytest.mark.thorough
def test_onnx_runtime_runs_networks_and_files_in_float_and_in_integers(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    network = small()
    assert network.module is not None
    path = tmp_path / "network.onnx"
    write_onnx(network.module, 2, path)
    file = Subject(name="file", scale=2, file=path)
    rows = measure_networks([network, file], ["eager", "onnxruntime"], ["fp32", "int8"], TINY)
    found = {(row.subject.name, row.engine, row.precision): row.reason for row in rows}
    assert found == {
        (network.name, "eager", "fp32"): None,
        (network.name, "onnxruntime", "fp32"): None,
        (network.name, "onnxruntime", "int8"): None,
        ("file", "eager", "fp32"): "an ONNX file runs in onnxruntime only",
        ("file", "onnxruntime", "fp32"): None,
        ("file", "onnxruntime", "int8"): "the file is no int8",
    }


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # of torch.compile
@pytest.mark.thorough
def test_a_compiled_network_is_compiled_once_though_others_share_its_code() -> None:
    networks = [
        subject(str(width), nn.Sequential(nn.Conv2d(3, width, 1), nn.Upsample(2))) for width in (4, 5)
    ]
    rows = measure_networks(networks, ["compiled"], ["fp32"], TINY)
    assert [row.reason for row in rows] == [None, None]
    assert all(row.latency is not None and row.latency.p95_ms < 200 for row in rows)


@pytest.mark.thorough
def test_the_peak_memory_is_what_a_process_of_its_own_grows_by() -> None:
    """64 channels of 512x512 are 67 MB; the library's own work is little beside them."""
    wide = nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(inplace=True), nn.Conv2d(64, 12, 1), nn.PixelShuffle(2))
    setting = MeasurementSetting(device=CPU, threads=1, size=(512, 512), of_input=True, runs=1)
    (row,) = measure_networks([subject("wide", wide)], ["eager"], ["fp32"], setting)
    counted = peak_memory(lambda: wide, 2, (1024, 1024))
    assert row.peak_memory_bytes is not None
    assert 0.95 * counted <= row.peak_memory_bytes <= counted + 40e6
    unknown = type("Local", (Named,), {})("local")  # cannot be pickled
    (row,) = measure_networks([subject("local", unknown)], ["eager"], ["fp32"], setting)
    assert row.latency is not None
    assert row.peak_memory_bytes is None


def test_a_process_grows_by_what_it_writes_to() -> None:
    grown = process_peak(lambda: torch.ones(50_000_000))
    assert grown is not None
    assert 190e6 <= grown <= 260e6


@pytest.mark.gpu
def test_a_gpu_is_measured_in_each_precision() -> None:
    setting = MeasurementSetting(device=torch.device("cuda"), threads=1, size=(720, 1280), runs=5)
    rows = measure_networks([small(64, 4)], ["eager"], ["fp32", "tf32", "bf16", "fp16"], setting)
    assert [row.reason for row in rows] == [None] * 4
    memory = {row.precision: row.peak_memory_bytes for row in rows}
    counted = peak_memory(lambda: small(64, 4).module, 2)  # type: ignore[arg-type, return-value]
    assert memory["fp32"] is not None and memory["bf16"] is not None
    assert 0.95 * counted <= memory["fp32"] <= 2 * counted
    assert memory["bf16"] < 0.7 * memory["fp32"]


def told(nas: Nas, *arguments: str) -> dict[str, Any]:
    done = nas("measure", *arguments, "--times", "2", "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_command_compares_networks_and_keeps_what_it_found(nas: Nas, tmp_path: Path) -> None:
    mine = Lightweight(width=16, blocks=1, block="residual", transformers=0)
    (tmp_path / "mine.json").write_text(json.dumps(mine.to_dict()))
    found = told(nas, "mine.json", "f2srgan-student", "gpdn", "--output", "128x96", "--no-memory")
    assert (found["device"], found["threads"], found["output"]) == (processor(CPU), 1, [128, 96])
    rows = found["rows"]
    assert [row["network"] for row in rows] == [mine.id, "f2srgan-student", "gpdn"]
    assert rows[0]["ratio"] == 1
    assert rows[1]["ratio"] == pytest.approx(rows[1]["median_ms"] / rows[0]["median_ms"])
    again = told(nas, mine.id[:8], "--output", "128x96", "--no-memory")["rows"][0]
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        kept = store.runtimes().set_index("network")
    assert list(kept.index) == [mine.id, "f2srgan-student", "gpdn"]  # the newer one in the older one's place
    assert kept.loc[mine.id, "median_ms"] == again["median_ms"]
    assert kept.loc["gpdn", "name"] == "gpdn"
    assert kept.loc["gpdn", "genotype"] is not None
    assert (kept["device"] == processor(CPU)).all()


@pytest.mark.thorough
def test_the_command_prints_a_table_and_says_that_weights_are_random(nas: Nas, tmp_path: Path) -> None:
    done = nas(
        "measure",
        "f2srgan-student",
        "--input",
        "24x16",
        "--times",
        "1",
        "--no-record",
        "--precision",
        "fp16,fp32",
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{processor(CPU)}, ")
    assert "input 24x16, batch 1" in lines[0]
    assert lines[2].split()[:4] == ["network", "engine", "precision", "ms"]
    assert "Weights of networks that were named only are random" in lines[-1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["imdm"], "unknown architecture 'imdm'; did you mean 'imdn'?"),
        (["imdn", "--output", "1280"], "--output '1280' is no size (write WIDTHxHEIGHT: 1280x720)"),
        (["imdn", "--input", "0x9"], "--input '0x9' is no size"),
        (["imdn", "--scale", "5"], "--scale 5: 2, 3 or 4"),
        (["none.onnx"], "none.onnx: there is no such file"),
        (["none.safetensors"], "none.safetensors: there is no such file"),
    ],
)
def test_a_mistake_is_one_line(nas: Nas, arguments: list[str], says: str) -> None:
    done = nas("measure", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1
