from __future__ import annotations

import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_networks import TINY
from torch import nn

from leaderboard.store import Store
from leaderboard.store.records import Measurement
from nas.data.benchmarks import (
    BenchmarkSet,
    choose_benchmarks,
    count_images,
    data_folder,
    find_benchmarks,
    read_benchmark,
)
from nas.errors import CheckpointError, DataError, RecipeError
from nas.evaluation.benchmark_sets import (
    Network,
    digest_weights,
    load_network,
    measure_bicubic,
    measure_folders,
    measure_network,
    read_weights,
)
from nas.imaging.tiling import plan_tiling
from nas.training.checkpoint import save_weights


def write(path: Path, seed: int, width: int = 48, height: int = 40, mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)).save(path)


@pytest.mark.parametrize(
    ("scale", "psnr_db", "ssim"), [(2, 33.662, 0.92988), (3, 30.394, 0.86821), (4, 28.422, 0.81037)]
)
def test_bicubic_on_set5_is_the_row_that_all_papers_print(
    shared: Path, scale: int, psnr_db: float, ssim: float
) -> None:
    [set5] = choose_benchmarks(shared / "data" / "test", ["Set5"])
    scores = measure_bicubic(read_benchmark(set5, scale), scale, "y_float")
    assert scores.psnr_db == pytest.approx(psnr_db, abs=6e-4)
    assert scores.ssim == pytest.approx(ssim, abs=1.1e-5)
    assert scores.low_resolution == "unrounded"
    assert scores.as_a_network is not None


def test_bicubic_from_the_8_bit_files_is_what_the_matlab_scripts_give(shared: Path) -> None:
    [set5] = choose_benchmarks(shared / "data" / "test", ["Set5"])
    scores = measure_bicubic(read_benchmark(set5, 2), 2, "y_uint8")
    assert scores.psnr_db == pytest.approx(33.640, abs=5e-4)
    assert scores.ssim == pytest.approx(0.92922, abs=5e-6)
    assert scores.low_resolution == "read"


