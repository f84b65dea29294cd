"""Measuring a network, bicubic, or anybody's images on benchmark sets."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch
from torch import Tensor

from leaderboard.store import Store
from leaderboard.store.records import Evaluation, Measurement
from nas._version import __version__
from nas.data.benchmarks import BenchmarkImage, BenchmarkSet, digest_image, digest_of, read_benchmark
from nas.data.images import list_images, read_image
from nas.errors import CheckpointError, DataError, RecipeError
from nas.imaging.bicubic import imresize
from nas.imaging.tiling import Tiling, enlarge
from nas.metrics.fidelity import METRICS, compare, cut, half_up, luma, to_uint8
from nas.networks.loading import (
    BICUBIC,
    SCALE,
    Network,
    checkpoint_path,
    digest_weights,
    load_network,
    read_weights,
)
from search_spaces.published import published_name

__all__ = [
    "BICUBIC",
    "SCALE",
    "Network",
    "Scores",
    "digest_weights",
    "keep_scores",
    "load_network",
    "measure_bicubic",
    "measure_folders",
    "measure_missing",
    "measure_network",
    "measure_retrained",
    "measurement_of",
    "read_weights",
]

Score = Callable[[BenchmarkImage], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What was found on one set: ``per_image`` maps a name to PSNR (dB) and SSIM.

    ``low_resolution``: ``read`` from files, ``made``, ``read and made``, or ``unrounded`` (bicubic as papers
    print it). ``seconds`` is all of the time that enlarging and comparing took.
    """

    per_image: dict[str, tuple[float, float]]
    low_resolution: str
    digest: str
    seconds: float = 0.0
    as_a_network: tuple[float, float] | None = field(default=None)

    @property
    def psnr_db(self) -> float:
        """Mean over the images, in dB."""
        return math.fsum(psnr for psnr, _ in self.per_image.values()) / len(self.per_image)

    @property
    def ssim(self) -> float:
        """Mean over the images; NaN where one is too small."""
        return sum(ssim for _, ssim in self.per_image.values()) / len(self.per_image)


def measure_network(
    network: Network,
    images: Iterable[BenchmarkImage],
    metric: str,
    device: torch.device,
    tiling: Tiling | None = None,
) -> Scores:
    """A network's scores: 8-bit LR in, float32, output rounded to 8 bits, ``scale`` pixels cut.

    Whole images, or tiles where ``tiling`` is given.
    """
    network.module.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    cuts = {"tile": tiling.tile, "overlap": tiling.overlap} if tiling else {}

    def score(image: BenchmarkImage) -> tuple[float, float]:
        x = image.lr.to(device)[None].float() / 255
        x = x.contiguous(memory_format=torch.channels_last)
        sr = enlarge(network.module, x, network.scale, **cuts)[0]
        if sr.shape != image.hr.shape:
            raise RecipeError(
                f"{network.name} gives {tuple(sr.shape)} for {tuple(image.lr.shape)}, not x{network.scale}"
            )
        return METRICS[metric](to_uint8(sr.float()), image.hr.to(device), network.scale)

    return _scored(images, score)


def measure_bicubic(images: Iterable[BenchmarkImage], scale: int, metric: str) -> Scores:
    """Bicubic's scores: under ``y_float`` those that papers print, else from the 8-bit LR.

    Papers' rows come from Y rounded to 8 bits, made smaller and larger again in floating point with the
    edges of older MATLAB, rounded at the end. A network never sees such an LR: what bicubic reaches from the
    LR that it sees is in ``as_a_network``.
    """
    networks: list[tuple[float, float]] = []

    def score(image: BenchmarkImage) -> tuple[float, float]:
        plain = METRICS[metric](imresize(image.lr, scale), image.hr, scale)
        if metric != "y_float":
            return plain
        networks.append(plain)
        return _papers_bicubic(image.hr, scale)

    scores = _scored(images, score)
    if not networks:
        return scores
    means = tuple(math.fsum(column) / len(networks) for column in zip(*networks, strict=True))
    return Scores(
        per_image=scores.per_image,
        low_resolution="unrounded",
        digest=scores.digest,
        seconds=scores.seconds,
        as_a_network=(means[0], means[1]),
    )


def _papers_bicubic(hr: Tensor, scale: int) -> tuple[float, float]:
    y = half_up(luma(hr))
    small = imresize(y, Fraction(1, scale), edge="replicate")
    large = half_up(imresize(small, scale, edge="replicate")).clamp(0, 255)
    return compare(cut(large, scale), cut(y, scale))


