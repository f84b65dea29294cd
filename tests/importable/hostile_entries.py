"""Every way for a file or stored value into the program, with a right one and an independent reading."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import sqlite3
import struct
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from authors_layouts import authors_names
from hostile_values import Raw, json_of, toml_of
from released_forwards import bsrn_s_forward, bsrn_s_state
from small_networks import TINY
from torch import nn
from wave_images import write_images

from leaderboard.crops import FOLDER, INDEX, KINDS, MOST_CROPS, Crop, pictures
from leaderboard.errors import LeaderboardError
from leaderboard.page.detail import crops
from leaderboard.site.markup import markup
from leaderboard.store import Store
from leaderboard.store.schema import TableBase
from leaderboard.tables.exchange import import_results
from leaderboard.tables.trials import COLUMNS, COSTS, NESTED, NUMBERS, STAMPS, WHOLE, trials_frame
from nas.compression.stages import STAGE, TRAINING, load_stage, load_training
from nas.networks.loading import Network, load_network
from nas.networks.released.naming import sized
from nas.networks.resolving import read_genotype
from nas.recipes.recipe import load_recipe
from nas.recipes.stored import stored_recipe
from nas.retraining.selection import choose_file
from nas.simulation.table import METADATA, read_table
from nas.training import Job, Plan, train
from nas.training.checkpoint import STATE, WEIGHTS, load_described, load_weights
from nas.training.features import read_features
from nas.training.loop import _Run
from search_spaces import Genotype
from search_spaces.lightweight import Lightweight

CHOICES: dict[str, Any] = {
    **{"width": 16, "blocks": 2, "block": "residual", "attention": "none", "kernel": "3x3"},
    **{"sharing": "none", "aggregation": "plain", "transformers": 0, "skip": "bicubic"},
}


@cache
def small() -> Genotype:
    return Lightweight(**CHOICES)


def network(scale: int) -> nn.Module:
    """What ``hostile_entries:network`` builds."""
    return nn.Sequential(nn.Conv2d(3, 3 * scale * scale, 3, padding=1), nn.PixelShuffle(scale))


@dataclass(frozen=True)
class Entry:
    """``read`` is the program's way to a file; ``agrees`` compares that with an independent reading."""

    suffix: str
    value: Callable[[], Any]
    encode: Callable[[Any], bytes]
    read: Callable[[Path], Any]
    agrees: Callable[[Any, Path], bool]
    command: tuple[str, ...] = ()
    """The arguments of ``nas`` that read the file, FILE standing for it."""


def _json_file(value: Any) -> bytes:
    return json_of(value).encode()


def _toml_file(value: Any) -> bytes:
    return toml_of(value).encode()


def _as_count(value: Any) -> Any:
    """A budget as people write it, as a number."""
    suffixes = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
    if isinstance(value, str) and value and value[-1].lower() in suffixes:
        return float(value[:-1]) * suffixes[value[-1].lower()]
    return float(value) if isinstance(value, str) else value


# Recipes and genotypes


def recipe_value() -> dict[str, Any]:
    return {
        **{"name": "mine", "scale": 4, "data": "photos", "metric": "y_float", "trials": 8, "seed": 3},
        **{"sampler": "random", "objectives": ["psnr_db", "params"], "rungs": [50, 100], "hours": 0.5},
        **{"executor": "processes", "workers": 2, "device": "cpu", "time_limit_seconds": 60.0},
        "space": {"name": "lightweight", "only": {"skip": ["bicubic"], "width": [16, 24]}},
        "budget": {"params": "300k", "multi_adds": 15_000_000_000, "latency_ms": 12.5, "min_params": 1000},
        "proxy": {"plan": "short", "lr": 1e-3, "steps": 100, "loss": "mse"},
        "retrain": {"plan": "longer", "batch": 4},
    }


def tuning_value() -> dict[str, Any]:
    tune = {
        **{"networks": ["imdn", "rfdn-like"], "steps": [50, 100], "trials": 8, "seeds": 2, "sampler": "tpe"},
        "enqueue": [{"lr": 1e-3, "clip_norm": 0.5}],
        "fields": {"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "warmup_steps": [0, 20]},
    }
    return {**recipe_value(), "tune": tune}


def _recipe_agrees(recipe: Any, table: dict[str, Any]) -> bool:
    dumped = recipe.model_dump()
    for key, value in table.items():
        if key == "budget":
            if any(dumped["budget"][name] != _as_count(each) for name, each in value.items()):
                return False
        elif isinstance(value, dict):
            if any(dumped[key][name] != each for name, each in value.items()):
                return False
        elif dumped[key] != value or type(dumped[key]) is not type(value):
            return (type(dumped[key]), type(value)) == (float, int) and dumped[key] == value
    return True


def _of_toml(recipe: Any, path: Path) -> bool:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return _recipe_agrees(recipe, {"name": path.stem, **table})


@cache
def _stored_run() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="hostile-", dir=os.environ.get("NAS_CACHE")))
    with Store.at(folder / "results.db") as store:
        store.open_study("mine", recipe={}, space_digest="aa", code_version="0")
    return folder / "results.db"


