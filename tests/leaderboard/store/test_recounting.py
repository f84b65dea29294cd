"""Costs of networks as trained: which are marked, who refuses them, and what replaces them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from new_records import OWNER, new_trial, propose, protocol, record
from sqlalchemy import create_engine, text

from leaderboard.errors import OldCostsError, StudyTakenError
from leaderboard.page.cached_store import CachedStore, Kept
from leaderboard.store import Store, Study, sqlite_url
from leaderboard.store.cost_forms import recount_command
from leaderboard.store.database import MIGRATIONS
from leaderboard.store.records import CountedCost
from leaderboard.store.recounting import excess_again
from leaderboard.tables.exchange import export_results, import_results

OPENING: dict[str, Any] = {"space_digest": "5d1f", "code_version": "0.1.0"}
RECIPE = {"budget": {"params": 1000, "multi_adds": 50_000, "memory": 4000}}
TRAINED = {"params": 1200, "multi_adds": 60_000, "conv_multi_adds": 50_000, "activations": 900}
USED = {"params": 900, "multi_adds": 45_000, "conv_multi_adds": 40_000, "activations": 300}
STILL_OVER = {**USED, "params": 1100}
FOLDS = {"block": "residual", "kernel": "asymmetric"}


def make_old(store: Store, *genotypes: str) -> None:
    """The costs of these networks become what an older version left: of the networks as trained."""
    with store._engine.begin() as connection:
        for genotype in genotypes:
            connection.execute(
                text("UPDATE cost SET form = 'training' WHERE genotype_id = :id"), {"id": genotype}
            )


def old_study(store: Store, name: str = "old") -> Study:
    """A run with a finished, a waiting and two rejected trials of networks as trained, and one as used."""
    study = store.open_study(name, recipe=RECIPE, **OPENING)
    store.ensure_protocol(protocol())
    same: dict[str, Any] = {"choices": FOLDS, "cost": TRAINED}
    done = propose(store, study.id, 1, **same, genotype_id="done")
    record(store, done.id, 1, genotype_id="done")
    propose(store, study.id, 2, **same, genotype_id="waits", state="waiting")
    excess = {"params": 0.2, "multi_adds": 0.2}
    propose(store, study.id, 3, **same, genotype_id="fits", state="rejected", excess=excess)
    over = {**excess, "memory": 0.5}
    propose(store, study.id, 4, **same, genotype_id="over", state="rejected", excess=over)
    plain = propose(store, study.id, 5, genotype_id="plain")
    record(store, plain.id, 5, genotype_id="plain")
    make_old(store, "done", "waits", "fits", "over")
    return study


def counted(store: Store, **costs: dict[str, int]) -> list[CountedCost]:
    return [
        CountedCost(genotype_id=old.genotype_id, scale=old.scale, cost=costs.get(old.genotype_id, USED))
        for old in store.costs_to_recount()
    ]


def forms(store: Store) -> dict[str, str]:
    with store._engine.connect() as connection:
        return {row.genotype_id: row.form for row in connection.execute(text("SELECT * FROM cost"))}


def excesses(store: Store, study: Study) -> dict[str, dict[str, float]]:
    return {trial.genotype_id: trial.excess for trial in store.trials(study.id) if trial.state == "rejected"}


SPACES = {
    "plain": ("lightweight", {"block": "residual", "kernel": "3x3"}, "use"),
    "no kernel": ("lightweight", {"block": "lattice"}, "use"),
    "asymmetric": ("lightweight", {"block": "wrd", "kernel": "asymmetric"}, "training"),
    "acdm": ("lightweight", {"block": "acdm", "kernel": "3x3"}, "training"),
    "named": ("published", {"network": "swinir_light"}, "use"),
    "efrdn": ("search_spaces.networks.efrdn:Efrdn", {"module": "imdb"}, "training"),
    "pruned": ("compressed", {"of": "lightweight", "choices": {"kernel": "3x3"}}, "training"),
    "of a lab": ("my_lab.my_space", {"width": 8}, "training"),
}


def test_the_migration_marks_what_costs_the_same_in_both_forms(url: str, postgres: Any) -> None:
    """By the choices of the network, in SQLite's texts and PostgreSQL's values; no JSON is no answer."""
    if url.startswith("postgresql"):
        url = postgres.new_database()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    engine = create_engine(url)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        rows = {name: (space, json.dumps(choices)) for name, (space, choices, _) in SPACES.items()}
        odd = {"a list": ("lightweight", "[]")}
        odd |= {} if url.startswith("postgresql") else {"damaged": ("lightweight", "{")}
        for name, (space, choices) in (rows | odd).items():
            made = {"id": name, "space": space, "choices": choices}
            connection.execute(
                text("INSERT INTO genotype (id, space, choices) VALUES (:id, :space, :choices)"), made
            )
            connection.execute(text("INSERT INTO cost VALUES (:id, 4, 1, 2, 3, 4, NULL)"), made)
    engine.dispose()
    with Store(url) as store:
        expected = {name: form for name, (_, _, form) in SPACES.items()}
        assert forms(store) == expected | dict.fromkeys(odd, "training")


def test_a_program_of_an_older_version_writes_costs_that_count_as_old(store: Store) -> None:
    with store._engine.begin() as connection:
        connection.execute(
            text("INSERT INTO genotype (id, space, choices) VALUES ('a', 'lightweight', '{}')")
        )
        connection.execute(
            text(
                "INSERT INTO cost (genotype_id, scale, params, multi_adds, conv_multi_adds, activations) "
                "VALUES ('a', 4, 1, 2, 3, 4)"
            )
        )
    assert forms(store) == {"a": "training"}


READERS: dict[str, Callable[[Store, Study, Path], Any]] = {
    "frame": lambda store, study, folder: store.frame("old"),
    "a cost": lambda store, study, folder: store.frame("old", ["genotype", "params"]),
    "all runs": lambda store, study, folder: store.frame(),
    "trials": lambda store, study, folder: store.trials(study.id),
    "events": lambda store, study, folder: store.events("old"),
    "parts": lambda store, study, folder: store.parts("done", 4),
    "export": lambda store, study, folder: export_results(store, None, folder / "a.csv", "csv"),
    "page": lambda store, study, folder: CachedStore(str(store._engine.url), Kept()).frame("old"),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_gives_costs_of_networks_as_trained(reader: str, tmp_path: Path) -> None:
    path = tmp_path / "results.db"
    with Store.at(path) as store:
        study = old_study(store)
        with pytest.raises(OldCostsError) as refused:
            READERS[reader](store, study, tmp_path)
        message = str(refused.value)
        assert message.endswith(f"count again with: nas recount --runs {tmp_path}")
        assert "\n" not in message and len(message) < 400
        if reader != "parts":
            assert "4 costs of run 'old'" in message
        store.recount(counted(store))
        READERS[reader](store, study, tmp_path)


def test_a_run_opens_while_another_one_has_costs_of_networks_as_trained(store: Store) -> None:
    old_study(store)
    study = store.open_study("new", recipe={}, **OPENING)
    propose(store, study.id, 5, genotype_id="plain", state="waiting")
    assert len(store.frame("new")) == len(store.trials(study.id)) == 1
    assert len(store.events("new")) == 1
    assert len(store.frame("old", ["genotype", "psnr_db"])) == 5
    store.require_recounted("new")
    store.require_recounted("a run that is not there")
    with pytest.raises(OldCostsError, match="4 costs of run 'old'"):
        store.require_recounted(["new", "old"])


def test_a_recount_replaces_costs_and_judges_rejected_trials_again(store: Store) -> None:
    study = old_study(store)
    done = store.recount(counted(store, over=STILL_OVER))
    assert (done.costs, done.inside) == (4, {"old": 1})
    assert set(forms(store).values()) == {"use"}
    frame = store.frame("old").set_index("genotype")
    assert frame.loc["done", "params"] == 900
    assert frame.loc["plain", "params"] == new_trial(5).cost["params"]
    assert excesses(store, study) == {"fits": {}, "over": {"params": pytest.approx(0.1), "memory": 0.5}}
    event = store.events("old").iloc[-1]
    assert (event["kind"], event["details"]) == ("recounted", {"costs": 4, "inside": 1})
    assert store.costs_to_recount() == []


def test_a_second_recount_changes_nothing(store: Store) -> None:
    old_study(store)
    new = counted(store)
    store.recount(new)
    before, last = store.frame("old"), store.last_event("old")
    again = store.recount([replace(each, cost=TRAINED) for each in new])
    assert (again.costs, again.inside) == (0, {})
    assert store.last_event("old") == last
    assert store.frame("old").equals(before)


def test_nothing_is_half_recounted(store: Store) -> None:
    study = old_study(store)
    new = counted(store)
    broken = [*new[:-1], replace(new[-1], cost={})]
    with pytest.raises(KeyError):
        store.recount(broken)
    assert sorted(forms(store).values()) == ["training"] * 4 + ["use"]
    with pytest.raises(OldCostsError):
        store.trials(study.id)


def test_a_run_is_not_recounted_while_it_is_searched_or_trained_for(store: Store) -> None:
    study = old_study(store)
    new = counted(store)
    store.own_study(study.id, "other:1:-", 60)
    with pytest.raises(StudyTakenError, match="run 'old' is being searched by other:1:-"):
        store.recount(new)
    store.release_study(study.id, "other:1:-")
    taken = store.claim(study.id, "other:2:-", 60)
    assert taken is not None
    with pytest.raises(StudyTakenError, match="run 'old' is being trained for by other:2:-"):
        store.recount(new)
    store.release("other:2:-", [taken.id])
    assert store.recount(new).costs == 4


def test_a_run_that_does_not_change_may_be_searched_during_a_recount(store: Store) -> None:
    old_study(store)
    study = store.open_study("new", recipe={}, **OPENING)
    store.own_study(study.id, OWNER, 60)
    assert store.recount(counted(store)).costs == 4


def test_the_page_reads_a_run_anew_after_a_recount(tmp_path: Path) -> None:
    """Also where its trials stay the same: what is kept counts until the next event."""
    url = sqlite_url(tmp_path / "results.db")
    with Store(url) as store:
        old_study(store)
        store.recount(counted(store, done=TRAINED))
        with CachedStore(url, Kept()) as page:
            before = page.frame("old").set_index("genotype")
            make_old(store, "done")
            store.recount(counted(store))
            after = page.frame("old").set_index("genotype")
        assert (before.loc["done", "params"], after.loc["done", "params"]) == (1200, 900)


def test_a_search_that_meets_a_network_counts_it_again_for_all_runs(store: Store) -> None:
    old = old_study(store)
    study = store.open_study("new", recipe={}, **OPENING)
    for genotype in ("done", "waits", "fits", "over"):
        same: dict[str, Any] = {"choices": FOLDS, "cost": USED, "genotype_id": genotype}
        propose(store, study.id, 1, **same, state="waiting")
    assert excesses(store, old) == {"fits": {}, "over": {"memory": 0.5}}
    assert store.events("old")["kind"].tolist().count("recounted") == 4
    assert store.frame("old").set_index("genotype").loc["done", "params"] == 900


def test_of_two_forms_the_cost_of_the_network_as_used_is_kept(tmp_path: Path) -> None:
    with Store.at(tmp_path / "here.db") as here, Store.at(tmp_path / "there.db") as there:
        old_study(here), old_study(there)
        there.recount(counted(there, over=STILL_OVER))
        source = str(tmp_path / "there.db")
        assert import_results(here, source, name="theirs").different == []
        assert set(forms(here).values()) == {"use"}
        judged = {"fits": {}, "over": {"params": pytest.approx(0.1), "memory": 0.5}}
        for name in ("old", "theirs"):
            assert excesses(here, here.study(name)) == judged
        events = here.last_event("old"), here.last_event("theirs")
        assert import_results(here, source, name="theirs").new == {}
        assert (here.last_event("old"), here.last_event("theirs")) == events


def test_an_old_database_brings_no_cost_of_a_network_as_trained_where_the_other_is_known(
    tmp_path: Path,
) -> None:
    with Store.at(tmp_path / "here.db") as here, Store.at(tmp_path / "there.db") as there:
        old_study(here, "mine"), old_study(there)
        here.recount(counted(here, over=STILL_OVER))
        unknown = propose(there, there.study("old").id, 6, genotype_id="unknown", cost=TRAINED, choices=FOLDS)
        record(there, unknown.id, 6, genotype_id="unknown")
        make_old(there, "unknown")
        import_results(here, str(tmp_path / "there.db"))
        assert {name for name, form in forms(here).items() if form == "training"} == {"unknown"}
        with pytest.raises(OldCostsError, match="1 cost of run 'old'"):
            here.frame("old")
        here.require_recounted("mine")
        here.recount(counted(here))
        assert excesses(here, here.study("old")) == excesses(here, here.study("mine"))
        last = here.last_event("old")
        assert import_results(here, str(tmp_path / "there.db")).new == {}
        assert (here.last_event("old"), set(forms(here).values())) == (last, {"use"})


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_a_file_says_the_form_and_one_without_it_is_of_the_old_rule(tmp_path: Path, format: str) -> None:
    import pandas as pd

    file, older = tmp_path / f"all.{format}", tmp_path / f"older.{format}"
    with Store.at(tmp_path / "results.db") as store:
        old_study(store)
        store.recount(counted(store))
        export_results(store, None, file, format)
    if format == "parquet":
        pd.read_parquet(file).drop(columns="cost_form").to_parquet(older)
    elif format == "csv":
        pd.read_csv(file, dtype=str).drop(columns="cost_form").to_csv(older, index=False)
    else:
        lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        kept = [{name: value for name, value in line.items() if name != "cost_form"} for line in lines]
        older.write_text("".join(f"{json.dumps(line)}\n" for line in kept), encoding="utf-8")
    with Store.at(tmp_path / "new.db") as new:
        import_results(new, str(file))
        assert set(forms(new).values()) == {"use"}
    with Store.at(tmp_path / "old.db") as old:
        import_results(old, str(older))
        expected = {"plain": "use"} | dict.fromkeys(("done", "waits", "fits", "over"), "training")
        assert forms(old) == expected


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("runs/results.db", "nas recount --runs runs"),
        ("my runs/results.db", "nas recount --runs 'my runs'"),
        ("copy.db", "nas recount --db sqlite:///copy.db"),
        ("postgresql+psycopg://a@h/b", "nas recount --db postgresql+psycopg://a@h/b"),
    ],
)
def test_the_command_leads_to_the_same_database(where: str, said: str) -> None:
    assert recount_command(where) == said


def test_a_limit_that_the_recipe_does_not_name_is_not_judged() -> None:
    assert excess_again(None, USED, {"params": 0.5}) == {"params": 0.5}
    assert excess_again({"params": None}, USED, {"params": 0.5}) == {"params": 0.5}
    assert excess_again({"min_params": 1000}, USED, {}) == {"min_params": pytest.approx(0.1)}
