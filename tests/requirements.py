"""Writes requirements*.txt from pyproject.toml: `make requirements`. A Hugging Face Space, the image and the Makefile need them."""

import tomllib

from tests.serving import ROOT

# The file, what it says first, the files that it includes, and the extra whose packages it names.
FILES = (
    ("requirements.txt", "The app.", (), "app"),
    ("requirements-archive.txt", "Many photos on one machine or several: skinapp archive.", ("requirements.txt",), "archive"),
    ("requirements-train.txt", "Training.", ("requirements.txt",), "train"),
    (
        "requirements-test.txt",
        "Everything that `make test` needs.",
        ("requirements-train.txt", "requirements-archive.txt"),
        "dev",
    ),
)  # fmt: skip


def written() -> dict[str, str]:
    """The text of each requirements file, by name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = {}
    for name, title, included, extra in FILES:
        packages = [] if included else list(project["dependencies"])
        packages += [package for package in extras[extra] if not package.startswith("skinapp[")]
        lines = [
            f"# {title} Written by `make requirements` from pyproject.toml, which says why each is there."
        ]
        lines += [f"-r {file}" for file in included] + packages
        texts[name] = "\n".join(lines) + "\n"
    return texts


if __name__ == "__main__":
    for file, text in written().items():
        (ROOT / file).write_text(text, encoding="utf-8")