def _read_stored(path: Path) -> Any:
    with sqlite3.connect(_stored_run()) as raw:
        raw.execute("UPDATE study SET recipe = CAST(? AS TEXT)", (path.read_bytes(),))
    raw.close()
    with Store.at(_stored_run(), read_only=True) as store:
        return stored_recipe(store, "mine")


def stored_value() -> dict[str, Any]:
    from nas.recipes.recipe import make_recipe

    plain: dict[str, Any] = json.loads(json.dumps(make_recipe(recipe_value()).to_dict()))
    return plain


def _stored_agrees(recipe: Any, path: Path) -> bool:
    table = {key: value for key, value in json.loads(path.read_text()).items() if key != "name"}
    for stage in ("proxy", "retrain"):  # plans are stored whole, but for what is usual
        table.pop(stage, None)
    return _recipe_agrees(recipe, {key: value for key, value in table.items() if value is not None})


def _genotype_agrees(genotype: Any, path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    space = table.pop("space", "lightweight")
    plain = genotype.to_dict()
    same_kinds = all(type(plain[key]) is type(value) for key, value in table.items())
    return bool(genotype.space == space and plain == table and same_kinds)


# Weights


def _layout(module: nn.Module) -> tuple[dict[str, Any], bytes]:
    header: dict[str, Any] = {}
    data = b""
    for name, tensor in module.state_dict().items():
        end = len(data) + tensor.numel() * 4
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(data), end]}
        data += tensor.numpy().tobytes()
    return header, data


@cache
def _weights() -> tuple[dict[str, Any], bytes]:
    torch.manual_seed(0)
    return _layout(small().build(2))


def safetensors_value() -> dict[str, Any]:
    about = {
        "space": "lightweight",
        "choices": small().to_dict(),
        "scale": 2,
        "psnr_db": 30.1,
        "data": "photos",
        "origin": {"family": "RLFN", "source": "a paper", "sha256": "ab" * 32, "folded": False},
    }
    return {"about": about, "tensors": _weights()[0]}


def _safetensors(value: Any) -> bytes:
    about = value.get("about") if isinstance(value, dict) else value
    tensors = value.get("tensors") if isinstance(value, dict) else value
    metadata = {"paretosr": about if isinstance(about, str) else json_of(about)}
    body = tensors if isinstance(tensors, dict) else {"x": tensors}
    header = json_of({"__metadata__": metadata, **body}).encode()
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + _weights()[1]


def _load(path: Path) -> Any:
    return load_network(str(path), scale=None, weights=None, runs=path.parent, open_store=None)


def _safetensors_agrees(network: Any, path: Path) -> bool:
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    about = json.loads(header.pop("__metadata__")["paretosr"])
    state = network.module.state_dict()
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        numbers = np.frombuffer(data[8 + size + begin : 8 + size + end], dtype="<f4").reshape(entry["shape"])
        if entry["dtype"] != "F32" or not np.array_equal(state[name].numpy(), numbers):
            return False
    return bool(
        network.scale == about["scale"]
        and network.genotype.to_dict() == about["choices"]
        and network.genotype.space == about.get("space", "lightweight")
        and header.keys() == state.keys()
        and network.origin == (about["origin"] if isinstance(about.get("origin"), dict) else {})
    )


@cache
def _run_to_retrain() -> Any:
    from nas.recipes.recipe import make_recipe

    return make_recipe({"name": "mine", "scale": 2})


def _described_agrees(network: Network, path: Path) -> bool:
    """The network is for the run's scale, and of its space, besides."""
    return network.scale == 2 and _safetensors_agrees(network, path)


def _start_from(path: Path) -> Network:
    """The file of ``nas retrain --init-from``."""
    chosen = choose_file(_run_to_retrain(), path)
    genotype, scale, module = load_described(path)
    assert genotype.id == chosen.genotype.id
    origin = load_weights(path)[1].get("origin")
    return Network(
        name=chosen.name,
        source=str(path),
        scale=scale,
        module=module,
        genotype=genotype,
        origin=origin if isinstance(origin, dict) else {},
    )


def pth_value() -> dict[str, Any]:
    return {"params": {"0.weight": ["float32", [12, 3, 3, 3]], "0.bias": ["float32", [12]]}}


def _tensors(value: Any) -> Any:
    """A value with ``[type, shape]`` as tensors; where it is damaged, as it is."""
    if isinstance(value, dict):
        return {key: _tensors(each) for key, each in value.items()}
    if isinstance(value, list) and len(value) == 2:
        dtype, shape = value
        kind = getattr(torch, dtype, None) if isinstance(dtype, str) else None
        sound = isinstance(shape, list) and all(type(n) is int and 0 <= n < 1000 for n in shape)
        if isinstance(kind, torch.dtype) and sound:
            return (torch.arange(float(np.prod(shape))) % 1013 / 1000 - 0.5).reshape(shape).to(kind)
    return value.text if isinstance(value, Raw) else value


