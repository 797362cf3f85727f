"""The app as its users start it, and a browser to drive it with."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
STARTS_WITHIN = 300.0  # seconds; a busy machine takes long over its imports of Gradio and TensorFlow


@contextmanager
def running_app(log: Path, **environment: str) -> Iterator[str]:
    """Start `python app.py` on a free port and stop it afterwards. Returns its address; its output goes to `log`."""
    with running_process(log, **environment) as (address, _):
        yield address


@contextmanager
def running_process(log: Path, *within: str, **environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """The same, and the process itself, which the test may end. within: the beginning of a command that runs the rest of it."""
    with starting_process([*within, sys.executable, "app.py"], log, **environment) as (address, process):
        _wait_for(address, process, log)
        yield address, process


@contextmanager
def starting_process(
    command: list[str], log: Path, **environment: str
) -> Iterator[tuple[str, subprocess.Popen]]:
    """The process that a command starts, which may not answer yet, and the address that it is told to listen at."""
    port = free_port()
    settings = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "NO_PROXY": "127.0.0.1"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | settings | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield f"http://127.0.0.1:{port}", process
        finally:
            process.terminate()
            process.wait(30)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless Chromium: the installed one, else Playwright's. Fails, and does not skip, where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    installed = next(filter(None, map(shutil.which, names)), None)
    flags = [
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ]
    flags += ["--disable-sync", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    if os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium refuses to run as root with it
    from playwright.sync_api import expect, sync_playwright  # benchmarks start the app where no browser is

    expect.set_options(timeout=60_000)  # milliseconds: what is slow because other tests run is not wrong
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=installed, args=flags)
        yield chromium
        chromium.close()


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            httpx.get(f"{address}/health", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise RuntimeError(f"The app did not start:\n{log.read_text(errors='replace')}")


def wait_until_ready(address: str) -> None:
    """Until the models are loaded and gave their known answers."""
    deadline = time.monotonic() + STARTS_WITHIN
    while httpx.get(f"{address}/ready", timeout=30).status_code != 200:
        if time.monotonic() > deadline:
            raise RuntimeError("The models did not load in time.")
        time.sleep(0.2)