def test_low_resolution_that_is_made_equals_the_one_that_is_read(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "test" / "Set5"
    read = list(read_benchmark(BenchmarkSet(name="Set5", root=root), 3))
    shutil.copytree(root / "HR", tmp_path / "Set5")
    made = list(read_benchmark(BenchmarkSet(name="Set5", root=tmp_path / "Set5"), 3))
    assert all(image.read for image in read)
    assert not any(image.read for image in made)
    for a, b in zip(read, made, strict=True):
        assert torch.equal(a.lr, b.lr)


@pytest.mark.parametrize(
    ("hr", "lr"),
    [
        ("HR/{}.png", "LR_bicubic/X2/{}x2.png"),
        ("{}.png", "LR_bicubic/X2/{}x2.png"),
        ("GTmod12/{}.png", "LRbicx2/{}.png"),
        ("image_SRF_2/{}_SRF_2_HR.png", "image_SRF_2/{}_SRF_2_LR.png"),
    ],
)
def test_every_convention_finds_its_pairs(tmp_path: Path, hr: str, lr: str) -> None:
    root = tmp_path / "benchmark" / "bsds100"
    for index, name in enumerate(("a", "b")):
        write(root / hr.format(name), index)
        write(root / lr.format(name), 10 + index, 24, 20)
    [found] = find_benchmarks(tmp_path)
    assert found.name == "B100"
    assert count_images(found) == (2, [2])
    images = list(read_benchmark(found, 2))
    assert [image.name for image in images] == ["a", "b"]
    assert all(image.read for image in images)
    assert not any(image.read for image in read_benchmark(found, 4))


def test_urban100_takes_the_high_resolution_of_x4_at_every_scale(tmp_path: Path) -> None:
    root = tmp_path / "Urban100"
    write(root / "image_SRF_4/img_001_SRF_4_HR.png", 1)
    write(root / "image_SRF_4/img_001_SRF_4_LR.png", 2, 12, 10)
    write(root / "image_SRF_2/img_001_SRF_2_HR.png", 3, 24, 20)
    write(root / "image_SRF_2/img_001_SRF_2_LR.png", 4, 12, 10)
    [found] = find_benchmarks(tmp_path)
    [x2], [x4] = (list(read_benchmark(found, scale)) for scale in (2, 4))
    assert x2.hr.shape == x4.hr.shape == (3, 40, 48)
    assert not x2.read
    assert x4.read


def test_grayscale_is_rgb_and_a_broken_image_is_named(tmp_path: Path) -> None:
    write(tmp_path / "Set14" / "bridge.png", 1, mode="L")
    [found] = find_benchmarks(tmp_path)
    [image] = list(read_benchmark(found, 2))
    assert image.hr.shape == (3, 40, 48)
    (tmp_path / "Set14" / "torn.png").write_bytes(b"torn")
    with pytest.raises(DataError, match=r"torn\.png: is no image"):
        list(read_benchmark(found, 2))


def test_a_missing_folder_or_set_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_DATA", raising=False)
    with pytest.raises(DataError, match="give --data-dir PATH, or set NAS_DATA"):
        data_folder(None)
    monkeypatch.setenv("NAS_DATA", str(tmp_path))
    assert data_folder(None) == tmp_path
    with pytest.raises(DataError, match="no benchmark set below"):
        choose_benchmarks(tmp_path, [])
    write(tmp_path / "Set5" / "a.png", 0)
    with pytest.raises(RecipeError, match="did you mean 'Set5'"):
        choose_benchmarks(tmp_path, ["Set"])


def weights_file(path: Path, scale: int = 2) -> Path:
    torch.manual_seed(0)
    about = {"space": TINY.space, "choices": TINY.to_dict(), "scale": scale}
    save_weights(path, TINY.build(scale).state_dict(), about)
    return path


def load(word: str, tmp_path: Path, **changes: object) -> Network:
    options = {"scale": None, "weights": None, "runs": tmp_path, "open_store": None}
    return load_network(word, **{**options, **changes})  # type: ignore[arg-type]


def test_a_file_of_ours_says_itself_which_network_it_is(tmp_path: Path) -> None:
    path = weights_file(tmp_path / "w.safetensors")
    network = load(str(path), tmp_path)
    assert (network.genotype, network.scale, network.name) == (TINY, 2, TINY.id)
    torch.manual_seed(0)
    assert network.weights == digest_weights(TINY.build(2))
    with pytest.raises(RecipeError, match="was trained for x2, not for x4"):
        load(str(path), tmp_path, scale=4)
    with pytest.raises(CheckpointError, match="no such file"):
        load(str(tmp_path / "none.safetensors"), tmp_path)


def test_published_networks_take_weights_and_say_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="give --weights FILE"):
        load("imdn", tmp_path)
    strange = weights_file(tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=r"does not fit imdn at x4: \d+ missing \(.*not known"):
        load("imdn", tmp_path, weights=strange)
    from search_spaces.published import PUBLISHED

    torch.manual_seed(1)
    module = PUBLISHED["imdn"].build(3)
    wrapped = {f"module.{name}": value for name, value in module.state_dict().items()}
    torch.save({"params": {}, "params_ema": wrapped}, tmp_path / "net.pth")
    network = load("imdn", tmp_path, scale=3, weights=tmp_path / "net.pth")
    assert network.weights == digest_weights(module)


