"""Takes the pictures of docs/browsing.md in a real browser, over the results of a real search.

python tests/screenshots.py [--out docs/images] [--folder FOLDER]
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

from leaderboard.page.query import Query
from leaderboard.page.reading import Kept, Reading, networks_of
from leaderboard.store import sqlite_url

ROOT = Path(__file__).parents[1]
SEARCH = (
    *("search", "--name", "night", "--data", "photos", "--scale", "4", "--max-params", "300k"),
    *("--max-multi-adds", "15G", "--trials", "16", "--steps", "40", "--device", "cpu"),
)
MOST_BYTES = 200_000
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def made(folder: Path) -> None:
    """A real search of some minutes in `folder`, its best network re-trained, as a reader would have it."""
    for arguments in (SEARCH, ("retrain", "night", "--top", "1", "--steps", "80")):
        subprocess.run([sys.executable, "-m", "nas", *arguments], check=True, cwd=folder, env=ENVIRONMENT)


def save(browser: Browser, path: Path) -> None:
    """The window as a PNG of few colours, so that it stays small. Raises ValueError when it does not."""
    shot = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png())).convert("RGB")
    shot.quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise ValueError(f"{path}: {size} bytes, more than {MOST_BYTES}")
    print(f"{path}: {size / 1000:.0f} KB")


def settled(browser: Browser) -> None:
    browser.until(lambda: browser.all("#figure .gtitle"), "a figure", 60)
    browser.until(lambda: browser.all(".ag-row .link"), "rows", 60)
    time.sleep(1.0)


def take(browser: Browser, address: str, runs: Path, out: Path) -> None:
    with Reading(sqlite_url(runs / "results.db"), Kept()) as store:
        frame = store.frame("night")
        protocol = str(frame.loc[frame["stage"] == "search", "protocol"].dropna().iloc[0])
        names = list(networks_of(store, Query(study="night", protocol=protocol))["genotype"])
    one, two = names[0], names[1]
    shots = {
        "board.png": ("?study=night", 1280, 960, "light"),
        "board-dark.png": ("?study=night", 1280, 960, "dark"),
        "board-network.png": (f"?study=night&opened={one}", 1280, 960, "light"),
        "board-compare.png": (f"?study=night&opened={one}&opened={two}", 1280, 960, "light"),
        "board-candidates.png": (f"?study=night&chosen={one}&chosen={two}", 1280, 960, "light"),
        "board-phone.png": ("?study=night", 390, 844, "light"),
    }
    for name, (query, width, height, scheme) in shots.items():
        browser.size(width, height)
        browser.scheme(scheme)
        browser.open(address + query)
        settled(browser)
        if "candidates" in name:
            browser.run("document.querySelector('#chosen-list').scrollIntoView({block: 'center'})")
        if "phone" in name:
            browser.run("document.querySelector('#figure-card').scrollIntoView({block: 'start'})")
        time.sleep(0.5)
        save(browser, out / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images")
    parser.add_argument("--folder", type=Path, help="where runs/ has the run night; else it is searched")
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
