from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from leaderboard.errors import LeaderboardError, UnknownStudyError
from leaderboard.site import MARKER, write_site
from leaderboard.store import Store


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


def test_the_page_stands_alone_and_says_what_was_found(filled: Path, tmp_path: Path) -> None:
    with Store.at(filled, read_only=True) as store:
        index = write_site(store, "x4-300k", tmp_path / "out" / "site")
    assert index == tmp_path / "out" / "site" / "index.html"
    page = Page(index.read_text("utf-8"))
    assert page.open == []
    linked = [value for _, attrs in page.tags for key, value in attrs.items() if key in ("src", "href")]
    assert sorted(str(link) for link in linked) == ["figures.js", "page.css", "plotly.min.js", "site.js"]
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
    settings, _, drawn = (index.parent / "figures.js").read_text("utf-8").partition("window.FIGURES = ")
    assert '"showSendToCloud": false' in settings
    figures = json.loads(drawn.strip("; \n"))
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    assert set(figures) == ids == {"front", "history", "rejects", "retrained-0"}


def test_names_cannot_become_markup_or_commands(store: Store, fill_store: Any, tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>; rm -rf '\""
    fill_store(store, bad, trials=8)
    index = write_site(store, bad, tmp_path / "site")
    text = index.read_text("utf-8")
    assert text.count("<script") == 3
    assert bad in Page(text).text
    assert "<script" not in (index.parent / "figures.js").read_text("utf-8")
    assert """nas retrain '<script>alert(1)</script>; rm -rf '"'"'"' --top 1""" in Page(text).text


def test_a_page_is_replaced_as_a_whole(filled: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    with Store.at(filled, read_only=True) as store:
        write_site(store, "x4-300k", folder)
        (folder / "left over").touch()
        write_site(store, "empty", folder)
    assert "None yet." in (folder / "index.html").read_text("utf-8")
    assert not (folder / "left over").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]


def test_other_peoples_files_are_never_replaced(filled: Path, tmp_path: Path) -> None:
    (tmp_path / "photo").touch()
    with Store.at(filled, read_only=True) as store:
        with pytest.raises(LeaderboardError, match="holds other files"):
            write_site(store, "x4-300k", tmp_path)
        with pytest.raises(LeaderboardError, match="is a file"):
            write_site(store, "x4-300k", tmp_path / "photo")
        with pytest.raises(LeaderboardError, match="cannot be written"):
            write_site(store, "x4-300k", tmp_path / "photo" / "below")
        with pytest.raises(UnknownStudyError):
            write_site(store, "nobody", tmp_path / "site")
    assert [path.name for path in tmp_path.iterdir()] == ["photo"]


def test_a_failure_in_the_middle_keeps_the_old_page(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "site"
    with Store.at(filled, read_only=True) as store:
        before = write_site(store, "x4-300k", folder).read_text("utf-8")
        real = Path.rename

        def breaks(self: Path, target: Path) -> Path:
            if self.name == "fresh":
                raise OSError(28, "No space left on device")
            return real(self, target)

        monkeypatch.setattr(Path, "rename", breaks)
        with pytest.raises(LeaderboardError, match="No space left"):
            write_site(store, "empty", folder)
    assert (folder / "index.html").read_text("utf-8") == before
    assert (folder / MARKER).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["site"]
