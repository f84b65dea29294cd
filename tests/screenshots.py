"""Takes the pictures of the documentation in a real browser, over the results of real searches.

python tests/screenshots.py [--out docs/images] [--folder FOLDER]

Without a folder the searches are run first, which takes about half an hour on two cores: that of
`runs/photos.toml` with its best network re-trained, one with rungs and seeds, and a random one.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from browser import Browser

from leaderboard.page.cached_store import CachedStore, Kept, networks_of
from leaderboard.page.query import Query
from leaderboard.store import sqlite_url
from leaderboard.views import VIEWS

ROOT = Path(__file__).parents[1]
PHOTOS = str(ROOT / "runs" / "photos.toml")
WORKERS = ("--executor", "processes", "--workers", "2", "--device", "cpu")
COMMANDS = (
    ("search", PHOTOS, *WORKERS),
    ("retrain", "photos", "--top", "1"),
    (
        *("search", "--name", "rungs", "--trials", "18", "--plan", "steady", "--rungs", "60,180,540"),
        *("--seeds-for-front", "2", "--max-params", "300k", "--max-multi-adds", "15G", *WORKERS),
    ),
    ("search", PHOTOS, "--name", "photos-random", "--sampler", "random", "--trials", "12", *WORKERS),
)
ELSEWHERE = {"agreement": "study=rungs", "fronts": "study=photos&others=photos-random"}
"""Views that have more to show of another study than `photos`."""
MOST_BYTES = 200_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def made(folder: Path) -> None:
    """Real searches in `folder`, as a reader would have them."""
    for arguments in COMMANDS:
        subprocess.run([sys.executable, "-m", "nas", *arguments], check=True, cwd=folder, env=ENVIRONMENT)


def save(browser: Browser, path: Path, part: str | None = None) -> None:
    """The window, or the element `part`, as a PNG of few colours. Raises ValueError when it is not small."""
    driver = browser.driver
    shot = driver.get_screenshot_as_png() if part is None else browser.one(part).screenshot_as_png
    picture = Image.open(io.BytesIO(shot)).convert("RGB")
    picture.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path}: {size} bytes, more than {MOST_BYTES}")
    print(f"{path}: {size / 1000:.0f} KB")


def settled(browser: Browser) -> None:
    browser.until(lambda: browser.all("#figure .gtitle"), "a figure", 60)
    browser.until(lambda: browser.all(".ag-row .link"), "rows", 60)
    time.sleep(1.0)


def take(browser: Browser, address: str, runs: Path, out: Path) -> None:
    with CachedStore(sqlite_url(runs / "results.db"), Kept()) as store:
        frame = store.frame("photos")
        protocol = str(frame.loc[frame["stage"] == "search", "protocol"].dropna().iloc[0])
        names = list(networks_of(store, Query(study="photos", protocol=protocol))["genotype"])
    one, two = names[0], names[1]
    shots = {
        "board.png": ("?study=photos", 1280, 960, "light"),
        "board-dark.png": ("?study=photos", 1280, 960, "dark"),
        "board-network.png": (f"?study=photos&opened={one}", 1280, 960, "light"),
        "board-compare.png": (f"?study=photos&opened={one}&opened={two}", 1280, 960, "light"),
        "board-candidates.png": (f"?study=photos&chosen={one}&chosen={two}", 1280, 960, "light"),
        "board-phone.png": ("?study=photos", 390, 844, "light"),
    }
    for view in VIEWS:
        query = f"?{ELSEWHERE.get(view, 'study=photos')}&view={view}"
        shots[f"views/{view}.png"] = query, 1280, 1000, "light"
    (out / "views").mkdir(parents=True, exist_ok=True)
    for name, (query, width, height, scheme) in shots.items():
        browser.size(width, height)
        browser.scheme(scheme)
        browser.open(address + query)
        settled(browser)
        if "candidates" in name:
            browser.run("document.querySelector('#chosen-list').scrollIntoView({block: 'center'})")
        if name.startswith("views/"):
            save(browser, out / name, "#figure-card")
            continue
        if "phone" in name:
            browser.run("document.querySelector('#figure-card').scrollIntoView({block: 'start'})")
        time.sleep(0.5)
        save(browser, out / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--folder", type=Path, help="where runs/ has these runs already")
    chosen = parser.parse_args()
    out = chosen.out.resolve()
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        if chosen.folder is None:
            made(folder)
        command = [sys.executable, "-m", "nas", "board", "--port", "0", "--allow-queue"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder, env=ENVIRONMENT)
        assert server.stdout is not None
        found = re.search(r"(http://\S+)", server.stdout.readline())
        assert found
        browser = Browser(Path(temporary))
        try:
            take(browser, found[1], folder / "runs", out)
        finally:
            browser.close()
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
