from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from leaderboard.crops import KINDS, MOST_BYTES, pictures

PNG = b"\x89PNG\r\n\x1a\n and the rest"


def entry(number: int = 0, **changes: Any) -> dict[str, Any]:
    kinds = {kind: {"file": f"{number}-{kind}.png", "psnr_db": None} for kind in KINDS}
    kinds["bicubic"]["psnr_db"], kinds["network"]["psnr_db"] = 25.0, 26.5
    return {"image": "astronaut", "box": [4, 8, 96, 96], **kinds, **changes}


def write(runs: Path, *entries: Any, index: Any = None) -> Path:
    folder = runs / "run" / "candidates" / "one" / "pictures"
    folder.mkdir(parents=True)
    for kind in KINDS:
        (folder / f"0-{kind}.png").write_bytes(PNG)
    whole = {"version": 1, "scale": 4, "metric": "y_float", "crops": list(entries)}
    (folder / "index.json").write_text(json.dumps(whole if index is None else index))
    return folder


def test_a_crop_is_read_with_its_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path, entry())
    [crop] = pictures(tmp_path, "run/candidates/one")
    assert (crop.image, crop.box, crop.metric) == ("astronaut", (4, 8, 96, 96), "y_float")
    assert crop.network.file == folder.resolve() / "0-network.png"
    assert (crop.lr.psnr_db, crop.bicubic.psnr_db, crop.network.psnr_db) == (None, 25.0, 26.5)
    assert crop.gain_db == 1.5
    head, data = crop.hr.data_url().split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(data) == PNG


@pytest.mark.parametrize("folder", [None, "", "nowhere", "run/candidates/two"])
def test_where_there_are_none_the_list_is_empty(folder: str | None, tmp_path: Path) -> None:
    write(tmp_path, entry())
    assert pictures(tmp_path, folder) == []


@pytest.mark.parametrize(
    "folder", ["../runs/run/candidates/one", "run/../run/candidates/one", "ABSOLUTE", "a\0b"]
)
def test_a_folder_that_leaves_the_runs_is_not_read(folder: str, tmp_path: Path) -> None:
    write(tmp_path / "runs", entry())
    if folder == "ABSOLUTE":
        folder = str(tmp_path / "runs" / "run" / "candidates" / "one")
    assert pictures(tmp_path / "runs", "run/candidates/one")
    assert pictures(tmp_path / "runs", folder) == []


@pytest.mark.parametrize("at", ["run", "run/candidates/one", "run/candidates/one/pictures"])
def test_a_link_on_the_way_is_not_followed(at: str, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", entry())
    link = tmp_path / "runs" / at
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere" / at)
    assert pictures(tmp_path / "runs", "run/candidates/one") == []


def test_a_file_that_is_a_link_too_large_or_no_png_is_not_read(tmp_path: Path) -> None:
    folder = write(tmp_path, entry())
    hr = folder / "0-hr.png"
    (tmp_path / "secret.png").write_bytes(PNG)
    hr.unlink()
    hr.symlink_to(tmp_path / "secret.png")
    assert pictures(tmp_path, "run/candidates/one") == []
    hr.unlink()
    hr.write_bytes(PNG + bytes(MOST_BYTES))
    assert pictures(tmp_path, "run/candidates/one") == []
    hr.write_bytes(b"<svg onload=alert(1)>")
    assert pictures(tmp_path, "run/candidates/one") == []
    hr.unlink()
    os.mkfifo(hr)  # reading it would never end
    assert pictures(tmp_path, "run/candidates/one") == []


@pytest.mark.parametrize(
    "name", ["../../../secret.png", "/etc/hostname", "index.json", ".png", "a b.png", "0-hr.png\n", 7, None]
)
def test_only_plain_names_of_png_files_are_read(name: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "secret.png").write_bytes(PNG)
    write(tmp_path, entry(hr={"file": name}), entry())
    assert len(pictures(tmp_path, "run/candidates/one")) == 1


@pytest.mark.parametrize(
    "index",
    [
        [],
        {},
        "text",
        {"crops": 3, "metric": "rgb"},
        {"crops": [entry()]},
        {
            "crops": [None, 3, [], entry(box=[0, 0, 96]), entry(box=[0, 0, 0, 96]), entry(box="abcd")],
            "metric": "m",
        },
        {"crops": [entry(box=[True, 0, 9, 9]), entry(box=[0, 0, 10**300, 9]), entry(image=3)], "metric": "m"},
    ],
)
def test_an_index_of_another_shape_gives_nothing(index: Any, tmp_path: Path) -> None:
    write(tmp_path, index=index)
    assert pictures(tmp_path, "run/candidates/one") == []


@pytest.mark.parametrize("value", [10**400, float("inf"), float("nan"), "\ud800", "a\0b"])
def test_an_index_with_what_no_file_can_hold_gives_nothing(value: Any, tmp_path: Path) -> None:
    write(tmp_path, entry(), entry(1), {"image": value})
    assert pictures(tmp_path, "run/candidates/one") == []


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_an_index_that_is_no_json_gives_nothing(text: bytes, tmp_path: Path) -> None:
    (write(tmp_path, entry()) / "index.json").write_bytes(text)
    assert pictures(tmp_path, "run/candidates/one") == []


@pytest.mark.parametrize("value", [True, "26.5", 10**7])
def test_what_is_no_number_of_decibels_is_none(value: Any, tmp_path: Path) -> None:
    write(tmp_path, entry(network={"file": "0-network.png", "psnr_db": value}))
    [crop] = pictures(tmp_path, "run/candidates/one")
    assert crop.network.psnr_db is None
    assert crop.gain_db is None
