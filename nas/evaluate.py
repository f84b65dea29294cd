"""Measuring a network, bicubic, or anybody's images on benchmark sets."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from leaderboard.records import Measurement
from leaderboard.store import Store
from nas import __version__
from nas.architectures import find_architecture
from nas.data.benchmarks import BenchmarkImage, digest_image, digest_of
from nas.data.images import list_images, read_image
from nas.errors import CheckpointError, DataError, RecipeError, unknown
from nas.folders import sha256_of
from nas.imresize import imresize
from nas.metrics import METRICS, compare, cut, half_up, luma, to_uint8
from nas.tiles import Tiling, enlarge
from nas.training.checkpoint import load_pickled, load_weights
from search_spaces import Genotype, SpaceError, load_space
from search_spaces.published import PUBLISHED

BICUBIC = "bicubic"

Score = Callable[[BenchmarkImage], tuple[float, float]]

SCALE = 4
"""Where neither a file nor a person says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network with its weights; ``weights`` is their digest, ``source`` says where they come from.

    ``file_sha256`` is the digest of the file they were read from, None where there is none.
    """

    name: str
    source: str
    scale: int
    module: nn.Module
    genotype: Genotype | None = None
    weights: str = ""
    file_sha256: str | None = None


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


def load_network(
    word: str,
    *,
    scale: int | None,
    weights: Path | None,
    runs: Path,
    open_store: Callable[[], Store] | None,
) -> Network:
    """The network that ``word`` means, with its weights.

    A ``.safetensors`` file of ours; a run or a genotype's id, whose best weights the database knows
    (re-trained before searched); a published name or ``module:function``, with the file ``weights``, which
    the latter may do without. ``scale`` None takes the file's. Raises RecipeError or CheckpointError.
    """
    if word.endswith(".safetensors"):
        if weights is not None:
            raise RecipeError(f"{word} holds weights already; --weights {weights} is one too many")
        return _of_file(Path(word), scale, word)
    if weights is None and ":" not in word:
        known = _best_known(word, scale, runs, open_store)
        if known is not None:
            return known
        if word in PUBLISHED:
            raise RecipeError(f"{word} is published, but its weights are not here: give --weights FILE")
        names = [] if open_store is None else _names(open_store)
        allowed = [BICUBIC, *PUBLISHED, *names, "FILE.safetensors", "MODULE:FUNCTION"]
        raise unknown("network", word, allowed)
    found = find_architecture(word, open_store)
    at = scale or SCALE
    module = found.build(at)
    if weights is not None:
        _put(module, read_weights(weights), weights, f"{found.name} at x{at}")
    return Network(
        name=found.name,
        source=found.source if weights is None else str(weights),
        file_sha256=None if weights is None else sha256_of(weights),
        scale=at,
        module=module,
        genotype=found.genotype,
        weights=digest_weights(module),
    )


def read_weights(path: Path) -> dict[str, Tensor]:
    """Weights of a ``.safetensors`` file, or of a ``.pth`` as the usual frameworks write it.

    In the latter averaged weights (``params_ema``) go before ``params`` and ``state_dict``. No code of the
    file is run. Raises CheckpointError.
    """
    if path.suffix == ".safetensors":
        return load_weights(path)[0]
    held = load_pickled(path, "weights")
    for key in ("params_ema", "params", "state_dict", "model"):
        if isinstance(held, dict) and isinstance(held.get(key), dict):
            held = held[key]
            break
    if not isinstance(held, dict) or not all(isinstance(value, Tensor) for value in held.values()):
        raise CheckpointError(f"{path}: holds no weights by name")
    return {str(name).removeprefix("module."): value for name, value in held.items()}


def digest_weights(module: nn.Module) -> str:
    """SHA-256 over all weights, by name."""
    total = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        total.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()[:16]


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


def _names(open_store: Callable[[], Store]) -> list[str]:
    with open_store() as store:
        return [study.name for study in store.studies()]


def _best_known(
    word: str, scale: int | None, runs: Path, open_store: Callable[[], Store] | None
) -> Network | None:
    """The best network of a run, or a genotype's best weights: the longer training counts before PSNR."""
    if open_store is None or not word:
        return None
    with open_store() as store:
        frame = store.frame()
    mine = frame[frame["study"] == word]
    if mine.empty:
        ids = frame[frame["genotype"].astype(str).str.startswith(word)]
        mine = ids if ids["genotype"].nunique() == 1 else ids[ids["genotype"] == word]
    if mine.empty:
        return None
    kept = mine[mine["checkpoint"].notna()]
    if scale is not None:
        kept = kept[kept["scale"] == scale]
    if kept.empty:
        at = "" if scale is None else f" at x{scale}"
        raise RecipeError(f"{word}: the database knows no weights of it{at}")
    longer = kept[kept["stage"] == "retrain"]
    best = (kept if longer.empty else longer).sort_values("psnr_db").iloc[-1]
    path = runs / str(best["checkpoint"])
    return _of_file(path, scale, str(best["genotype"]))


def _of_file(path: Path, scale: int | None, name: str) -> Network:
    """The network that the header of a file of ours describes."""
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file")
    weights, about = load_weights(path)
    if "choices" not in about or "scale" not in about:
        raise CheckpointError(
            f"{path}: does not say which network it belongs to; give --weights {path} and the network's name"
        )
    if scale is not None and scale != about["scale"]:
        raise RecipeError(f"{path}: was trained for x{about['scale']}, not for x{scale}")
    try:
        genotype = load_space(str(about.get("space", "lightweight"))).from_dict(about["choices"])
    except SpaceError as error:
        raise CheckpointError(f"{path}: {error}") from None
    module = genotype.build(about["scale"])
    _put(module, weights, path, f"genotype {genotype.id}")
    return Network(
        name=genotype.id if name.endswith(".safetensors") else name,
        source=str(path),
        file_sha256=sha256_of(path),
        scale=about["scale"],
        module=module,
        genotype=genotype,
        weights=digest_weights(module),
    )


def _put(module: nn.Module, weights: dict[str, Tensor], path: Path, what: str) -> None:
    own = module.state_dict()
    missing, strange = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    other = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for kind, names in (("missing", missing), ("not known", strange), ("of another shape", other))
        if names
    ]
    if problems:
        raise CheckpointError(f"{path}: does not fit {what}: {'; '.join(problems)}")
    try:
        module.load_state_dict(weights)
    except (RuntimeError, SafetensorError) as error:
        raise CheckpointError(f"{path}: does not fit {what} ({str(error).splitlines()[0]})") from error
