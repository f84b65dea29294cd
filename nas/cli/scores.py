"""What ``nas evaluate`` found, as plain values and as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from nas.evaluation.benchmark_sets import Scores


def about(name: str, source: str, scale: int, metric: str) -> dict[str, Any]:
    """What was measured, and how."""
    return {"network": name, "source": source, "scale": scale, "metric": metric}


def row_of(name: str, scores: Scores) -> dict[str, Any]:
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


def show(told: dict[str, Any], per_image: bool) -> None:
    """Print it for people: a row a set and, where wanted, a row an image."""
    typer.echo(f"{told['network']}  ({told['source']})")
    typer.echo(f"  x{told['scale']}, {told['metric']}, {told['scale']} pixels cut from each side")
    for key in ("self_ensemble", "tiles"):
        if told.get(key):
            typer.echo(f"  {told[key]}")
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
