"""Processes that begin with the libraries imported: each is forked from one that has done nothing but import.

``python -m nas`` spends seconds on torch, pandas and their like before its first line. A process forked from
one that has imported them is as real: it has its own number, environment, folder, signals and exit status,
runs ``nas.__main__`` as its main program and ends as an interpreter does.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

LIBRARIES = (
    *("torch", "numpy", "scipy.stats", "pandas", "PIL.Image", "pydantic", "typer", "rich.console"),
    *("rich.progress", "rich.table", "optuna", "sqlalchemy", "alembic", "plotly.graph_objects", "dash"),
    *("dash_ag_grid", "psycopg", "torch._dynamo", "safetensors.torch", "pyarrow.pandas_compat"),
    *("torch.export", "torch.onnx", "onnxscript", "skimage.data", "alembic.command"),
)
"""What is imported before the first fork, with every module of the project."""


class Process:
    """A forked process; its methods are those of `subprocess.Popen` with text in two pipes."""

    def __init__(self, connection: socket.socket, stdout: IO[str], stderr: IO[str]) -> None:
        self._connection = connection
        self._told = connection.makefile("r")
        self.stdout, self.stderr = stdout, stderr
        self.pid = int(self._told.readline())
        self.returncode: int | None = None
        self._written: tuple[str, str] | None = None

    def poll(self) -> int | None:
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired("forked", timeout or 0)
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it wrote, once it has ended and nothing that it started holds its output open."""
        if self._written is not None:
            return self._written
        end = None if timeout is None else time.monotonic() + timeout
        pieces: dict[int, list[bytes]] = {}
        with selectors.DefaultSelector() as selector:
            for stream in (self.stdout, self.stderr):
                pieces[stream.fileno()] = []
                selector.register(stream.fileno(), selectors.EVENT_READ)
            while selector.get_map():
                left = None if end is None else end - time.monotonic()
                if left is not None and left <= 0:
                    raise subprocess.TimeoutExpired("forked", timeout or 0)
                for key, _ in selector.select(left):
                    piece = os.read(key.fd, 65536)
                    pieces[key.fd].append(piece)
                    if not piece:
                        selector.unregister(key.fd)
        self.wait(None if end is None else max(end - time.monotonic(), 0.1))
        stdout, stderr = (b"".join(pieces[each.fileno()]).decode() for each in (self.stdout, self.stderr))
        self._written = stdout, stderr
        self.close()
        return self._written

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        for each in (self.stdout, self.stderr, self._told, self._connection):
            each.close()

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._connection, selectors.EVENT_READ)
                if selector.select(timeout):
                    status = self._told.readline()
                    assert status, "the process that forks is gone"
                    self.returncode = int(status)
        return self.returncode


