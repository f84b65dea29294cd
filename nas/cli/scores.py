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


def show_all(told: list[dict[str, Any]], per_image: bool) -> None:
    """Print it for people: several networks with released weights as one table, others one after another."""
    if len(told) > 1 and not per_image and all(each.get("released") for each in told):
        show_released(told)
        return
    for each in told:
        show(each, per_image)


def show(told: dict[str, Any], per_image: bool) -> None:
    """Print it for people: a row a set and, where wanted, a row an image."""
    typer.echo(f"{told['network']}  ({told['source']})")
    typer.echo(f"  x{told['scale']}, {told['metric']}, {told['scale']} pixels cut from each side")
    for key in ("self_ensemble", "tiles"):
        if told.get(key):
            typer.echo(f"  {told[key]}")
    compared = any("printed" in row for row in told["sets"])
    width = max([9, *(len(name) + 2 for row in told["sets"] for name in row["per_image"] if per_image)])
    typer.echo(
        f"  {'set':<{width}} {'images':>6}  {'PSNR dB':>8}  {'SSIM':>7}"
        + (f"  {CODE}  {'print':<13}" if compared else "")
        + "  LR"
    )
    for row in told["sets"]:
        numbers = _numbers(row["psnr_db"], row["ssim"])
        figures = f"  {_figures(row)}" if compared else ""
        typer.echo(
            f"  {row['name']:<{width}} {row['images']:>6}  {numbers}{figures}  {row['low_resolution']}"
            f"  ({row['seconds']:.1f} s)"
        )
        if "from_8_bit_lr" in row:
            numbers = _numbers(*row["from_8_bit_lr"])
            typer.echo(f"  {'':<{width}} {'':>6}  {numbers}  8-bit, as every network here gets it")
        if per_image:
            for name, both in row["per_image"].items():
                typer.echo(f"    {name:<{width - 2}} {'':>6}  {_numbers(*both)}")


CODE = "authors' code"


def show_released(told: list[dict[str, Any]]) -> None:
    """Print networks with released weights as one table: PSNR here, by the authors' code, and as printed."""
    typer.echo(f"{told[0]['metric']}, as many pixels cut from each side as the scale")
    width, wide = (max(len(each[key]) for each in told) for key in ("network", "file"))
    columns = f"scale  {'set':<9}  {'PSNR dB':>8}  {'SSIM':>7}  {CODE}  print"
    typer.echo(f"{'file':<{wide}}  {'network':<{width}}  {columns}")
    for each in told:
        for row in each["sets"]:
            numbers = _numbers(row["psnr_db"], row["ssim"])
            head = (
                f"{each['file']:<{wide}}  {each['network']:<{width}}  x{each['scale']:<4}  {row['name']:<9}"
            )
            typer.echo(f"{head}  {numbers}  {_figures(row)}".rstrip())


def _figures(row: dict[str, Any]) -> str:
    """What the authors' code reaches, and what is printed; with the training data where several are known."""
    columns = []
    for key, form in (("authors_code", ".3f"), ("printed", "")):
        figures = row.get(key, [])
        several = len(figures) > 1 and len({figure["psnr_db"] for figure in figures}) > 1
        words = {
            f"{figure['psnr_db']:{form}}{' ' + figure['data'] if several else ''}".rstrip(): None
            for figure in figures
        }
        columns.append(", ".join(words) or "-")
    return f"{columns[0]:>{len(CODE)}}  {columns[1]:<13}"


def _numbers(psnr_db: float | None, ssim: float | None) -> str:
    psnr = "equal" if psnr_db is None else f"{psnr_db:.3f}"
    return f"{psnr:>8}  {'none' if ssim is None else f'{ssim:.5f}':>7}"
