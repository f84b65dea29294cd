"""Patterns of the names, ids and words that are stored; light enough for every command's help."""

from __future__ import annotations

import re

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a run may be called: it is also the name of its folder."""

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Id of a network or a protocol; ours are 12 hexadecimal digits."""

WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:+-]{0,99}")
"""A word of a table of ours: a metric, a plan, an engine."""

SPACE_NAME = re.compile(r"(?=.{1,200}\Z)[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", re.ASCII)
"""Name of a search space: a word of ours, `module` or `module:Class`."""

DIGEST = re.compile(r"[0-9a-f]{0,64}")
"""Hexadecimal digits of a digest; empty where there was nothing to digest."""

SHA256 = re.compile(r"[0-9a-f]{64}")
"""The SHA-256 of a file."""

LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{0,4096}")
"""Any other text of one line: a device, a reason, a file's name."""

CHECKPOINT = re.compile(
    r"(?!.*(?:^|/)\.\.(?:/|\Z))[^/\x00-\x1f\x7f-\x9f\ud800-\udfff\\][^\x00-\x1f\x7f-\x9f\ud800-\udfff\\]{0,1023}"
)
"""A file of weights, relative to the runs folder and inside it."""


def shortened(value: object, most: int = 80) -> str:
    """A value as text of at most `most` characters in one line, for messages."""
    text = " ".join(str(value)[: 4 * most].split())
    return text if len(text) <= most else f"{text[: most - 3]}..."
