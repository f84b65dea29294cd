"""What the search itself costs for each candidate, and how long a long search takes to go on.

The real loop, with an executor whose candidates are trained in no time (PSNR is a formula), so that what
remains is asking, cost, database and telling. What the sampler thinks, and what counting parts takes that no
candidate had before, are printed apart; a candidate's own includes the proposals rejected on the way.

python tests/benchmarks/search.py [--trials 100 1000] [--sampler random surrogate] [--db URL]
python tests/benchmarks/search.py --going-on 10000 [--sampler surrogate]

The second fills a database with so many finished trials (random networks, made-up results) and times how long
the same command takes until it would propose the next one.
"""

from __future__ import annotations

import argparse
import math
import platform
import statistics
import tempfile
import time
from pathlib import Path

import nas.search.session
from leaderboard.store import Store, sqlite_url
from nas.cost.budget import Cost
from nas.cost.counting import cost_of
from nas.executors import EXECUTORS, Done, Pool, Watch
from nas.recipes.recipe import make_recipe
from nas.samplers import RandomChooser
from nas.search.progress import Event
from nas.search.proposer import Proposer
from nas.search.session import SearchSession
from nas.training import Job, Outcome
from search_spaces import Genotype


class Instant:
    """Every job is done before it is asked for."""

    capacity = attempts = 1

    def __init__(self, pool: Pool) -> None:
        self._jobs: list[tuple[int, Job]] = []

    def submit(self, key: int, job: Job) -> None:
        self._jobs.append((key, job))

    def next_result(self, watch: Watch) -> Done:
        watch(None)
        key, job = self._jobs.pop(0)
        psnr = 28 + 0.001 * (int(job.genotype.id, 16) % 1000) + math.log(job.genotype.to_dict()["width"])  # type: ignore[arg-type]
        outcome = Outcome(psnr_db=psnr, ssim=0.8, per_image={}, train_seconds=0.0, curve=[(1, 0.1, None)])
        return Done(key=key, worker="here", result=outcome)

    def close(self, save: bool) -> list[Done]:
        return []


def measure(sampler: str, trials: int, url: str, folder: Path) -> None:
    recipe = make_recipe(
        {
            "name": f"{sampler}-{trials}",
            "trials": trials,
            "sampler": sampler,
            "executor": "instant",
            "budget": {"params": "300k", "multi_adds": "15G"},
            "device": "cpu",
            "seed": trials,
        }
    )
    asking: list[float] = []
    ask = Proposer.ask

    def timed(proposer: Proposer) -> object:
        start = time.perf_counter()
        try:
            return ask(proposer)
        finally:
            asking.append(time.perf_counter() - start)

    Proposer.ask = timed  # type: ignore[assignment, method-assign]
    pricing: list[float] = []

    def priced(genotype: Genotype, scale: int) -> Cost:
        start = time.perf_counter()
        cost = cost_of(genotype, scale)
        pricing.append(time.perf_counter() - start)
        return cost

    nas.search.session.cost_of = priced  # type: ignore[attr-defined]
    marks: list[tuple[int, int]] = []
    moments: list[float] = []

    def listen(event: Event) -> None:
        if event.kind == "finished":
            moments.append(time.perf_counter())
            marks.append((len(asking), len(pricing)))

    try:
        with Store(url) as store:
            search = SearchSession(recipe, store, folder, "cpu", listen)
            search.prepare()
            search.run()
            last = max(2, min(100, trials // 2))
            asked, counted = marks[-last - 1]
            thinking, counting = sum(asking[asked:]), sum(pricing[counted:])
            own = (moments[-1] - moments[-last - 1] - thinking - counting) / last
            again = SearchSession(recipe, store, folder, "cpu", listen)
            start = time.perf_counter()
            again.prepare()
            again.run()
            resumed = time.perf_counter() - start
    finally:
        Proposer.ask = ask  # type: ignore[method-assign]
        nas.search.session.cost_of = cost_of  # type: ignore[attr-defined]
    median, longest = statistics.median(asking[-last:]), max(asking[-last:])
    print(
        f"  {sampler:<10}{trials:>7} trials   own {own * 1e3:>6.1f} ms a candidate   "
        f"counting {counting / last * 1e3:>6.1f} ms   "
        f"sampler {median * 1e3:>7.1f} ms (longest {longest:.2f} s)   going on {resumed:>5.2f} s",
        flush=True,
    )


def going_on(sampler: str, trials: int, folder: Path) -> None:
    """Time from opening the database to the end of a search that has all its results."""
    begun, full = sqlite_url(folder / f"{sampler}-begun.db"), sqlite_url(folder / f"{sampler}-full.db")
    table = {"name": "long", "sampler": sampler, "executor": "instant", "device": "cpu", "trials": 1}
    with Store(begun) as store:
        search = SearchSession(make_recipe(table), store, folder, "cpu", lambda event: None)
        search.prepare()
        search.run()
        held = store.contents("long", events=False)
    [trial], [evaluation], [cost] = held.trials, held.evaluations.values(), held.costs.values()
    chooser, drawn = RandomChooser(0), {}
    while len(drawn) < trials:
        genotype = search.space.suggest(chooser)
        drawn[genotype.id] = genotype
    rows = []
    for number, (name, genotype) in enumerate(drawn.items()):
        held.genotypes[name] = {
            "id": name,
            "space": genotype.space,
            "choices": genotype.to_dict(),
            "name": None,
        }
        held.costs[name, 4] = {**cost, "genotype_id": name, "parts": None}
        result = (name, trial["protocol_id"], trial["seed"])
        quality = evaluation["psnr_db"] + int(name, 16) % 1000 / 1000
        held.evaluations[result] = {**evaluation, "genotype_id": name, "psnr_db": quality}
        rows.append({**trial, "genotype_id": name, "number": number, "result": result})
    held.trials[:] = rows
    with Store(full) as store:
        store.merge(lambda: [held])
    start = time.perf_counter()
    with Store(full) as store:
        again = SearchSession(
            make_recipe({**table, "trials": trials}), store, folder, "cpu", lambda event: None
        )
        again.prepare()
        tally = again.run()
    assert len(tally.results) == trials
    print(f"  {sampler:<10} going on with {trials} results: {time.perf_counter() - start:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--sampler", nargs="+", default=["random", "surrogate"])
    parser.add_argument("--db", default=None)
    parser.add_argument("--going-on", type=int, default=0)
    given = parser.parse_args()
    EXECUTORS["instant"] = Instant
    print(f"{platform.machine()}, Python {platform.python_version()}, {given.db or 'SQLite'}")
    with tempfile.TemporaryDirectory() as place:
        url = given.db or sqlite_url(Path(place) / "results.db")
        for sampler in given.sampler:
            if given.going_on:
                going_on(sampler, given.going_on, Path(place))
                continue
            for trials in given.trials:
                measure(sampler, trials, url, Path(place))


if __name__ == "__main__":
    main()
