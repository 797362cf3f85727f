"""What the surroundings bring along: a terminal's encoding, a closed pipe, a proxy, the user's own settings of Keras."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from skinapp.cli import main
from tests.drawings import jpeg


def run(*command: str, **surroundings: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, check=False, env=os.environ | surroundings
    )


def test_names_that_the_terminal_cannot_show(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Пятно\udcff.jpg").write_bytes(b"no photo")
    shown = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(shown, encoding="cp1252"))
    assert main([str(tmp_path), "--model", str(model_folder)]) == 1
    assert rb"\u041f" in shown.getvalue() and b"not a picture" in shown.getvalue()


def test_a_closed_pipe_ends_it_quietly(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.jpg").write_bytes(b"no photo")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        monkeypatch.setattr("sys.stdout", stream)
        assert main([str(tmp_path), "--model", str(model_folder)]) == 1


def test_a_socks_proxy_in_the_environment() -> None:
    result = run("-c", "import gradio", ALL_PROXY="socks5://127.0.0.1:9")
    assert result.returncode == 0, result.stderr.decode()


def test_the_user_s_keras_settings_change_no_answer_and_no_map(tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(jpeg())
    (tmp_path / "keras.json").write_text(
        json.dumps(
            {"floatx": "float16", "epsilon": 1e-3, "backend": "jax", "image_data_format": "channels_first"}
        )
    )
    program = (
        "import sys, skinapp\n"
        "reading = skinapp.read(sys.argv[1])\n"
        "maps = [reading.saliency('mel', method).values for method in ('scorecam', 'gradcam++')]\n"
        "print(reading.prediction.probabilities, [map.dtype for map in maps], [float(map.sum()) for map in maps])"
    )
    plain = run("-c", program, str(photo))
    odd = run("-c", program, str(photo), KERAS_HOME=str(tmp_path))
    assert odd.returncode == 0, odd.stderr.decode()
    assert odd.stdout == plain.stdout and plain.stdout
