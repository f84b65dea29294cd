from __future__ import annotations

import pytest
import torch

from nas.core.device import MOST_THREADS, cpu_threads, pick_device
from nas.errors import RecipeError


def test_every_worker_gets_a_thread_and_none_gets_many() -> None:
    assert 1 <= cpu_threads() <= MOST_THREADS
    assert cpu_threads(workers=10_000) == 1


def test_auto_is_cuda_where_there_is_one() -> None:
    assert pick_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu") == "cpu"


@pytest.mark.parametrize("word", ["gpu", "cuda:99", "meta", "mps", ""])
def test_a_device_that_is_not_there_is_refused(word: str) -> None:
    with pytest.raises(RecipeError, match=f"device '{word}'"):
        pick_device(word)