def _pth(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(_tensors(value), buffer)
    return buffer.getvalue()


def _load_pth(path: Path) -> Any:
    return load_network("hostile_entries:network", scale=2, weights=path, runs=path.parent, open_store=None)


def _pth_agrees(network: Any, path: Path) -> bool:
    held = torch.load(path, weights_only=True)
    held = next((held[key] for key in ("params_ema", "params", "state_dict", "model") if key in held), held)
    state = network.module.state_dict()
    return state.keys() == {key.removeprefix("module.") for key in held} and all(
        torch.equal(state[key.removeprefix("module.")], each) and each.dtype == torch.float32
        for key, each in held.items()
    )


def released_value() -> dict[str, Any]:
    """A small SAFMN by its authors' names."""
    named = authors_names("safmn", sized("safmn", 16, 2).build(2).state_dict())
    return {"params_ema": {name: ["float32", list(tensor.shape)] for name, tensor in named.items()}}


def training_form_value() -> dict[str, Any]:
    """A small BSRN-S by its authors' names, with the weights of channels that are folded."""
    state = bsrn_s_state(width=16, blocks=1, scale=2)
    return {"params": {name: ["float32", list(tensor.shape)] for name, tensor in state.items()}}


def _load_released(path: Path) -> Network:
    return load_network(str(path), scale=None, weights=None, runs=path.parent, open_store=None)


def _held_released(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of the outer or of the only level of wrappers."""
    held = torch.load(path, weights_only=True)
    for _ in range(4):
        held = next((held[key] for key in ("params_ema", "params") if isinstance(held.get(key), dict)), held)
    return dict(held)


def _released_agrees(network: Network, path: Path) -> bool:
    """Written back by the authors' names, the network is the file."""
    held, state = _held_released(path), authors_names("safmn", network.module.state_dict())
    return held.keys() == state.keys() and all(
        each.dtype == torch.float32
        and torch.equal(each.flatten(), state[name].flatten())
        and [side for side in each.shape if side > 1] == [side for side in state[name].shape if side > 1]
        for name, each in held.items()
    )


def _training_form_agrees(network: Network, path: Path) -> bool:
    """A second reading of the authors' code computes the same."""
    x = torch.linspace(0, 1, 3 * 24 * 28).reshape(1, 3, 24, 28)
    with torch.no_grad():
        ours, theirs = network.module.eval()(x), bsrn_s_forward(_held_released(path), x)
    return bool(torch.allclose(ours, theirs, rtol=1e-4, atol=1e-3 * float(theirs.abs().max())))


def features_value() -> dict[str, Any]:
    return {f"features.{n}.{name}": ["float32", [3]] for n in (0, 2) for name in ("weight", "bias")}


# Results


@cache
def small_results() -> Path:
    """A small results database with one of everything."""
    from new_records import new_trial, propose, protocol, record

    folder = Path(tempfile.mkdtemp(prefix="hostile-", dir=os.environ.get("NAS_CACHE")))
    with Store.at(folder / "results.db") as store:
        study = store.open_study(
            "mine", recipe={"scale": 4, "budget": {"params": 1}}, space_digest="aa", code_version="0"
        )
        store.ensure_protocol(protocol())
        for index in range(4):
            parts = [{"part": "whole", "copies": 1, "uses": 1, **new_trial(index).cost}]
            trial = propose(store, study.id, index, parts=parts, measured={"latency_ms": 3.5})
            record(store, trial.id, index, checkpoint_sha256="ab" * 32)
        propose(store, study.id, 5, state="rejected", excess={"params": 0.5})
    return folder / "results.db"


def rows_value() -> list[dict[str, Any]]:
    """The rows of an export, cells as the file formats have them."""
    with Store.at(small_results(), read_only=True) as store:
        frame = trials_frame(store, ["mine"])
    for name in STAMPS:
        frame[name] = [None if moment != moment else moment.isoformat() for moment in frame[name]]
    shown = frame.astype(object).where(frame.notna(), None)
    return [dict(zip(shown.columns, row, strict=True)) for row in shown.itertuples(index=False, name=None)]


def _cells(value: Any) -> list[dict[str, Any]]:
    """The rows of a damaged table."""
    return [row if isinstance(row, dict) else {"study": row} for row in value]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.text if isinstance(value, Raw) else value if isinstance(value, str) else json.dumps(value)


def _csv(value: Any) -> bytes:
    rows = _cells(value)
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([[_cell(row.get(name)) for name in names] for row in rows])
    return text.getvalue().encode("utf-8", "surrogatepass")


def _jsonl(value: Any) -> bytes:
    return b"".join(json_of(row).encode() + b"\n" for row in value)


def _arrow_column(values: list[Any]) -> Any:
    import pyarrow as pa

    for attempt in (values, [None if each is None else _cell(each) for each in values]):
        try:
            return pa.array(attempt)
        except (pa.ArrowException, OverflowError, TypeError, UnicodeError):
            continue
    return pa.array([None if each is None else ascii(each) for each in values])


def _parquet(value: Any, metadata: dict[bytes, bytes] | None = None) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = _cells(value)
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.table({name: _arrow_column([row.get(name) for row in rows]) for name in names})
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), sink)
    return sink.getvalue()


