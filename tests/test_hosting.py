"""Where the app is hosted: a Space's settings and files, the image and the proxy before it, and the workflow that runs .ci/run.

Whatever of it needs no other host runs for real: the commands that publish, against a stand-in of the hub; the app as in the
image, as another user who can write nowhere but in one folder; and Caddy before it with the Caddyfile of compose.yaml.
"""

import json
import os
import re
import shlex
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
import yaml
from gradio_client import Client, handle_file

from skinapp.photo.drawings import draw_lesion
from skinapp.photo.preprocess import MOST_BYTES
from tests import space
from tests.serving import ROOT, free_port, running_process, wait_until_ready

PROGRAMS = Path(sys.executable).parent
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
REQUESTS = 4  # a minute and client, in these tests
CONFINED = sys.platform == "linux" and os.geteuid() == 0  # only root can lay out a file system of its own

needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="the clients need several addresses of loopback"
)


# A Space


def test_a_space_can_be_made_of_the_front_matter() -> None:
    assert space.faults(space.front_matter(ROOT), ROOT) == []


@pytest.mark.parametrize(
    "change",
    [
        {"sdkversion": "6.31.0"},
        {"colorTo": "teal"},
        {"sdk": "docker"},
        {"sdk_version": "6.30.0"},
        {"python_version": 3.11},
        {"python_version": "3"},
        {"app_file": "main.py"},
        {"short_description": "x" * 61},
        {"short_description": ""},
        {"license": "apache-2.0"},
        {"tags": "dermatology"},
        {"startup_duration_timeout": "half an hour"},
    ],
    ids=str,
)
def test_every_fault_of_a_front_matter_is_found(change: dict[str, Any]) -> None:
    assert len(space.faults(space.front_matter(ROOT) | change, ROOT)) == 1