class Forker:
    """The process that has imported everything; ends with `close` or with who made it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="paretosr-forks-"))
        self._socket = self._folder / "socket"
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._socket)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n", "the process that forks did not start"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.communicate()
        shutil.rmtree(self._folder)

    def nas(self, *arguments: str, cwd: Path | None = None) -> Process:
        """``python -m nas`` with these arguments, in `cwd` and the environment of this moment."""
        return self._start({"module": "nas", "arguments": arguments}, cwd)

    def run_nas(
        self, *arguments: str, cwd: Path | None = None, timeout: float = 240
    ) -> subprocess.CompletedProcess[str]:
        """The same to its end."""
        process = self.nas(*arguments, cwd=cwd)
        try:
            stdout, stderr = process.communicate(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(arguments, process.wait(), stdout, stderr)

    def python(self, code: str, *arguments: str, cwd: Path | None = None) -> Process:
        """``python -c`` with this code, where the libraries and the project are imported already."""
        return self._start({"code": code, "arguments": arguments}, cwd)

    def _start(self, what: dict[str, Any], cwd: Path | None) -> Process:
        request = json.dumps(
            {**what, "cwd": str(cwd or Path.cwd()), "environment": dict(os.environ)}
        ).encode()
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(self._socket))
        readers, writers = zip(os.pipe(), os.pipe(), strict=True)
        socket.send_fds(connection, [len(request).to_bytes(8, "big")], list(writers))
        connection.sendall(request)
        for writer in writers:
            os.close(writer)
        stdout, stderr = (os.fdopen(reader, "r", encoding="utf-8") for reader in readers)
        return Process(connection, stdout, stderr)


# In the process that forks


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, descriptors, _, _ = socket.recv_fds(connection, 8, 2)
    size, body = int.from_bytes(head, "big"), b""
    while len(body) < size:
        body += connection.recv(size - len(body))
    return json.loads(body), descriptors


def _serve(path: str) -> dict[str, Any]:
    """Fork for every request until standard input ends; returns in the children only, with what to run."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(64)
    woken, wakes = socket.socketpair()
    for end in (woken, wakes):
        end.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wakes.fileno())
    waiting: dict[int, socket.socket] = {}
    selector = selectors.DefaultSelector()
    for source in (listener, woken, sys.stdin):
        selector.register(source, selectors.EVENT_READ)
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                for pid in waiting:
                    os.kill(pid, signal.SIGKILL)
                os._exit(0)
            elif key.fileobj is woken:
                woken.recv(4096)
                while waiting:
                    pid, status = os.waitpid(-1, os.WNOHANG)
                    if pid == 0:
                        break
                    with waiting.pop(pid) as connection, suppress(BrokenPipeError):
                        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
            else:
                connection, _ = listener.accept()
                request, descriptors = _receive(connection)
                signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))  # until a child listens to it
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
                    for mine in (listener, woken, wakes, connection, *waiting.values()):
                        mine.close()
                    selector.close()
                    for target, descriptor in enumerate(descriptors, start=1):
                        os.dup2(descriptor, target)
                        os.close(descriptor)
                    nowhere = os.open(os.devnull, os.O_RDONLY)
                    os.dup2(nowhere, 0)
                    os.close(nowhere)
                    return request
                signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGINT,))
                for descriptor in descriptors:
                    os.close(descriptor)
                waiting[pid] = connection
                connection.sendall(f"{pid}\n".encode())


def _import_everything() -> None:
    # This script's folder holds tests/nas, which must not be taken for the package: not here, and not in the
    # processes that multiprocessing spawns with the path of the one that it is in.
    folder = Path(sys.path[0])
    sys.path[0] = str(folder.parent)
    sys.path.append(str(folder))
    from package_graph import MODULES

    sys.path.remove(str(folder))
    for name in (*LIBRARIES, *MODULES):
        if name != "nas.__main__":
            importlib.import_module(name)
    _draw_something()
    names = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    others = [name for name in names if name != "jemalloc_bg_thd"]  # it starts its own anew after a fork
    assert len(others) <= 1, f"a fork would copy only one of these threads: {names}"


def _draw_something() -> None:
    """Plotly imports a hundred modules with its first figure."""
    import plotly.graph_objects as go

    go.Figure([go.Scatter(x=[0], y=[0]), go.Bar(x=[0], y=[0])], go.Layout(title="none")).to_json()


def _become(request: dict[str, Any]) -> None:
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["-c", *request["arguments"]]
    sys.path[0] = request["cwd"]
    if "module" in request:
        sys.argv[0] = request["module"]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
    else:
        main: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(request["code"], "<string>", "exec"), main)  # noqa: S102


def _end(request: dict[str, Any]) -> None:
    """Run and end as an interpreter does, but for tearing down every module, which would take seconds."""
    status = 0
    try:
        _become(request)
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        traceback.print_exc()
        status = 1
        if isinstance(error, KeyboardInterrupt):
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            status = 120
    os._exit(status)


if __name__ == "__main__":
    _import_everything()
    gc.collect()
    gc.freeze()
    _end(_serve(sys.argv[1]))