@contextmanager
def imported(source: Path) -> Iterator[Store]:
    """A new store that took a file in."""
    target = source.parent / "here.db"
    for each in source.parent.glob("here.db*"):
        each.unlink()
    with Store.at(target) as store:
        import_results(store, str(source))
        yield store


def _import(path: Path) -> list[dict[str, Any]]:
    with imported(path) as store:
        frame = trials_frame(store, [study.name for study in store.studies()])
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False, name=None)]


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else pd.Timestamp(value).to_pydatetime()
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _is_empty(value: Any) -> bool:
    return value is None or value == "" or value != value


def _same_cell(name: str, theirs: Any, ours: Any) -> bool:
    if _is_empty(theirs):
        usual = {"excess": "{}", "study_code_version": "unknown"}
        derived = ("evaluated_at", "study_created_at", "cost_form")
        return _is_empty(ours) or ours == usual.get(name) or name in derived
    if name in WHOLE or name in NUMBERS:
        return bool(float(theirs) == float(ours))
    if name in STAMPS:
        return _moment(theirs) == _moment(ours)
    if name in NESTED:
        return bool(json.loads(theirs) == json.loads(ours))
    return bool(theirs == ours)


def _whole(value: Any) -> int:
    """A whole number as a cell has it: all its digits where it is one or its text."""
    with suppress(ValueError):
        return int(value) if isinstance(value, int | str) else int(float(value))
    return int(float(value))