def test_a_pth_that_carries_code_or_no_weights_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path(tmp_path / "owned").write_text, ("",))

    torch.save({"params": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="no readable weights"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "owned").exists()
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(CheckpointError, match="holds no weights"):
        read_weights(tmp_path / "list.pth")


def test_a_network_is_measured_whole_and_in_tiles_alike(tmp_path: Path) -> None:
    write(tmp_path / "Set5" / "a.png", 0, 240, 200)
    network = load(str(weights_file(tmp_path / "w.safetensors")), tmp_path)
    [set5] = find_benchmarks(tmp_path)
    cpu = torch.device("cpu")
    whole = measure_network(network, read_benchmark(set5, 2), "rgb", cpu)
    tiling = plan_tiling(network.module, 2, 48, cpu)
    assert tiling.difference <= 1e-5
    tiled = measure_network(network, read_benchmark(set5, 2), "rgb", cpu, tiling)
    assert tiled.psnr_db == pytest.approx(whole.psnr_db, abs=1e-4)
    assert tiled.digest == whole.digest


def test_a_network_of_another_scale_is_told(tmp_path: Path) -> None:
    write(tmp_path / "Set5" / "a.png", 0)
    [set5] = find_benchmarks(tmp_path)
    network = Network(name="mine", source="here", scale=2, module=nn.Conv2d(3, 3, 1))
    with pytest.raises(RecipeError, match=r"mine gives \(3, 20, 24\) for \(3, 20, 24\), not x2"):
        measure_network(network, read_benchmark(set5, 2), "rgb", torch.device("cpu"))


def test_two_folders_are_compared_by_name(tmp_path: Path) -> None:
    for index, name in enumerate(("a", "b")):
        write(tmp_path / "hr" / f"{name}.png", index, 49, 41)
        image = Image.open(tmp_path / "hr" / f"{name}.png").crop((0, 0, 48, 40))
        (tmp_path / "sr").mkdir(exist_ok=True)
        image.save(tmp_path / "sr" / (f"{name}.png" if name == "a" else f"{name}x2.png"))
    scores = measure_folders(tmp_path / "sr", tmp_path / "hr", 2, "y_float")
    assert scores.per_image["a"] == (math.inf, pytest.approx(1))
    write(tmp_path / "sr" / "a.png", 0, 30, 30)
    with pytest.raises(DataError, match=r"30x30, and a\.png at x2 is 48x40"):
        measure_folders(tmp_path / "sr", tmp_path / "hr", 2, "y_float")
    (tmp_path / "sr" / "bx2.png").unlink()
    write(tmp_path / "sr" / "a.png", 0)
    with pytest.raises(DataError, match=r"no image for b\.png"):
        measure_folders(tmp_path / "sr", tmp_path / "hr", 2, "y_float")


def test_a_measurement_is_kept_once_and_replaced(tmp_path: Path) -> None:
    one = {
        "network": "mine",
        "genotype_id": TINY.id,
        "weights": "w",
        "scale": 2,
        "benchmark": "Set5",
        "data_digest": "d",
        "low_resolution": "read",
        "metric": "y_float",
        "psnr_db": 30.0,
        "ssim": math.nan,
        "per_image": {"a": [math.inf, 1.0]},
        "seconds": 1.0,
        "device": "cpu",
        "torch_version": "0",
        "code_version": "0",
    }
    with Store.at(tmp_path / "results.db") as store:
        store.record_measurement(Measurement(**one), space=TINY.space, choices=TINY.to_dict())  # type: ignore[arg-type]
        store.record_measurement(Measurement(**{**one, "psnr_db": math.inf}))  # type: ignore[arg-type]
        [kept] = store.measurements(TINY.id)
        assert kept.psnr_db == 1000
        assert kept.ssim is None
        assert kept.per_image == {"a": [None, 1.0]}
        assert store.measurements("other") == []
        assert store.find_genotype(TINY.id) == [(TINY.id, TINY.space, TINY.to_dict())]


Nas = Callable[..., subprocess.CompletedProcess[str]]


def test_the_command_measures_a_run_and_keeps_it(nas: Nas, tmp_path: Path, images: Path) -> None:
    (tmp_path / "tiny.toml").write_text(
        f'scale = 2\ndata = "folder:{images}"\ntrials = 1\ndevice = "cpu"\n'
        "[space.only]\nwidth = [16]\nblocks = [1]\ntransformers = [0]\n"
        '[proxy]\nplan = "quick"\nsteps = 2\nbatch = 2\nlr_patch = 12\n'
    )
    assert nas("search", "tiny.toml").returncode == 0
    write(tmp_path / "sets" / "Set5" / "HR" / "a.png", 0, 64, 64)
    arguments = ("evaluate", "tiny", "--data-dir", "sets", "--device", "cpu", "--json")
    done = nas(*arguments)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["scale"] == 2
    [row] = told["sets"]
    assert (row["name"], row["images"], row["low_resolution"]) == ("Set5", 1, "made")
    assert list(row["per_image"]) == ["a"]
    assert json.loads(nas(*arguments[:1], told["genotype"][:6], *arguments[2:]).stdout)["sets"][0][
        "psnr_db"
    ] == pytest.approx(row["psnr_db"])
    with Store.at(tmp_path / "runs" / "results.db", read_only=True) as store:
        [kept] = store.measurements(told["genotype"])
    assert kept.psnr_db == pytest.approx(row["psnr_db"])
    tiled = nas("evaluate", "tiny", "--data-dir", "sets", "--tile", "48", "--per-image", "--no-record")
    assert "tiles of 48" in tiled.stdout
    assert "\n    a " in tiled.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a network, or give both --sr DIR and --hr DIR"),
        (("bicubic",), "no data folder"),
        (("bicubic", "--data-dir", "nowhere"), "is no folder"),
        (("bicubic", "--scale", "5"), "--scale 5: 2, 3 or 4"),
        (("bicubic", "--metric", "y_flat"), "did you mean 'y_float'"),
        (("bicubic", "--tile", "7"), "--tile 7"),
        (("--sr", "a", "--hr", "b", "--scale", "2"), "is no folder with images"),
    ],
)
def test_what_cannot_be_meant_is_one_line(nas: Nas, arguments: tuple[str, ...], message: str) -> None:
    done = nas("evaluate", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
