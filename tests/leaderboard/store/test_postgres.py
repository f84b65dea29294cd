"""What only a server can do: stop in the middle, lose an answer, refuse, be absent."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from new_records import propose, record
from postgres_server import PostgresServer
from sqlalchemy.engine import make_url

from leaderboard.errors import StoreError
from leaderboard.store import Store

OPENING: dict[str, Any] = {"recipe": {}, "space_digest": "5d1f", "code_version": "0.1.0"}


def write(url: str, name: str, count: int) -> None:
    """Proposes, claims and records `count` jobs of its own stage and seed."""
    with Store(url) as store:
        study = store.open_study("demo", **OPENING)
        for index in range(count):
            genotype_id = f"{name}-{index}"
            trial = propose(store, study.id, genotype_id=genotype_id, state="waiting")
            assert store.claim_this(trial.id, name, 600.0) is not None
            record(store, trial.id, genotype_id=genotype_id, owner=name)


@pytest.mark.thorough
def test_a_server_restarted_in_the_middle_of_four_writers_loses_and_doubles_nothing(
    postgres: PostgresServer, address: str, make_protocol: Any
) -> None:
    count, names = 80, [f"writer {number}" for number in range(4)]
    context = multiprocessing.get_context("spawn")
    with Store(address, read_only=True) as reader, Store(address) as store:
        store.ensure_protocol(make_protocol())
        store.open_study("demo", **OPENING)
        writers = [context.Process(target=write, args=(address, name, count), daemon=True) for name in names]
        for writer in writers:
            writer.start()
        for mode, reached in (("fast", 40), ("immediate", 160)):
            until = time.monotonic() + 120
            while len(reader.frame("demo")) < reached:
                assert time.monotonic() < until
                assert all(writer.exitcode in (None, 0) for writer in writers)
                time.sleep(0.02)
            postgres.stop(mode)
            assert any(writer.is_alive() for writer in writers)
            postgres.start()
        for writer in writers:
            writer.join(120)
        assert [writer.exitcode for writer in writers] == [0] * 4
        frame, events = reader.frame("demo"), reader.events("demo")
    assert frame["number"].tolist() == list(range(4 * count))
    assert frame["genotype"].is_unique
    assert (frame["state"] == "finished").all()
    assert frame["owner"].value_counts().to_dict() == dict.fromkeys(names, count)
    assert events["kind"].value_counts().to_dict() == dict.fromkeys(
        ("proposed", "started", "finished"), 4 * count
    )


class Wire:
    """Stands between a store and its server, and cuts at the next COMMIT: before it arrives, or after."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut: str | None = None
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        while data := self._receive(client):
            if b"COMMIT" in data and self.cut is not None:
                self.cuts += 1
                mode, self.cut = self.cut, None
                client.shutdown(socket.SHUT_WR)  # the client hears nothing more
                if mode == "after":
                    server.sendall(data)
                    time.sleep(0.3)
                break
            server.sendall(data)
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)  # closing alone waits for the other thread's reading
            end.close()

    def _forward(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := self._receive(server):
                client.sendall(data)

    @staticmethod
    def _receive(end: socket.socket) -> bytes:
        try:
            return end.recv(65536)
        except OSError:
            return b""

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def wire(postgres: PostgresServer) -> Iterator[Wire]:
    between = Wire(postgres.port)
    yield between
    between.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_connection_lost_at_the_commit_keeps_every_change_once(
    wire: Wire, address: str, moment: str, make_protocol: Any
) -> None:
    through = make_url(address).set(port=wire.port).render_as_string()
    with Store(through) as store:
        store.ensure_protocol(make_protocol())
        wire.cut = moment
        study = store.open_study("demo", **OPENING)
        wire.cut = moment
        trial = propose(store, study.id, state="waiting")
        wire.cut = moment
        claimed = store.claim(study.id, "me", 600.0)
        assert claimed is not None
        wire.cut = moment
        done = record(store, trial.id, owner="me")
        wire.cut = moment
        store.own_study(study.id, "me", 600.0)
    assert wire.cuts == 5
    with Store(address, read_only=True) as reader:
        [kept] = reader.trials(study.id)
        assert (kept.evaluation, kept.attempt, kept.number) == (done, 1, 0)
        assert reader.events("demo")["kind"].tolist() == [
            *("proposed", "started", "finished", "search_started")
        ]


def test_a_server_that_stays_away_is_one_line_after_a_bounded_time(
    postgres: PostgresServer, address: str
) -> None:
    with Store(address, retry_seconds=0.5) as store:
        store.open_study("demo", **OPENING)
        postgres.stop()
        try:
            for ask in (lambda: store.study("demo"), lambda: store.open_study("other", **OPENING)):
                with pytest.raises(StoreError) as told:
                    ask()
                assert re.search(r"/paretosr_\d+: did not answer for 0\.5 s: .*refused", str(told.value))
                assert "\n" not in str(told.value)
        finally:
            postgres.start()
        assert store.study("demo").name == "demo"


@pytest.mark.thorough
def test_opening_waits_for_a_server_that_restarts(postgres: PostgresServer, address: str) -> None:
    Store(address).close()
    postgres.stop()
    back = threading.Timer(1.5, postgres.start)
    back.start()
    try:
        began = time.monotonic()
        with Store(address, read_only=True) as store:
            assert store.studies() == []
        assert time.monotonic() - began > 1
    finally:
        back.join()
    with pytest.raises(StoreError, match='database "nowhere" does not exist'):
        Store(postgres.address("nowhere"))


def test_what_is_wrong_with_an_address_is_one_line_at_once(postgres: PostgresServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = free.getsockname()[1]
    wrong = {
        f"postgresql+psycopg://postgres:secret@127.0.0.1:{closed}/x": r"postgres:\*\*\*@.*refused",
        postgres.address("nowhere"): 'database "nowhere" does not exist',
        postgres.address("postgres").replace("postgres@", "nobody@"): 'role "nobody" does not exist',
        "mysql://somewhere/x": "results are kept in sqlite or postgresql, not in mysql",
    }
    for url, words in wrong.items():
        with pytest.raises(StoreError, match=words) as told:
            Store(url, retry_seconds=0.1)
        assert "\n" not in str(told.value)
        assert "secret" not in str(told.value)


def test_a_missing_driver_is_named_with_its_installation() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from leaderboard.store import Store\n"
        "try: Store('postgresql://me@somewhere/x')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == (
        "StoreError postgresql://me@somewhere/x: the driver 'psycopg' is missing; "
        "install it with: pip install 'paretosr[postgres]'\n"
    )


def test_a_database_of_something_else_is_left_alone(postgres: PostgresServer) -> None:
    import psycopg

    url = postgres.new_database()
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as raw:
        raw.execute("CREATE TABLE album (id integer)")
    with pytest.raises(StoreError, match=r"\d: is a database of something else \(tables album\)"):
        Store(url)


def test_reading_needs_no_right_to_write(postgres: PostgresServer, address: str, fill_store: Any) -> None:
    import psycopg

    with Store(address) as store:
        fill_store(store, trials=5)
    with psycopg.connect(address.replace("+psycopg", ""), autocommit=True) as raw:
        raw.execute("CREATE ROLE reader LOGIN")
        raw.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    with Store(address.replace("postgres@", "reader@"), read_only=True) as reader:
        assert len(reader.frame()) == 5


def test_the_examples_of_the_page_on_databases_run(
    address: str, filled: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (Path(__file__).parents[3] / "docs" / "databases.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(examples) == 3
    real = {
        "postgresql+psycopg://127.0.0.1:5433/paretosr": address,
        "runs/results.db": str(filled),
        '"demo"': '"x4-300k"',
    }
    for example in examples:
        for shown, meant in real.items():
            example = example.replace(shown, meant)
        exec(compile(example, "databases.md", "exec"), {})  # noqa: S102
    said = capsys.readouterr().out
    assert "\n[]\n" in said
    assert "finished" in said


def test_leases_follow_the_clock_of_the_server(address: str) -> None:
    """A worker whose own clock is a day ahead takes nothing that is still leased."""
    with Store(address) as store:
        study = store.open_study("demo", **OPENING)
        propose(store, study.id, state="waiting")
        held = store.claim(study.id, "here", 3600.0)
    assert held is not None
    code = (
        "import datetime, sys\n"
        "class Tomorrow(datetime.datetime):\n"
        "    @classmethod\n"
        "    def now(cls, tz=None): return super().now(tz) + datetime.timedelta(days=1)\n"
        "datetime.datetime = Tomorrow\n"
        "from leaderboard.store import Store\n"
        "with Store(sys.argv[1]) as store: print(store.claim(1, 'there', 60.0), store.reap(1))"
    )
    done = subprocess.run([sys.executable, "-c", code, address], capture_output=True, text=True, check=True)
    assert done.stdout == "None []\n"
