from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from leaderboard.errors import LeaderboardError, UnknownStudyError
from leaderboard.site import MARKER, write_site
from leaderboard.store import Store
from leaderboard.tables.front import front_frame
from leaderboard.views import VIEWS


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def site(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a page about one study, which tests only read."""
    folder = tmp_path_factory.mktemp("out") / "new" / "site"
    with Store.at(filled, read_only=True) as store:
        assert write_site(store, folder, ["x4-300k"]) == folder / "index.html"
    return folder


def test_one_study_is_a_page_that_stands_alone(site: Path) -> None:
    index = site / "index.html"
    page = Page(index.read_text("utf-8"))
    assert page.open == []
    linked = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert sorted(str(link) for link in linked) == ["figures-1.js", "page.css", "plotly.min.js", "site.js"]
    assert all((index.parent / str(link)).is_file() for link in linked)
    for file in index.parent.iterdir():
        if file.name != "plotly.min.js":
            assert not re.search(r"(https?:)?//[a-z0-9]+\.", file.read_text("utf-8")), file.name
    assert all(
        "style" not in attrs and not any(key.startswith("on") for key in attrs) for _, attrs in page.tags
    )
    for said in ("x4-300k", "nas retrain x4-300k --top 1", "photographs", "luma", "28.42 dB", "Re-trained"):
        assert said in page.text
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv"))
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "eval" not in policy


def test_every_figure_has_its_place_and_every_view_with_data_a_figure(filled: Path, site: Path) -> None:
    index = site / "index.html"
    with Store.at(filled, read_only=True) as store:
        frame = store.frame("x4-300k")
    settings, _, drawn = (index.parent / "figures-1.js").read_text("utf-8").partition("window.FIGURES = ")
    assert '"showSendToCloud": false' in settings
    figures = json.loads(drawn.strip("; \n"))
    page = Page(index.read_text("utf-8"))
    ids = {str(attrs["id"]) for _, attrs in page.tags if "id" in attrs}
    assert set(figures) <= ids
    assert {"front", "history", "rejects", "retrained-0"} <= set(figures)
    assert {f"view-{name}" for name in VIEWS if name in figures} <= ids
    assert all(figure["data"] for name, figure in figures.items() if name in VIEWS)
    front = front_frame(frame, "x4-300k")
    best = front.sort_values("psnr_db", ascending=False)["genotype"].head(24)
    assert all(f"--ids {name}" in page.text for name in best)


@pytest.mark.thorough
def test_all_studies_have_pages_and_a_list_leads_to_them(filled: Path, tmp_path: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        index = write_site(store, tmp_path / "site")
    page = Page(index.read_text("utf-8"))
    links = [str(attrs["href"]) for tag, attrs in page.tags if tag == "a"]
    assert links == ["study-1.html", "study-2.html"]
    for link, name in zip(links, ("x4-300k", "empty"), strict=True):
        text = Page((index.parent / link).read_text("utf-8")).text
        assert name in text
        assert "All studies" in text
    assert "None yet." in (index.parent / "study-2.html").read_text("utf-8")


def test_a_database_without_studies_is_an_empty_list(tmp_path: Path) -> None:
    with Store.at(tmp_path / "results.db") as store:
        index = write_site(store, tmp_path / "site")
    assert "No search has been started yet." in index.read_text("utf-8")


def test_names_cannot_become_markup_or_commands(store: Store, fill_store: Any, tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>; rm -rf '\""
    fill_store(store, bad, trials=8)
    index = write_site(store, tmp_path / "site", [bad])
    text = index.read_text("utf-8")
    assert text.count("<script") == 3
    assert bad in Page(text).text
    assert "<script" not in (index.parent / "figures-1.js").read_text("utf-8")
    assert """nas retrain '<script>alert(1)</script>; rm -rf '"'"'"' --top 1""" in Page(text).text


def test_a_page_is_replaced_as_a_whole(filled: Path, site: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(site, tmp_path / "site")
    with Store.at(filled, read_only=True) as store:
        (folder / "left over").touch()
        write_site(store, folder, ["empty"])
    assert "None yet." in (folder / "index.html").read_text("utf-8")
    assert not (folder / "left over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_other_peoples_files_are_never_replaced(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "photo").touch()
    with Store.at(filled, read_only=True) as store:
        with pytest.raises(LeaderboardError, match="holds other files"):
            write_site(store, tmp_path, ["empty"])
        with pytest.raises(LeaderboardError, match="is a file"):
            write_site(store, tmp_path / "photo", ["empty"])
        with pytest.raises(LeaderboardError, match="cannot be written"):
            write_site(store, tmp_path / "photo" / "below", ["empty"])
        with pytest.raises(UnknownStudyError):
            write_site(store, tmp_path / "site", ["nobody"])
    assert [path.name for path in tmp_path.iterdir()] == ["photo"]


def test_a_failure_in_the_middle_keeps_the_old_page(
    filled: Path, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(site, tmp_path / "site")
    before = (site / "index.html").read_text("utf-8")
    with Store.at(filled, read_only=True) as store:
        real = Path.rename

        def breaks(self: Path, target: Path) -> Path:
            if self.name == "fresh":
                raise OSError(28, "No space left on device")
            return real(self, target)

        monkeypatch.setattr(Path, "rename", breaks)
        with pytest.raises(LeaderboardError, match="No space left"):
            write_site(store, folder, ["empty"])
    assert (folder / "index.html").read_text("utf-8") == before
    assert (folder / MARKER).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
