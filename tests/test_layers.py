"""Imports go down only: what stands lower knows nothing of what is built on it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving import ROOT

# From the bottom. What stands in one line may import each other.
LAYERS = (
    {"lesions"},
    {"decision"},
    {"photo"},
    {"network"},
    {"figures"},
    {"words"},
    {"reading", "batch", "output"},
    {"labels"},
    {"evaluate", "service"},
    {"page", "archive"},
    {"serve"},
    {"cli"},
    {"__main__"},
)
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}
MODULES = sorted((ROOT / "skinapp").rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules that are imported anywhere in the code, in functions too, but not those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        yield from imported(node)


def upward(path: Path, code: str) -> list[str]:
    """What a module imports that stands above it, or outside the package."""
    parts = path.relative_to(ROOT / "skinapp").with_suffix("").parts
    own = (
        HEIGHT[parts[0]] if parts[0] != "__init__" else len(LAYERS)
    )  # it offers what is above, when it is asked
    found = []
    for name in imported(ast.parse(code)):
        first, _, rest = name.partition(".")
        part = rest.partition(".")[0]
        if first in {"train", "tests", "benchmarks", "app"} or (
            first == "skinapp" and HEIGHT.get(part, -1) > own
        ):
            found.append(name)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    assert not upward(path, path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "skinapp" / "service").glob("*.py")), ids=lambda path: path.name
)
def test_the_service_knows_no_gradio(path: Path) -> None:
    assert not [
        name for name in imported(ast.parse(path.read_text(encoding="utf-8"))) if name.startswith("gradio")
    ]


def test_every_module_has_its_layer() -> None:
    names = {path.relative_to(ROOT / "skinapp").parts[0].removesuffix(".py") for path in MODULES}
    assert names - {"__init__"} == set(HEIGHT)


@pytest.mark.parametrize(
    "code",
    [
        "import skinapp.page",
        "from skinapp import page",
        "def late():\n    from skinapp.service.engine import Engine",
        "from train.dataset import Record",
    ],
)
def test_an_upward_import_is_found(code: str) -> None:
    assert upward(ROOT / "skinapp" / "photo" / "files.py", code)
