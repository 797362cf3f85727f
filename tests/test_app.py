"""What the page is built without, and what it remembers."""

import os
import subprocess
import sys
from datetime import datetime, timedelta

import gradio as gr
from gradio.state_holder import StateHolder

from skinapp.page.fence.memory import forget
from tests.serving import ROOT


def test_the_page_is_built_without_what_only_answers_need() -> None:
    program = (
        "import sys; from gradio.utils import MatplotlibBackendMananger\n"
        "from skinapp.page import build; from skinapp.service.engine import Engine; build(Engine())\n"
        "loaded = [name for name in ('tensorflow', 'scipy', 'sklearn', 'matplotlib', 'pydicom') if name in sys.modules]\n"
        "with MatplotlibBackendMananger():\n"  # what each event does, maybe while a thread imports pyplot
        "    print(loaded, 'matplotlib.pyplot' in sys.modules)"
    )
    bare = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=bare, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip().endswith("[] False")


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
