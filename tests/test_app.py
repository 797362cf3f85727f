"""Starting and ending the app, and what it remembers."""

import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import gradio as gr
from gradio.state_holder import StateHolder
from gradio_client import Client, handle_file

from skinapp.drawings import draw_lesion
from skinapp.page.memory import forget
from tests.serving import ROOT, free_port, running_app


def start(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py"],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_wrong_model_folder_is_told_in_one_sentence(tmp_path: Path) -> None:
    done = start(SKINAPP_MODEL=str(tmp_path / "nowhere"))
    assert done.returncode != 0
    assert "SKINAPP_MODEL names" in done.stderr
    assert "Traceback" not in done.stderr


def test_spoilt_weights_end_the_app_with_one_sentence(model_folder: Path, tmp_path: Path) -> None:
    for path in model_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-1])
    (tmp_path / "config.json").write_bytes((model_folder / "config.json").read_bytes())
    done = start(SKINAPP_MODEL=str(tmp_path), GRADIO_SERVER_PORT=str(free_port()))
    assert done.returncode != 0
    assert "skinapp cannot start" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_page_is_built_without_what_only_answers_need() -> None:
    program = (
        "import sys; from gradio.utils import MatplotlibBackendMananger\n"
        "from skinapp.page import build; from skinapp.page.engine import Engine; build(Engine())\n"
        "loaded = [name for name in ('tensorflow', 'scipy', 'sklearn', 'matplotlib', 'pydicom') if name in sys.modules]\n"
        "with MatplotlibBackendMananger():\n"  # what each event does, maybe while a thread imports pyplot
        "    print(loaded, 'matplotlib.pyplot' in sys.modules)"
    )
    bare = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=bare, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip().endswith("[] False")


def test_uploads_lie_in_a_folder_of_their_own_that_goes_with_the_app(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    draw_lesion("nv").save(photo)
    with running_app(tmp_path / "log.txt", TMPDIR=str(tmp_path)) as address:
        client = Client(address, verbose=False, download_files=str(tmp_path / "downloads"))
        client.predict(handle_file(photo), api_name="/classify")
        (folder,) = tmp_path.glob("skinapp-*")
        assert any(path.is_file() for path in folder.rglob("*"))
    assert not folder.exists()


def test_sessions_are_forgotten_after_a_while() -> None:
    with gr.Blocks() as page:
        gr.HTML()
    forget(page, timedelta(0))  # not launched yet: nothing to forget
    holder = StateHolder()
    holder.set_blocks(page)
    for name in ("old", "new"):
        holder[name]
    holder.time_last_used["old"] = datetime.now() - timedelta(minutes=20)
    forget(page, timedelta(minutes=9))
    assert list(holder.session_data) == list(holder.time_last_used) == ["new"]
