"""Builds and starts here what a Hugging Face Space would, and prints what it needs: `make space`. No hub is reached.

The two commands of docs/hosting.md publish to a stand-in of the hub on this machine; what arrives there is installed by the commands of
the hub's build logs (image python:3.x, as of July 2026) and started with the limits of a Space's CPU hardware. Needs Linux and
the Python of the front matter. Exit status 1 at the first thing that a Space would stumble over.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml
from gradio_client import Client, handle_file

from skinapp.photo.drawings import draw_lesion
from tests.serving import ROOT, free_port

# https://huggingface.co/docs/hub/spaces-config-reference, and the license that the hub shows
KEYS = {
    *(
        "title",
        "emoji",
        "colorFrom",
        "colorTo",
        "sdk",
        "sdk_version",
        "python_version",
        "app_file",
        "app_port",
        "base_path",
    ),
    *(
        "app_build_command",
        "suggested_hardware",
        "suggested_storage",
        "fullWidth",
        "header",
        "short_description",
        "thumbnail",
    ),
    *(
        "models",
        "datasets",
        "tags",
        "pinned",
        "license",
        "hf_oauth",
        "hf_oauth_scopes",
        "hf_oauth_expiration_minutes",
    ),
    *(
        "hf_oauth_authorized_org",
        "disable_embedding",
        "startup_duration_timeout",
        "custom_headers",
        "preload_from_hub",
    ),
}
COLORS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
DESCRIPTION = 60  # characters; the hub's check of a push refuses more
LARGEST = 10 * 10**6  # bytes of a file outside LFS
TOTAL = 10**9  # bytes of a Space's repository
DISK = 50 * 10**9  # bytes; this and the next two: hardware "cpu-basic"
MEMORY = 16 * 2**30  # bytes
CORES = 2
STARTS_WITHIN = "30m"  # startup_duration_timeout, by default

# What a build installs, in this order. What the first lines have installed stays where the last one allows it.
BUILD = (
    ["--upgrade", "pip"],
    ["datasets", "huggingface-hub>=0.30", "hf-transfer>=0.1.4", "protobuf<4", "click<8.1"],
    [
        "-r",
        "requirements.txt",
        "gradio[oauth,mcp]=={sdk_version}",
        "uvicorn>=0.14.0",
        "websockets>=10.4",
        "spaces",
    ],
)
ENVIRONMENT = {
    "SYSTEM": "spaces",
    "SPACE_ID": "USER/NAME",
    "SPACE_HOST": "user-name.hf.space",
    "SPACE_AUTHOR_NAME": "USER",
    "SPACE_REPO_NAME": "NAME",
    "CPU_CORES": str(CORES),
    "MEMORY": "16Gi",
    "GRADIO_SERVER_NAME": "0.0.0.0",
    "GRADIO_ALLOW_FLAGGING": "never",
    "GRADIO_NUM_PORTS": "1",
    "GRADIO_SSR_MODE": "True",
    "GRADIO_THEME": "huggingface",
}

Row = tuple[str, str, str]  # what, found, limit


class Unfit(Exception):
    """No Space can be made of this; its text is one sentence: what is wrong."""


def front_matter(folder: Path) -> dict[str, Any]:
    """The settings at the top of the folder's README.md. Raises Unfit."""
    parts = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    front = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    if not isinstance(front, dict):
        raise Unfit("README.md does not begin with the settings of a Space.")
    return front


def faults(front: dict[str, Any], folder: Path) -> list[str]:
    """What the hub would refuse, or understand otherwise than meant, in the front matter of that folder: a sentence each."""
    required = (folder / "requirements.txt").read_text(encoding="utf-8")
    version = front.get("python_version")
    right = {
        f"{sorted(set(front) - KEYS)} are no settings of a Space.": set(front) <= KEYS,
        "title and emoji are missing.": bool(front.get("title") and front.get("emoji")),
        f"colorFrom and colorTo are none of {sorted(COLORS)}.": {front.get("colorFrom"), front.get("colorTo")}
        <= COLORS,
        "sdk is not gradio.": front.get("sdk") == "gradio",
        "sdk_version is not requirements.txt's version of gradio.": f"gradio=={front.get('sdk_version')}\n"
        in required,
        "python_version is no text like '3.11'; a number loses its last zero.": isinstance(version, str)
        and bool(re.fullmatch(r"3\.\d+(\.\d+)?", version)),
        "app_file does not exist.": (folder / str(front.get("app_file"))).is_file(),
        f"short_description is missing or longer than {DESCRIPTION} characters.": 0
        < len(front.get("short_description", ""))
        <= DESCRIPTION,
        "license is not that of the weights.": front.get("license")
        == front_matter(folder / "model").get("license"),
        "tags is no list of texts.": isinstance(front.get("tags"), list)
        and all(isinstance(t, str) for t in front["tags"]),
        "startup_duration_timeout is no duration like 30m or 1h.": bool(seconds(front)),
    }
    return [fault for fault, holds in right.items() if not holds]


