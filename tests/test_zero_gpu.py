"""What is told to the hub on a ZeroGPU Space, against a stand-in of its device service."""

import os
import subprocess
import sys

from tests.serving import ROOT
from tests.space import device_service

CODE = """
import gradio
from skinapp.page.fence import zero_gpu
zero_gpu.report()
import spaces.zero.decorator as decorator
print(*(task.__name__ for task in decorator.decorated_cache))
"""


def report(**environment: str) -> str:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SPACES_")}
    done = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, env=bare | environment, capture_output=True, text=True, timeout=120, check=True
    )  # fmt: skip
    return done.stdout.strip()


def test_one_function_is_registered_and_reported_on_zero_gpu() -> None:
    with device_service() as (variables, asked):
        assert set(report(**variables).split()) == {"_never_called"}
        assert asked == ["/startup-report"], "nothing else, and no GPU"


def test_elsewhere_nothing_is_registered() -> None:
    assert report() == ""