def test_the_first_fault_ends_the_check(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(space, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("# skinapp\n")
    assert space.main() == 1
    assert capsys.readouterr().err == "No Space: README.md does not begin with the settings of a Space.\n"


def test_a_time_out_is_understood() -> None:
    assert [space.seconds({"startup_duration_timeout": text}) for text in ("90s", "45m", "1h")] == [
        90,
        2700,
        3600,
    ]
    assert space.seconds({}) == 1800


def test_the_readme_s_commands_publish_what_runs_and_nothing_else(tmp_path: Path) -> None:
    space.publish(tmp_path)
    published = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    runs = {"app.py", "requirements.txt", "README.md", "LICENSE", "NOTICE"}
    runs |= {name for name in listed if name.startswith(("skinapp/", "model/"))}
    assert runs <= published
    assert published <= runs | {"SECURITY.md"} | {name for name in listed if name.startswith("docs/")}
    for name in runs:
        assert (tmp_path / name).read_bytes() == (ROOT / name).read_bytes()
    assert [row[0] for row in space.check_files(tmp_path)] == ["files", "largest file"]
    (tmp_path / "large.bin").write_bytes(bytes(space.LARGEST + 1))
    with pytest.raises(space.Unfit, match="too large"):
        list(space.check_files(tmp_path))


# The image and the proxy


def test_the_image_is_built_of_what_runs() -> None:
    assert f"FROM python:{space.front_matter(ROOT)['python_version']}-slim" in DOCKERFILE, (
        "the Python that is tested first"
    )
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    assert "*" in ignored and "**/__pycache__" in ignored
    assert {"app.py", "skinapp", "model", "requirements.lock"} <= set(kept)
    assert all((ROOT / name).exists() for name in kept)


def test_hadolint_finds_nothing_in_the_dockerfile(tmp_path: Path) -> None:
    def findings(path: Path) -> str:
        return subprocess.run(
            [PROGRAMS / "hadolint", "--no-color", path], check=False, capture_output=True, text=True
        ).stdout

    assert findings(ROOT / "Dockerfile") == ""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace('CMD ["python", "app.py"]', "CMD python app.py"))
    assert "DL3025" in findings(tmp_path / "Dockerfile")


@pytest.mark.parametrize("service", COMPOSE["services"])
def test_a_container_may_do_no_more_than_it_must(service: str) -> None:
    settings = COMPOSE["services"][service]
    assert settings["read_only"] and settings["cap_drop"] == ["ALL"]
    assert settings["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit", "tmpfs"} <= set(settings)
    for source in (volume.split(":")[0] for volume in settings.get("volumes", [])):
        assert source in COMPOSE["volumes"] or (ROOT / source).is_file()


def test_only_the_proxy_reaches_the_app_and_is_believed() -> None:
    app, inside = COMPOSE["services"]["app"], COMPOSE["networks"]["inside"]
    assert app["networks"] == ["inside"] and inside["internal"] and "ports" not in app
    assert app["environment"]["FORWARDED_ALLOW_IPS"] == inside["ipam"]["config"][0]["subnet"]
    assert COMPOSE["services"]["proxy"]["depends_on"]["app"]["condition"] == "service_healthy"


def test_every_setting_is_in_the_document_and_passed_to_the_container() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(SKINAPP_\w+)`", text[text.index("## Settings") :]))
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "skinapp").rglob("*.py"))
    folders = {"SKINAPP_MODEL", "SKINAPP_DATA"}  # in the README: the container has neither
    assert documented == set(re.findall(r'"(SKINAPP_\w+)"', code)) - folders
    environment = COMPOSE["services"]["app"]["environment"]
    assert {name: f"${{{name}:-}}" for name in documented}.items() <= environment.items()


class Site(NamedTuple):
    address: str  # of the proxy
    context: ssl.SSLContext  # trusts the proxy's own authority
    app: str  # the app's own address
    process: int  # its id
    folder: Path  # the only one where it may write

    def client(self, number: int) -> httpx.Client:
        """A client at 127.0.0.`number`."""
        transport = httpx.HTTPTransport(verify=self.context, local_address=f"127.0.0.{number}")
        return httpx.Client(base_url=self.address, transport=transport, timeout=120)


def confined(folder: Path) -> list[str]:
    """The beginning of a command that runs as the image's user, without rights but to read, on a file system that is read-only
    outside the folder. (To read what: the tests' Python may lie in root's home.)"""
    os.chown(folder, 10001, 10001)
    readable = "--inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search"
    lay_out = (
        f"mount --bind {shlex.quote(str(ROOT))} {shlex.quote(str(ROOT))} && mount -o remount,bind,ro {shlex.quote(str(ROOT))}"
        f" && mount --bind {shlex.quote(str(folder))} {shlex.quote(str(folder))} && mount -o remount,bind,ro /"
        f' && cd . && exec setpriv --reuid=10001 --regid=10001 --clear-groups --no-new-privs {readable} -- "$@"'
    )
    return ["unshare", "--mount", "sh", "-c", lay_out, "sh"]


@contextmanager
def proxied(folder: Path, app: str) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Caddy with the Caddyfile, but on free ports and before `app`. Returns its address and what trusts it."""
    caddy = PROGRAMS / "caddy"
    adapted = subprocess.run(
        [caddy, "adapt", "--config", ROOT / "Caddyfile"], capture_output=True, text=True, check=True
    )
    port = free_port()
    assert '":443"' in adapted.stdout and '"app:7860"' in adapted.stdout
    moved = adapted.stdout.replace('":443"', f'"127.0.0.1:{port}"').replace(
        "app:7860", app.removeprefix("http://")
    )
    config = json.loads(moved)
    config["apps"]["http"] |= {"https_port": port, "http_port": free_port()}
    (folder / "caddy.json").write_text(json.dumps(config))
    homes = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "caddy.log").open("wb") as log:
        command = [caddy, "run", "--config", folder / "caddy.json"]
        process = subprocess.Popen(command, env=os.environ | homes, stdout=log, stderr=subprocess.STDOUT)
        try:
            authority, deadline = folder / "caddy/pki/authorities/local/root.crt", time.monotonic() + 60
            while not list(folder.glob("caddy/certificates/local/localhost/*.crt")):
                assert process.poll() is None and time.monotonic() < deadline, (
                    folder / "caddy.log"
                ).read_text()
                time.sleep(0.1)
            yield f"https://localhost:{port}", ssl.create_default_context(cafile=authority)
        finally:
            process.kill()  # it would wait for a client's stream
            process.wait()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("written")
    for parent in folder.parents[:2]:
        parent.chmod(0o755)  # pytest's folders are closed to other users
    log, certificates = tmp_path_factory.mktemp("log") / "log.txt", tmp_path_factory.mktemp("caddy")
    within = confined(folder) if CONFINED else []
    settings = {"TMPDIR": str(folder), "HOME": str(folder), "SKINAPP_REQUESTS_PER_MINUTE": str(REQUESTS)}
    settings |= {"FORWARDED_ALLOW_IPS": "127.0.0.1"}  # Caddy
    with (
        running_process(log, *within, **settings) as (app, process),
        proxied(certificates, app) as (address, context),
    ):
        wait_until_ready(app)
        yield Site(address, context, app, process.pid, folder)


@needs_linux
def test_the_page_and_its_queue_work_through_the_proxy(site: Site, tmp_path: Path) -> None:
    photo = tmp_path / "drawn.jpg"
    draw_lesion("mel").save(photo)
    with site.client(2) as client:
        page = client.get("/").raise_for_status()
        assert f'"root":"{site.address}"' in page.text
        assert (
            page.headers["set-cookie"].startswith("__Host-skinapp=")
            and "; Secure" in page.headers["set-cookie"]
        )
        plain = client.post("/v1/classify", files={"photo": photo.read_bytes()}).raise_for_status().json()
        assert client.get("/metrics").status_code == 404
    client = Client(site.address, verbose=False, ssl_verify=site.context, download_files=False)
    with closing(client) as queued:  # whose heartbeat would go on
        assert queued.predict(handle_file(photo), api_name="/classify")["label"] == plain["label"]


@needs_linux
def test_the_limit_counts_the_client_s_own_address(site: Site) -> None:
    for number in (3, 4):
        with site.client(number) as client:
            statuses = [
                client.post("/v1/classify", headers={"x-forwarded-for": f"192.0.2.{i}"}).status_code
                for i in range(REQUESTS + 1)
            ]
        assert statuses == [400] * REQUESTS + [429]


@needs_linux
def test_too_large_a_body_gets_the_app_s_sentence(site: Site) -> None:
    with site.client(5) as client:
        answer = client.post("/v1/classify", files={"photo": bytes(MOST_BYTES + 2**20)})
    assert answer.status_code == 413
    assert answer.json()["error"].startswith("This is more than 40 MB")


@pytest.mark.skipif(not CONFINED, reason="only root can lay out a read-only file system")
def test_the_app_runs_without_root_and_writes_to_one_folder(site: Site) -> None:
    status = dict(
        line.split(":\t")
        for line in Path(f"/proc/{site.process}/status").read_text().splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert status["NoNewPrivs"] == "1"
    probe = "import sys; open(sys.argv[1], 'w')"
    for path, allowed in ((site.folder / "x", True), (ROOT / "x", False), (Path.home() / "x", False)):
        done = subprocess.run(
            [*confined(site.folder), sys.executable, "-c", probe, path],
            check=False,
            capture_output=True,
            text=True,
        )
        assert (done.returncode == 0) is allowed, f"{path}: {done.stderr}"
        assert allowed or "Read-only file system" in done.stderr
    (uploads,) = site.folder.glob("skinapp-*")
    assert uploads.stat().st_uid == 10001


@needs_linux
def test_the_health_check_of_the_image(site: Site) -> None:
    (line,) = [line for line in DOCKERFILE.splitlines() if "urlopen" in line]
    command = json.loads(line.strip().removeprefix("CMD "))
    for address, status in ((site.app, 0), (f"http://127.0.0.1:{free_port()}", 1)):
        check = command[2].replace("http://127.0.0.1:7860", address)
        assert check != command[2]
        assert (
            subprocess.run([sys.executable, "-c", check], check=False, capture_output=True).returncode
            == status
        )


# The workflow


def test_the_workflow_runs_the_ci_script_on_every_python() -> None:
    job = WORKFLOW["jobs"]["test"]
    versions = job["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert job["steps"][-1] == {"run": ".ci/run", "env": {"PYTHON": "python${{ matrix.python }}"}}
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_make_takes_the_python_that_it_is_told(tmp_path: Path) -> None:
    def made(python: str) -> subprocess.CompletedProcess:
        command = ["make", f"VENV={tmp_path / 'venv'}", f"{tmp_path / 'venv'}/created.done"]
        return subprocess.run(
            command,
            check=False,
            cwd=ROOT,
            env=os.environ | {"PYTHON": python},
            capture_output=True,
            text=True,
        )

    fits = tmp_path / "python"  # answers what make asks, and notes the rest
    fits.write_text(f'#!/bin/sh\n[ "$1" = -c ] && exec {sys.executable} "$@"\nmkdir "$3"\n')
    fits.chmod(0o755)
    assert made(str(fits)).returncode == 0 and (tmp_path / "venv/created.done").exists()
    (tmp_path / "venv/created.done").unlink()
    unfit = made("/bin/false")
    assert unfit.returncode and "skinapp needs Python 3.11, 3.12 or 3.13" in unfit.stderr