def seconds(front: dict[str, Any]) -> int:
    """For how long a Space may start; 0 where the setting cannot be read."""
    found = re.fullmatch(r"(\d+)([smh])", str(front.get("startup_duration_timeout", STARTS_WITHIN)))
    return int(found[1]) * {"s": 1, "m": 60, "h": 3600}[found[2]] if found else 0


def commands(readme: str) -> list[list[str]]:
    """The commands of docs/hosting.md that publish, as arguments."""
    lines = re.findall(r"^    (hf (?:.*\\\n)*.*)$", readme, re.MULTILINE)
    return [shlex.split(line.replace("\\\n", " ")) for line in lines]


def publish(to: Path) -> None:
    """Run those commands against a stand-in of the hub, which lays what it receives in the folder `to`. Raises Unfit."""
    hf = Path(sys.executable).with_name("hf")
    with _hub(to) as address, tempfile.TemporaryDirectory() as home:
        for command in commands((ROOT / "docs" / "hosting.md").read_text(encoding="utf-8")):
            settings = {
                "HF_ENDPOINT": address,
                "HF_TOKEN": "hf_none",
                "HF_HOME": home,
                "NO_PROXY": "127.0.0.1",
            }
            done = subprocess.run(
                [hf, *command[1:]],
                check=False,
                cwd=ROOT,
                env=os.environ | settings,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise Unfit(f"{shlex.join(command)} fails: {(done.stderr or done.stdout).strip()}")


@contextmanager
def _hub(folder: Path) -> Iterator[str]:
    """The few answers of the hub that `hf` needs to create a repository and to commit to it. Returns its address."""

    class Hub(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if "/preupload/" in self.path:
                named = [file["path"] for file in json.loads(body)["files"]]
                self._answer(
                    {"files": [{"path": n, "uploadMode": "regular", "shouldIgnore": False} for n in named]}
                )
                return
            if "/commit/" in self.path:
                for line in map(json.loads, body.splitlines()):
                    if line["key"] == "file":
                        path = folder / line["value"]["path"]
                        path.parent.mkdir(parents=True, exist_ok=True)
                        path.write_bytes(base64.b64decode(line["value"]["content"]))
            space = f"{address}/spaces/USER/NAME"
            self._answer({"url": space, "commitUrl": f"{space}/commit/{0:040}", "commitOid": f"{0:040}"})

        def _answer(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield address
    finally:
        server.shutdown()
        server.server_close()


def check_files(folder: Path) -> Iterator[Row]:
    """Sizes of what was published. Raises Unfit."""
    sizes = {path.relative_to(folder): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    if not sizes:
        raise Unfit("The commands of docs/hosting.md publish nothing.")
    largest = max(sizes, key=lambda path: sizes[path])
    yield "files", f"{len(sizes)}, {sum(sizes.values()) / 1e6:.1f} MB", f"{TOTAL / 1e6:,.0f} MB"
    yield "largest file", f"{sizes[largest] / 1e6:.1f} MB, {largest}", f"{LARGEST / 1e6:.0f} MB"
    if sum(sizes.values()) > TOTAL or sizes[largest] > LARGEST:
        raise Unfit("The files are too large for a Space.")


def install(folder: Path, environment: Path, front: dict[str, Any]) -> Iterator[Row]:
    """Install into a new virtual environment as a build does. Raises Unfit."""
    name = "python" + ".".join(front["python_version"].split(".")[:2])
    python = shutil.which(name)
    probe = [python or "", "-c", "import ensurepip"]
    if not python or subprocess.run(probe, check=False, capture_output=True).returncode:
        raise Unfit(f"There is no {name} with its venv module on the PATH: install it.")
    subprocess.run([python, "-m", "venv", environment], check=True)
    pip = [environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check"]
    start = time.monotonic()
    for step in BUILD:
        packages = [package.format(**front) for package in step]
        done = subprocess.run([*pip, *packages], check=False, cwd=folder, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            raise Unfit(f"pip install {shlex.join(packages)} fails: {done.stderr.strip()}")
    took = time.monotonic() - start
    size = sum(path.lstat().st_size for path in environment.rglob("*"))
    installed = list(environment.glob("lib/*/site-packages/*.dist-info"))
    yield f"packages, {name}", f"{len(installed)}, {size / 1e9:.1f} GB, {took:.0f} s", f"{DISK / 1e9:.0f} GB"
    if size > DISK:
        raise Unfit("The packages are larger than a Space's disk.")


@contextmanager
def device_service() -> Iterator[tuple[dict[str, str], list[str]]]:
    """A stand-in of what lends GPUs to a ZeroGPU Space. Gives the variables of such a Space, and the paths that it is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.path)
            self.send_response(200 if self.path == "/startup-report" else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        yield (
            {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": address, "NO_PROXY": "127.0.0.1"},
            asked,
        )
        server.shutdown()


def start(folder: Path, environment: Path, front: dict[str, Any], variables: dict[str, str]) -> Iterator[Row]:
    """Start the app with a Space's variables and those given, its cores and memory, and ask it for answers. Raises Unfit."""
    port, limit = free_port(), seconds(front)
    address = f"http://127.0.0.1:{port}"
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))[:CORES]))
    confined = ["taskset", "--cpu-list", cores, "prlimit", f"--as={MEMORY}"]

    with tempfile.TemporaryDirectory() as home, (Path(home) / "log.txt").open("w+") as log:
        begun = time.monotonic()
        process = subprocess.Popen(
            [*confined, environment / "bin" / "python", front["app_file"]],
            cwd=folder,
            env=ENVIRONMENT
            | variables
            | {"GRADIO_SERVER_PORT": str(port), "HOME": home, "PATH": os.environ["PATH"]},
            stdout=log,
            stderr=subprocess.STDOUT,
        )

        def until(path: str) -> str:
            while process.poll() is None and time.monotonic() < begun + limit:
                try:
                    if httpx.get(address + path, timeout=10).status_code == 200:
                        return f"{time.monotonic() - begun:.0f} s"
                except httpx.TransportError:
                    pass
                time.sleep(0.2)
            log.seek(0)
            raise Unfit(f"The app does not answer {path} within {limit} s:\n{log.read()[-4000:]}")

        try:
            yield "page", until("/"), f"{limit} s"
            yield "models ready", until("/ready"), f"{limit} s"
            yield from _answers(address, Path(home))
            status = Path(f"/proc/{process.pid}/status").read_text()
            peak = int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024  # type: ignore[index]
            yield "peak memory", f"{peak / 2**30:.1f} GiB", f"{MEMORY / 2**30:.0f} GiB, enforced"
        finally:
            process.terminate()
            process.wait(30)


def _answers(address: str, folder: Path) -> Iterator[Row]:
    photo = folder / "drawn.jpg"
    draw_lesion("mel").save(photo)
    begun = time.monotonic()
    plain = httpx.post(f"{address}/v1/classify", files={"photo": photo.read_bytes()}, timeout=120)
    took = time.monotonic() - begun
    if plain.status_code != 200:
        raise Unfit(f"The first photo is answered with {plain.status_code}: {plain.text}")
    yield "first answer", f"{took:.2f} s, {plain.json()['label']}", ""
    with closing(Client(address, verbose=False)) as client:
        queued = client.predict(handle_file(photo), api_name="/classify")
    if queued["label"] != plain.json()["label"]:
        raise Unfit("Gradio's queue answers otherwise than /v1/classify.")
    page = httpx.get(address, headers={"host": ENVIRONMENT["SPACE_HOST"], "x-forwarded-proto": "https"})
    policy, cookie = page.headers["content-security-policy"], page.headers.get("set-cookie", "")
    if "frame-ancestors https://huggingface.co" not in policy or "SameSite=None; Partitioned" not in cookie:
        raise Unfit("The page cannot be used in the hub's frame: SPACE_ID is not heeded.")
    if f"https://{ENVIRONMENT['SPACE_HOST']}" not in page.text:
        raise Unfit("The page names another address than the Space's as its own.")
    yield "in the hub's frame", "policy, cookie, address", ""


def check() -> Iterator[Row]:
    """Everything, in the order in which a Space would stumble over it. Raises Unfit."""
    front = front_matter(ROOT)
    yield "front matter", f"{len(front)} settings", ""
    for fault in faults(front, ROOT):
        raise Unfit(f"Front matter: {fault}")
    with tempfile.TemporaryDirectory() as temporary:
        folder, environment = Path(temporary) / "app", Path(temporary) / "environment"
        publish(folder)
        yield from check_files(folder)
        yield from install(folder, environment, front)
        yield from start(folder, environment, front, {})
        with device_service() as (variables, asked):
            yield from (
                (f"ZeroGPU: {what}", *rest) for what, *rest in start(folder, environment, front, variables)
            )
            if asked != ["/startup-report"]:
                raise Unfit(
                    f"ZeroGPU would end the app, or lend it a GPU: its service was asked for {asked}."
                )


def main() -> int:
    print(f"{'check':<24}{'found':<44}limit")
    try:
        for what, found, limit in check():
            print(f"{what:<24}{found:<44}{limit}", flush=True)
    except Unfit as unfit:
        print(f"No Space: {unfit}", file=sys.stderr)
        return 1
    print("A Space can be made of this.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
