"""``nas evaluate``: PSNR and SSIM on the benchmark sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nas.cli.options import Db, Device, Runs, has_store, open_store

if TYPE_CHECKING:
    from leaderboard.store import Store
    from nas.data.benchmarks import BenchmarkSet
    from nas.evaluate import Network, Scores
    from nas.tiles import Tiling

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of the benchmark sets; NAS_DATA if not given.")
]


def evaluate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[WHAT]",
            help="A run, a genotype's id, FILE.safetensors, a published name or MODULE:FUNCTION "
            "(with --weights), or bicubic.",
        ),
    ] = None,
    scale: Annotated[int | None, typer.Option(help="2, 3 or 4; the weights' own if not given.")] = None,
    metric: Annotated[str, typer.Option(help="y_float, y_uint8 or rgb.")] = "y_float",
    data_dir: DataDir = None,
    sets: Annotated[str, typer.Option(help="Only these: Set5,Set14.")] = "",
    weights: Annotated[Path | None, typer.Option(help="Weights: .safetensors or .pth.")] = None,
    sr: Annotated[Path | None, typer.Option(help="Folder of enlarged images, instead of WHAT.")] = None,
    hr: Annotated[Path | None, typer.Option(help="Folder of their high resolution.")] = None,
    tile: Annotated[int, typer.Option(help="Compute in tiles of about so many LR pixels; 0: whole.")] = 0,
    per_image: Annotated[bool, typer.Option("--per-image", help="A row an image, too.")] = False,
    record: Annotated[bool, typer.Option(help="Keep the result in the database.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
    device: Device = None,
    runs: Runs = Path("runs"),
    db: Db = None,
) -> None:
    """Measure a network, bicubic, or a folder of images: a row a benchmark set."""
    import json

    from nas.errors import RecipeError, unknown
    from nas.metrics import METRICS

    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    if scale not in (None, 2, 3, 4):
        raise RecipeError(f"--scale {scale}: 2, 3 or 4")
    if tile < 0 or 0 < tile < 48:
        raise RecipeError(f"--tile {tile}: 0 for whole images, or at least 48 LR pixels")
    if (what is None) == (sr is None) or (sr is None) != (hr is None):
        raise RecipeError("name a network, or give both --sr DIR and --hr DIR")
    if what is None:
        assert sr is not None and hr is not None
        told = _folders(sr, hr, scale, metric)
    else:
        chosen = _sets(data_dir, sets)
        if what == "bicubic":
            told = _bicubic(chosen, scale, metric, (lambda: open_store(runs, db)) if record else None)
        else:
            told = _network(
                what,
                chosen,
                scale,
                metric,
                runs,
                db=db,
                weights=weights,
                tile=tile,
                device=device,
                record=record,
            )
    if as_json:
        typer.echo(json.dumps(told, indent=2))
    else:
        _print(told, per_image)


def _sets(data_dir: Path | None, sets: str) -> list[BenchmarkSet]:
    from nas.data.benchmarks import choose_benchmarks, data_folder

    names = [name.strip() for name in sets.split(",") if name.strip()]
    return choose_benchmarks(data_folder(data_dir), names)


def _folders(sr: Path, hr: Path, scale: int | None, metric: str) -> dict[str, Any]:
    from nas.errors import RecipeError
    from nas.evaluate import measure_folders

    if scale is None:
        raise RecipeError("--sr and --hr need --scale: so many pixels are cut from each side")
    scores = measure_folders(sr, hr, scale, metric)
    return {**_about(str(sr), f"against {hr}", scale, metric), "sets": [_row(hr.name, scores)]}


def _bicubic(
    chosen: list[BenchmarkSet], scale: int | None, metric: str, keep: Callable[[], Store] | None
) -> dict[str, Any]:
    from nas.data.benchmarks import read_benchmark
    from nas.evaluate import BICUBIC, SCALE, measure_bicubic

    at = scale or SCALE
    rows = []
    for one in chosen:
        scores = measure_bicubic(read_benchmark(one, at), at, metric)
        _keep(scores, None, one.name, at, metric, "cpu", keep)
        rows.append(_row(one.name, scores))
    how = "as papers print it: LR not rounded" if metric == "y_float" else "from 8-bit LR"
    return {**_about(BICUBIC, how, at, metric), "sets": rows}


def _network(
    what: str,
    chosen: list[BenchmarkSet],
    scale: int | None,
    metric: str,
    runs: Path,
    *,
    db: str | None,
    weights: Path | None,
    tile: int,
    device: str | None,
    record: bool,
) -> dict[str, Any]:
    import torch

    from nas.data.benchmarks import read_benchmark
    from nas.device import cpu_threads, pick_device
    from nas.evaluate import load_network, measure_network
    from nas.tiles import plan_tiling

    there = has_store(runs, db)
    keep = (lambda: open_store(runs, db)) if record else None
    network = load_network(
        what,
        scale=scale,
        weights=weights,
        runs=runs,
        open_store=(lambda: open_store(runs, db, read_only=True)) if there else None,
    )
    place = torch.device(pick_device(device or "auto"))
    if place.type == "cpu":
        torch.set_num_threads(cpu_threads())
    network.module.to(place)
    tiling: Tiling | None = plan_tiling(network.module, network.scale, tile, place) if tile else None
    rows = []
    for one in chosen:
        images = read_benchmark(one, network.scale)
        scores = measure_network(network, images, metric, place, tiling)
        _keep(scores, network, one.name, network.scale, metric, str(place), keep)
        rows.append(_row(one.name, scores))
    about = _about(network.name, network.source, network.scale, metric)
    about["genotype"] = None if network.genotype is None else network.genotype.id
    about["weights"] = network.weights
    about["tiles"] = None if tiling is None else tiling.told()
    return {**about, "sets": rows}


def _keep(
    scores: Scores,
    network: Network | None,
    benchmark: str,
    scale: int,
    metric: str,
    device: str,
    keep: Callable[[], Store] | None,
) -> None:
    """Write it into the database, where that is wanted."""
    from nas.evaluate import measurement_of
    from search_spaces.published import published_name

    if keep is None:
        return
    measurement = measurement_of(
        scores, network, benchmark=benchmark, scale=scale, metric=metric, device=device
    )
    genotype = None if network is None else network.genotype
    with keep() as store:
        store.record_measurement(
            measurement,
            space="" if genotype is None else genotype.space,
            choices=None if genotype is None else genotype.to_dict(),
            name=None if genotype is None else published_name(genotype),
        )


def _about(name: str, source: str, scale: int, metric: str) -> dict[str, Any]:
    return {"network": name, "source": source, "scale": scale, "metric": metric}


def _row(name: str, scores: Scores) -> dict[str, Any]:
    """Plain numbers; what is not finite (equal images, images too small for SSIM) is None."""
    psnr_db, ssim = _finite(scores.psnr_db, scores.ssim)
    row: dict[str, Any] = {
        "name": name,
        "images": len(scores.per_image),
        "psnr_db": psnr_db,
        "ssim": ssim,
        "low_resolution": scores.low_resolution,
        "data_digest": scores.digest,
        "seconds": round(scores.seconds, 3),
        "per_image": {image: _finite(*both) for image, both in scores.per_image.items()},
    }
    if scores.as_a_network is not None:
        row["from_8_bit_lr"] = _finite(*scores.as_a_network)
    return row


def _finite(*values: float) -> list[float | None]:
    import math

    return [value if math.isfinite(value) else None for value in values]


def _print(told: dict[str, Any], per_image: bool) -> None:
    typer.echo(f"{told['network']}  ({told['source']})")
    typer.echo(f"  x{told['scale']}, {told['metric']}, {told['scale']} pixels cut from each side")
    if told.get("tiles"):
        typer.echo(f"  {told['tiles']}")
    width = max([9, *(len(name) + 2 for row in told["sets"] for name in row["per_image"] if per_image)])
    typer.echo(f"  {'set':<{width}} {'images':>6}  {'PSNR dB':>8}  {'SSIM':>7}  LR")
    for row in told["sets"]:
        numbers = _numbers(row["psnr_db"], row["ssim"])
        typer.echo(
            f"  {row['name']:<{width}} {row['images']:>6}  {numbers}  {row['low_resolution']}"
            f"  ({row['seconds']:.1f} s)"
        )
        if "from_8_bit_lr" in row:
            numbers = _numbers(*row["from_8_bit_lr"])
            typer.echo(f"  {'':<{width}} {'':>6}  {numbers}  8-bit, as every network here gets it")
        if per_image:
            for name, both in row["per_image"].items():
                typer.echo(f"    {name:<{width - 2}} {'':>6}  {_numbers(*both)}")


def _numbers(psnr_db: float | None, ssim: float | None) -> str:
    psnr = "equal" if psnr_db is None else f"{psnr_db:.3f}"
    return f"{psnr:>8}  {'none' if ssim is None else f'{ssim:.5f}':>7}"
