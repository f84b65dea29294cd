"""``docs/promises.md`` names the tests of what the README promises: none is missing, and none is gone."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def plain(text: str) -> str:
    """Text without the marks of Markdown, in one line."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"\s+", " ", re.sub(r"[*`]", "", text)).strip()


def promises() -> dict[str, list[str]]:
    """Quotation -> the tests below it."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / "promises.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("> "):
            quotation = plain(line[2:])
            assert quotation not in found, quotation
            tests = found[quotation] = []
        elif line.startswith("- "):
            tests.append(line.removeprefix("- `").removesuffix("`"))
    return found


PROMISES = promises()


def sections() -> dict[str, str]:
    """Heading -> text; what stands before the first heading has none."""
    parts = re.split(r"^## (.*)$", README, flags=re.MULTILINE)
    return {"": parts[0].partition("\n")[2], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def sentences(text: str) -> list[str]:
    """Those of paragraphs and lists; captions and what is run are none."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    paragraphs = re.split(r"\n\n|\n(?=- )", prose)
    whole = [
        plain(one.strip().removeprefix("- ")) for one in paragraphs if not re.match(r"\s*(!|\*[^*])", one)
    ]
    return [one for paragraph in whole for one in re.split(r"(?<=[.!?]) (?=[A-Z])", paragraph) if one]


def commands() -> list[str]:
    return [plain(line) for line in sections()["Use it"].splitlines() if line.startswith("nas ")]


@functools.cache
def functions(path: str) -> dict[str, list[str]]:
    """Name -> decorators of every test of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.name: [ast.unparse(decorator) for decorator in node.decorator_list]
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def test_every_quotation_is_in_the_readme_and_has_tests() -> None:
    text = plain(README)
    for quotation, tests in PROMISES.items():
        assert quotation in text, f"no longer in README.md: {quotation}"
        assert tests, f"no test keeps: {quotation}"
        assert len(set(tests)) == len(tests), f"a test stands twice below: {quotation}"


def test_what_the_readme_begins_with_and_all_that_one_can_rely_on_is_quoted() -> None:
    claims = [*sentences(sections()[""]), *sentences(sections()["What you can rely on"]), *commands()]
    assert len(claims) > 30
    for claim in claims:
        assert any(quoted in claim or claim in quoted for quoted in PROMISES), (
            f"docs/promises.md lacks: {claim}"
        )


@pytest.mark.parametrize("test", sorted({test for tests in PROMISES.values() for test in tests}))
def test_a_test_that_keeps_a_promise_is_there_and_runs_before_every_change(test: str) -> None:
    path, _, name = test.partition("::")
    assert name.startswith("test_")
    decorators = functions(path).get(name)
    assert decorators is not None, f"{path} has no {name}"
    assert not [mark for mark in decorators if mark in ("pytest.mark.nightly", "pytest.mark.gpu")]