def measure_folders(sr: Path, hr: Path, scale: int, metric: str) -> Scores:
    """The scores of images that lie in a folder already, against those of another.

    A file belongs to the one of the same name, or with ``x4`` or ``_x4`` after it. HR is cut to a multiple of
    ``scale``, and so is SR. Raises DataError for a missing file or a wrong size.
    """
    for folder in (sr, hr):
        if not folder.is_dir() or not list_images(folder):
            raise DataError(f"{folder}: is no folder with images in it")
    outputs = {path.stem: path for path in list_images(sr)}

    def pairs() -> Iterator[BenchmarkImage]:
        for path in list_images(hr):
            names = (path.stem, f"{path.stem}x{scale}", f"{path.stem}_x{scale}")
            found = next((outputs[name] for name in names if name in outputs), None)
            if found is None:
                raise DataError(f"{sr}: no image for {path.name} (looked for {', '.join(names)})")
            try:
                output, truth = read_image(found), read_image(path)
            except DataError as error:
                raise DataError(f"{path.name}: {error}") from None
            height, width = (side // scale * scale for side in truth.shape[1:])
            if output.shape not in (truth.shape, (3, height, width)):
                size = f"{output.shape[2]}x{output.shape[1]}"
                raise DataError(f"{found}: {size}, and {path.name} at x{scale} is {width}x{height}")
            yield BenchmarkImage(
                name=path.stem, hr=truth[:, :height, :width], lr=output[:, :height, :width], read=True
            )

    return _scored(pairs(), lambda image: METRICS[metric](image.lr, image.hr, scale))


def _scored(images: Iterable[BenchmarkImage], score: Score) -> Scores:
    per_image, digests, read, seconds = {}, [], 0, 0.0
    for image in images:
        start = time.perf_counter()
        per_image[image.name] = score(image)
        seconds += time.perf_counter() - start
        digests.append((image.name, digest_image(image)))
        read += image.read
    kinds = (("read", read), ("made", len(per_image) - read))
    return Scores(
        per_image=per_image,
        low_resolution=" and ".join(word for word, count in kinds if count),
        digest=digest_of(digests),
        seconds=seconds,
    )


def measurement_of(
    scores: Scores, network: Network | None, *, benchmark: str, scale: int, metric: str, device: str
) -> Measurement:
    """A measurement as the database keeps it; ``network`` None is bicubic."""
    return Measurement(
        network=BICUBIC if network is None else network.name,
        genotype_id=None if network is None or network.genotype is None else network.genotype.id,
        weights="" if network is None else network.weights,
        checkpoint_sha256=None if network is None else network.file_sha256,
        scale=scale,
        benchmark=benchmark,
        data_digest=scores.digest,
        low_resolution=scores.low_resolution,
        metric=metric,
        psnr_db=scores.psnr_db,
        ssim=scores.ssim,
        per_image={name: list(both) for name, both in scores.per_image.items()},
        seconds=scores.seconds,
        device=device,
        torch_version=torch.__version__,
        code_version=__version__,
    )


def keep_scores(
    store: Store,
    scores: Scores,
    network: Network | None,
    *,
    benchmark: str,
    scale: int,
    metric: str,
    device: str,
) -> Measurement:
    """What was found on one set, written into the database; ``network`` None is bicubic."""
    measurement = measurement_of(
        scores, network, benchmark=benchmark, scale=scale, metric=metric, device=device
    )
    genotype = None if network is None else network.genotype
    store.record_measurement(
        measurement,
        space="" if genotype is None else genotype.space,
        choices=None if genotype is None else genotype.to_dict(),
        name=None if genotype is None else published_name(genotype),
    )
    return measurement


def measure_missing(
    store: Store,
    network: Network,
    sets: Sequence[BenchmarkSet],
    metric: str,
    device: torch.device,
    *,
    tiling: Tiling | None = None,
    breathe: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """The network's measurements on ``sets``, in their order; what the database has not is made and kept.

    A set is known by its name, so that one whose images changed is not measured again. ``breathe`` is called
    before each image.
    """
    known = {
        one.benchmark: one
        for one in store.measurements(network.name)
        if (one.weights, one.scale, one.metric) == (network.weights, network.scale, metric)
    }
    for one in sets:
        if one.name in known:
            continue
        images = _breathing(read_benchmark(one, network.scale), breathe)
        scores = measure_network(network, images, metric, device, tiling)
        about = {"benchmark": one.name, "metric": metric, "device": str(device)}
        known[one.name] = keep_scores(store, scores, network, scale=network.scale, **about)
    return [known[one.name] for one in sets]


def measure_retrained(
    store: Store,
    evaluation: Evaluation,
    sets: Sequence[BenchmarkSet],
    *,
    runs: Path,
    metric: str,
    scale: int,
    device: torch.device,
    breathe: Callable[[], None] = lambda: None,
) -> list[Measurement]:
    """The measurements of a training's weights, as :func:`measure_missing` does.

    The file of weights is needed only where one is missing. Raises CheckpointError where it is not there.
    """
    digest, made = evaluation.checkpoint_sha256, {}
    if digest is not None:
        for one in store.measurements(evaluation.genotype_id):
            plain = one.network == evaluation.genotype_id and one.checkpoint_sha256 == digest
            if plain and (one.scale, one.metric) == (scale, metric):
                made[one.benchmark] = one
    if all(one.name in made for one in sets):
        return [made[one.name] for one in sets]
    if evaluation.checkpoint is None:
        raise CheckpointError(f"{evaluation.genotype_id}: its training kept no weights")
    path = checkpoint_path(runs, evaluation.checkpoint)
    network = load_network(str(path), scale=scale, weights=None, runs=runs, open_store=None)
    return measure_missing(store, network, sets, metric, device, breathe=breathe)


def _breathing(images: Iterable[BenchmarkImage], breathe: Callable[[], None]) -> Iterator[BenchmarkImage]:
    for image in images:
        breathe()
        yield image