def _rows_agree(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> bool:
    """The same rows, but that trials without an end stay behind."""
    over = [row for row in theirs if row["state"] not in ("waiting", "running")]
    kept: dict[Any, list[Any]] = {}
    for row in ours:
        kept.setdefault((row["study"], row["stage"], row["genotype"], row["seed"], row["rung"]), []).append(
            row
        )
    for row in over:
        key = (row["study"], row["stage"], row["genotype"], _whole(row["seed"]), _whole(row["rung"]))
        same = [
            mine
            for mine in kept.get(key, [])
            if all(_same_cell(name, row.get(name), mine[name]) for name in COLUMNS if name != "number")
        ]
        if not same:
            return False
    return len(ours) <= len(over)


def _csv_agrees(ours: Any, path: Path) -> bool:
    csv.field_size_limit(2**24)
    with path.open(newline="", encoding="utf-8") as file:
        return _rows_agree(ours, list(csv.DictReader(file)))


def _jsonl_agrees(ours: Any, path: Path) -> bool:
    return _rows_agree(
        ours, [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]
    )


def _parquet_agrees(ours: Any, path: Path) -> bool:
    frame = pd.read_parquet(path).astype(object)
    frame = frame.where(frame.notna(), None)
    return _rows_agree(ours, frame.to_dict("records"))


JSON_COLUMNS = {
    (table.name, column.name)
    for table in TableBase.metadata.sorted_tables
    for column in table.columns
    if "JSON" in str(column.type)
}


def database_value() -> dict[str, list[dict[str, Any]]]:
    """Every table of the small database; JSON as what it says."""
    raw = sqlite3.connect(small_results())
    raw.row_factory = sqlite3.Row
    found = {}
    for table in TableBase.metadata.sorted_tables:
        rows = [dict(row) for row in raw.execute(f"SELECT * FROM {table.name}")]  # noqa: S608
        for row in rows:
            for name, value in row.items():
                if (table.name, name) in JSON_COLUMNS and value is not None:
                    row[name] = json.loads(value)
        found[table.name] = rows
    raw.close()
    return {name: rows for name, rows in found.items() if rows}


def _sqlite_cell(table: str, name: str, value: Any) -> Any:
    if (table, name) in JSON_COLUMNS and value is not None:
        return json_of(value)
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return json_of(value) if isinstance(value, dict | list) else value


def _database(value: Any) -> bytes:
    """A file with the tables of a results database and none of its rules."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.db"
        raw = sqlite3.connect(path)
        raw.execute("CREATE TABLE alembic_version (version_num TEXT)")
        from leaderboard.store.schema import SCHEMA_VERSION

        raw.execute("INSERT INTO alembic_version VALUES (?)", (SCHEMA_VERSION,))
        for table in TableBase.metadata.sorted_tables:
            rows = value.get(table.name) if isinstance(value, dict) else None
            rows = rows if isinstance(rows, list) else []
            more = [name for row in rows if isinstance(row, dict) for name in row]
            names = list(dict.fromkeys([column.name for column in table.columns] + more))
            columns = ", ".join(f'"{name}"' for name in names if name)
            names = [name for name in names if name]
            raw.execute(f"CREATE TABLE {table.name} ({columns})")
            for row in rows:
                cells = (
                    [_sqlite_cell(table.name, name, row.get(name)) for name in names]
                    if isinstance(row, dict)
                    else [None] * len(names)
                )
                raw.execute(f"INSERT INTO {table.name} VALUES ({', '.join('?' * len(names))})", cells)  # noqa: S608
        raw.commit()
        raw.close()
        return path.read_bytes()


def _tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    raw = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    raw.row_factory = sqlite3.Row
    raw.text_factory = lambda data: data.decode("utf-8", "replace")  # what no run belongs to stays there
    try:
        return {
            table.name: [
                dict(row)
                for row in raw.execute(f"SELECT {', '.join(table.columns.keys())} FROM {table.name}")  # noqa: S608
            ]
            for table in TableBase.metadata.sorted_tables
            if table.name != "retrain_request"  # stays where it is
        }
    finally:
        raw.close()


_LOOSE = {"study": ("owner", "lease_until"), "trial": ("number",), "event": ()}


def database_agrees(here: Path, there: Path) -> bool:
    """Every row that was taken in stands there, by what it is and not by its number."""
    ours, theirs = _tables(here), _tables(there)

    def rows(found: dict[str, list[dict[str, Any]]], table: str) -> list[str]:
        made = []
        for row in found[table]:
            kept = {}
            for name, value in row.items():
                if name == "id" and table not in ("genotype", "protocol"):
                    continue
                if name in ("study_id", "evaluation_id", "trial_id") or name in _LOOSE.get(table, ()):
                    continue
                if (table, name) in JSON_COLUMNS and value is not None:
                    with suppress(ValueError):  # of a damaged row, which was not taken in so
                        value = None if value == "null" else json.dumps(json.loads(value), sort_keys=True)
                elif isinstance(value, int | float):
                    value = float(value)
                elif isinstance(value, str) and name in ("created_at", "finished_at", "at", "lease_until"):
                    with suppress(ValueError):  # of a row that nothing leads to
                        value = _moment(value).isoformat()
                kept[name] = value
            made.append(json.dumps(kept, sort_keys=True))
        return made

    return all(set(rows(ours, table)) <= set(rows(theirs, table)) for table in ours)


def _import_database(path: Path) -> Path:
    with imported(path):
        return path.parent / "here.db"


def _open_database(path: Path) -> Any:
    with Store.at(path, read_only=True) as store:
        found = [study.name for study in store.studies()]
        frame = store.frame()
        for name in found:
            store.contents(name)
        return frame


def _frame_agrees(frame: Any, path: Path) -> bool:
    """Numbers are the file's, or none where the file has none."""
    raw = sqlite3.connect(path)
    query = (
        "SELECT e.psnr_db FROM trial t JOIN study s ON s.id = t.study_id "
        "JOIN genotype g ON g.id = t.genotype_id "
        "JOIN cost c ON c.genotype_id = t.genotype_id AND c.scale = t.scale "
        "LEFT JOIN evaluation e ON e.id = t.evaluation_id"
    )
    numbers = [row[0] for row in raw.execute(query)]
    raw.close()
    shown = [None if each != each else each for each in frame["psnr_db"].tolist()]
    return sorted(map(repr, shown)) == sorted(repr(float(n) if isinstance(n, int) else n) for n in numbers)


# Tables of trainings


def table_value() -> dict[str, Any]:
    from nas.cost.counting import cost_of
    from search_spaces import Space

    rungs = [
        {"steps": steps, "protocol": f"p{steps}", "plan": {"steps": steps, "schedule": "constant"}}
        for steps in (10, 30)
    ]
    card = {
        **{"version": 1, "name": "made", "space": "lightweight", "only": {}},
        **{"space_digest": Space(Lightweight).digest, "scale": 4, "metric": "y_float", "data": "photos"},
        **{"data_digest": "d", "bicubic_psnr_db": 27.0, "rungs": rungs, "goes_on": True, "wanted": 40},
        **{"budget": {"params": 100_000}, "sample": "drawn", "licence": "CC-BY-4.0", "machines": ["m"]},
        **{"created": "2026-01-01", "code_version": "0"},
    }
    rows = [
        {
            **{"genotype_id": small().id, "genotype": json.dumps(small().to_dict())},
            **cost_of(small(), 4).to_dict(),
            **{"rung": rung, "steps": (10, 30)[rung], "seed": seed, "protocol": f"p{(10, 30)[rung]}"},
            **{
                "psnr_db": 28.5 + rung + seed / 10,
                "ssim": 0.8,
                "seconds": 3.0,
                "device": "cpu",
                "torch_version": "2",
            },
        }
        for rung in (0, 1)
        for seed in (0, 1)
    ]
    return {"card": card, "rows": rows}


def _table(value: Any) -> bytes:
    card = json_of(value.get("card")).encode()
    rows = value.get("rows")
    return _parquet(rows if isinstance(rows, list) and rows else [{"x": 1}], {METADATA: card})


def _table_agrees(table: Any, path: Path) -> bool:
    import pyarrow.parquet as pq

    held = pq.ParquetFile(path)  # its own metadata; a second copy stands in that of its schema
    frame, card = held.read().to_pandas(), json.loads(held.metadata.metadata[METADATA])
    ours = {(row.rung, row.seed): row for row in table.frame.itertuples()}
    same = all(
        float(row.psnr_db) == ours[int(row.rung), int(row.seed)].psnr_db
        and all(
            int(getattr(row, name)) == getattr(ours[int(row.rung), int(row.seed)], name) for name in COSTS
        )
        for row in frame.itertuples()
    )
    return same and len(frame) == len(ours) and all(table.card[name] == value for name, value in card.items())


# Files of a compression


def stage_value() -> dict[str, Any]:
    return {
        **{"name": "pruned", "cost": {"params": 1000, "multi_adds": 10}, "psnr_db": 30.0, "ssim": 0.8},
        **{"bytes": 1000, "per_image": {"a": [30.0, 0.8]}, "curve": [[0, 0.1, None]], "train_seconds": 1.0},
        **{"device": "cpu", "latency_ms": [1.0, 2.0, 3.0], "threads": 1, "training_psnr_db": None},
        **{"benchmarks": {"Set5": [30.0, 0.8]}, "note": ""},
        "genotype": {"space": "lightweight", "choices": small().to_dict()},
    }


def _read_stage(path: Path) -> Any:
    (path.parent / STAGE).write_bytes(path.read_bytes())
    return load_stage(path.parent)


def _stage_agrees(stage: Any, path: Path) -> bool:
    table = json.loads(path.read_text())
    choices = table.pop("genotype")["choices"]
    table["latency_ms"] = None if table.get("latency_ms") is None else tuple(table["latency_ms"])
    return choices == stage.genotype.to_dict() and all(
        vars(stage)[name] == each for name, each in table.items()
    )


def training_value() -> dict[str, Any]:
    return {"psnr_db": 30.0, "per_image": {"a": [30.0, 0.8]}, "train_seconds": 1.0, "curve": [[0, 0.1, None]]}


def _read_training(path: Path) -> Any:
    (path.parent / WEIGHTS).touch()
    (path.parent / TRAINING).write_bytes(path.read_bytes())
    return load_training(path.parent)


def _training_agrees(training: Any, path: Path) -> bool:
    table = json.loads(path.read_text())
    table["per_image"] = {name: tuple(both) for name, both in table["per_image"].items()}
    return all(vars(training)[name] == each for name, each in table.items())


# States of trainings


@cache
def _training() -> tuple[Job, dict[str, Any]]:
    """A training of six steps, and what it left after three."""
    folder = Path(tempfile.mkdtemp(prefix="hostile-", dir=os.environ.get("NAS_CACHE")))
    plan = Plan(steps=6, batch=2, lr_patch=12, lr=1e-3, schedule="constant", ema=0.9)
    data = f"folder:{write_images(folder / 'images', side=32)}"
    job = Job(genotype=TINY, scale=2, plan=plan, data=data, threads=1)
    first = train(replace(job, plan=replace(plan, steps=3), folder=folder / "first", keep_state=True))
    assert first.state is not None
    return job, torch.load(first.state, weights_only=True)


def _tensors_of(value: Any, at: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a state by their places."""
    if isinstance(value, torch.Tensor):
        yield at, value
    elif isinstance(value, dict | list | tuple):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors_of(each, f"{at}/{key}")


def state_value() -> dict[str, Any]:
    """The state with ``[type, shape, place]`` for each tensor, so that each of them can be damaged."""

    def described(value: Any, at: str = "") -> Any:
        if isinstance(value, torch.Tensor):
            return [str(value.dtype).removeprefix("torch."), list(value.shape), at]
        if isinstance(value, dict):
            return {key: described(each, f"{at}/{key}") for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [described(each, f"{at}/{number}") for number, each in enumerate(value)]
        return value

    value: dict[str, Any] = described(_training()[1])
    return value


def _state(value: Any) -> bytes:
    held = dict(_tensors_of(_training()[1]))

    def made(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: made(each) for key, each in value.items()}
        if isinstance(value, list):
            tensor = held.get(value[2]) if len(value) == 3 and isinstance(value[2], str) else None
            return [made(each) for each in value] if tensor is None else _as_described(value, tensor)
        return value.text if isinstance(value, Raw) else value

    buffer = io.BytesIO()
    torch.save(made(value), buffer)
    return buffer.getvalue()


def _as_described(value: list[Any], tensor: torch.Tensor) -> Any:
    """A tensor in the type and shape of its description; a description without both as it is."""
    kind = getattr(torch, value[0], None) if isinstance(value[0], str) else None
    shape = value[1] if isinstance(value[1], list) and len(value[1]) < 6 else None
    if not isinstance(kind, torch.dtype) or shape is None:
        return str(value)
    if not all(type(side) is int and 0 <= side < 10_000 for side in shape) or np.prod(shape) > 10**6:
        return str(value)
    count = int(np.prod(shape))
    numbers = tensor.flatten().repeat(-(-count // tensor.numel()) if tensor.numel() else 1)[:count]
    return numbers.reshape(shape).to(kind)


def _resumed(job: Job) -> dict[str, Any]:
    """What a training took over, once its other steps are taken."""
    run = _Run(job, 1)
    run.resume()
    taken = {
        **{"step": run.step, "seconds": run.seconds, "curve": list(run.curve.entries)},
        **{"network": run.network.state_dict(), "work": run.work.state(), "patches": run.feed.state},
    }
    taken = copy.deepcopy(taken)
    run.finish(None)
    return taken


def _read_state(path: Path) -> dict[str, Any]:
    folder = path.parent / "training"
    folder.mkdir(exist_ok=True)
    (folder / STATE).write_bytes(path.read_bytes())
    return _resumed(replace(_training()[0], folder=folder))


def _read_trunk(path: Path) -> dict[str, Any]:
    return _resumed(replace(_training()[0], begin=path))


def _state_agrees(taken: dict[str, Any], path: Path) -> bool:
    """All of the file but the optimiser's settings, which are the plan's."""
    held, (job, _) = torch.load(path, weights_only=True), _training()
    (group,) = taken["work"]["optimizer"].pop("param_groups")
    held["work"]["optimizer"] = {"state": held["work"]["optimizer"]["state"]}
    ours, theirs = (dict(_tensors_of({name: each[name] for name in taken})) for each in (taken, held))
    same = ours.keys() == theirs.keys() and all(
        ours[name].dtype == each.dtype and torch.equal(ours[name], each) for name, each in theirs.items()
    )
    return (
        same
        and all(taken[name] == held[name] for name in ("step", "seconds"))
        and [tuple(entry) for entry in held["curve"]] == taken["curve"]
        and tuple(group["betas"]) == (job.plan.beta1, job.plan.beta2)
        and group["weight_decay"] == job.plan.weight_decay
    )


# Crops beside weights

PNG = b"\x89PNG\r\n\x1a\n"


def crops_value() -> dict[str, Any]:
    reached = {"lr": None, "bicubic": 25.0, "network": 26.5, "hr": None}
    crops = [
        {
            **{"image": f"wave{number}", "box": [4 * number, 8, 96, 48]},
            **{kind: {"file": f"{number}-{kind}.png", "psnr_db": reached[kind]} for kind in KINDS},
        }
        for number in range(2)
    ]
    return {"version": 1, "scale": 4, "metric": "y_float", "crops": crops}


def _read_crops(path: Path) -> tuple[list[Crop], str]:
    """The crops, and the page's text about them."""
    folder = path.parent / "run" / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(2):
        for kind in KINDS:
            (folder / f"{number}-{kind}.png").write_bytes(PNG)
    (folder / INDEX).write_bytes(path.read_bytes())
    found = pictures(path.parent, "run")
    if not found:
        raise LeaderboardError("no crop is shown")
    text = markup(crops(found, lambda picture: picture.data_url()))
    text.encode()  # as a page is written
    return found, text


class _Elements(HTMLParser):
    """The elements of a text with the names of their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, *sorted(name for name, _ in attrs)))


CROP_ELEMENTS = {
    *(("div", "class"), ("figure",), ("figcaption",), ("div",), ("img", "alt", "src"), ("span",)),
}


def _crops_agree(read: tuple[list[Crop], str], path: Path) -> bool:
    """What is shown is the index's, entries without damage are shown, and no text becomes an element."""
    found, text = read
    index = json.loads(path.read_bytes())

    def plain(crop: Crop) -> dict[str, Any]:
        shown = {kind: getattr(crop, kind) for kind in KINDS}
        files = {kind: {"file": each.file.name, "psnr_db": each.psnr_db} for kind, each in shown.items()}
        return {"image": crop.image, "box": list(crop.box), **files}

    def told(entry: Any) -> Any:
        """An entry as it may be shown: what is no PSNR is left out, and so is what has no meaning."""
        files = {kind: {"file": entry[kind].get("file"), "psnr_db": _psnr(entry[kind])} for kind in KINDS}
        return {"image": entry["image"], "box": entry["box"], **files}

    ours = [plain(crop) for crop in found]
    texts = [json.dumps(entry, sort_keys=True) for entry in index["crops"][:MOST_CROPS]]  # True is no 1
    right = [entry for entry in crops_value()["crops"] if json.dumps(entry, sort_keys=True) in texts]
    entries = [entry for entry in index["crops"] if isinstance(entry, dict) and set(KINDS) <= entry.keys()]
    entries = [entry for entry in entries if all(isinstance(entry[kind], dict) for kind in KINDS)]
    return (
        all(entry in ours for entry in right)
        and all(each in [told(entry) for entry in entries if "image" in entry] for each in ours)
        and all(crop.metric == index["metric"] for crop in found)
        and _Elements(text).found <= CROP_ELEMENTS
    )


def _psnr(entry: dict[str, Any]) -> float | None:
    value = entry.get("psnr_db")
    return float(value) if type(value) in (int, float) and abs(value) < 1e6 else None


# Files of ONNX Runtime


@cache
def _onnx_file() -> bytes:
    from nas.export.onnx import write_onnx

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        path = Path(folder) / "small.onnx"
        write_onnx(network(2).eval(), 2, path)
        return path.read_bytes()


def _onnx(value: Any) -> bytes:
    import onnx

    model = onnx.load_from_string(_onnx_file())
    del model.metadata_props[:]
    for name, text in value.items() if isinstance(value, dict) else ():
        kept = text.text if isinstance(text, Raw) else str(text)
        model.metadata_props.add(key=str(name), value=kept.encode("utf-8", "replace").decode())
    return bytes(model.SerializeToString())


def _read_onnx(path: Path) -> Any:
    from nas.export.onnx import OnnxNetwork

    opened = OnnxNetwork(path, threads=1)
    return opened, opened(torch.linspace(0, 1, 3 * 20 * 24).reshape(1, 3, 20, 24))


def _onnx_agrees(read: Any, path: Path) -> bool:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    x = np.linspace(0, 1, 3 * 20 * 24, dtype=np.float32).reshape(1, 3, 20, 24)
    (expected,) = session.run(None, {session.get_inputs()[0].name: x})
    return read[1].shape == expected.shape and np.allclose(
        read[1].numpy(), expected, atol=1e-5, equal_nan=True
    )


UPSCALE = ("upscale", "photo.png", "--model", "FILE")
ENTRIES: dict[str, Entry] = {
    "recipe": Entry(".toml", recipe_value, _toml_file, load_recipe, _of_toml),
    "tuning": Entry(".toml", tuning_value, _toml_file, load_recipe, _of_toml),
    "stored recipe": Entry(".stored", stored_value, _json_file, _read_stored, _stored_agrees),
    "genotype in JSON": Entry(
        ".json",
        lambda: {"space": "lightweight", **small().to_dict()},
        _json_file,
        read_genotype,
        _genotype_agrees,
        ("cost", "FILE"),
    ),
    "genotype in TOML": Entry(
        ".toml",
        lambda: {"space": "lightweight", **small().to_dict()},
        _toml_file,
        read_genotype,
        _genotype_agrees,
        ("cost", "FILE"),
    ),
    "weights in safetensors": Entry(
        ".safetensors", safetensors_value, _safetensors, _load, _safetensors_agrees, UPSCALE
    ),
    "weights in pickle": Entry(
        ".pth",
        pth_value,
        _pth,
        _load_pth,
        _pth_agrees,
        ("export", "hostile_entries:network", "--scale", "2", "--weights", "FILE", "--format", "safetensors"),
    ),
    "weights to start from": Entry(
        ".safetensors",
        safetensors_value,
        _safetensors,
        _start_from,
        _described_agrees,
        ("retrain", "mine", "--init-from", "FILE"),
    ),
    "released weights": Entry(
        ".pth",
        released_value,
        _pth,
        _load_released,
        _released_agrees,
        ("import-weights", "FILE", "--out", "out.safetensors", "--force"),
    ),
    "released training form": Entry(
        ".pth",
        training_form_value,
        _pth,
        _load_released,
        _training_form_agrees,
        ("evaluate", "FILE", "--data-dir", "sets", "--no-record"),
    ),
    "feature network": Entry(".pth", features_value, _pth, read_features, lambda *_: False),
    "results in CSV": Entry(".csv", rows_value, _csv, _import, _csv_agrees, ("import-results", "FILE")),
    "results in JSON lines": Entry(
        ".jsonl", rows_value, _jsonl, _import, _jsonl_agrees, ("import-results", "FILE")
    ),
    "results in Parquet": Entry(
        ".parquet", rows_value, _parquet, _import, _parquet_agrees, ("import-results", "FILE")
    ),
    "results database": Entry(
        ".db", database_value, _database, _import_database, database_agrees, ("import-results", "FILE")
    ),
    "opened database": Entry(
        ".db",
        database_value,
        _database,
        _open_database,
        _frame_agrees,
        ("front", "mine", "--db", "sqlite:///FILE"),
    ),
    "table of trainings": Entry(
        ".parquet", table_value, _table, read_table, _table_agrees, ("simulate", "--table", "FILE")
    ),
    "stage of a compression": Entry(".stage", stage_value, _json_file, _read_stage, _stage_agrees),
    "training of a compression": Entry(
        ".training", training_value, _json_file, _read_training, _training_agrees
    ),
    "state of a training": Entry(".state", state_value, _state, _read_state, _state_agrees),
    "state of a shorter training": Entry(".trunk", state_value, _state, _read_trunk, _state_agrees),
    "crops beside weights": Entry(".index", crops_value, _json_file, _read_crops, _crops_agree),
    "ONNX file": Entry(
        ".onnx",
        lambda: {"paretosr.scale": "2", "paretosr.least": "1"},
        _onnx,
        _read_onnx,
        _onnx_agrees,
        UPSCALE,
    ),
}
