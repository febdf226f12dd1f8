"""The design page's import order and house rules, read from the source."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bert_jax"
FILES = sorted(PACKAGE.rglob("*.py"))
SOURCES = [*FILES, ROOT / "launch.py", *sorted((ROOT / "configs").rglob("*.py"))]

# What each of the eleven rooms may import; the door `prepare` stands between rooms.
HOST = ["run", "render", "data", "tasks"]
CORE = [*HOST, "prepare", "models", "objectives"]
ROOMS = {
    "run": [],
    "render": ["run"],
    "data": ["run", "render"],
    "tasks": ["run", "render", "data"],
    "models": [],
    "objectives": ["models"],
    "train": CORE,
    "predict": [*CORE, "train"],
    "huggingface": [*CORE, "train", "predict"],
    "inspect": [*CORE, "train", "predict", "huggingface"],
    "sweep": [*HOST, "prepare"],
}
DOORS = {
    "prepare": HOST,
    "cli": ["run", "inspect"],  # options of inspect; a verb's module when it runs
    "__main__": ["cli"],
    "__init__": ["predict"],  # bert_jax.load, on demand
}
ALLOWED = ROOMS | DOORS
WITHOUT_JAX = [*HOST, "prepare", "sweep", "cli", "__main__"]


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def room(name: str) -> str:
    """The room of `bert_jax.data.store` is `data`."""
    return (name.split(".") + ["__init__"])[1]


MODULES = {module(path).removesuffix(".__init__"): path for path in FILES}


def imports(path: Path) -> set[str]:
    """The modules of this package that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (submodules & MODULES.keys()) or {node.module}
    return {name for name in found if name.startswith("bert_jax.")}


def test_the_package_has_eleven_rooms():
    folders = {path.name for path in PACKAGE.iterdir() if list(path.glob("*.py"))}
    assert folders == ROOMS.keys() and len(ROOMS) == 11
    assert {room(name) for name in MODULES} == ALLOWED.keys()


@pytest.mark.parametrize("name", MODULES)
def test_rooms_import_only_rooms_before_them(name):
    others = {room(other) for other in imports(MODULES[name])} - {room(name)}
    assert others <= set(ALLOWED[room(name)])


def test_no_circle():
    graph = {name: imports(path) for name, path in MODULES.items()}
    graphlib.TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", FILES, ids=module)
def test_imports_stand_at_the_top(path):
    inside = [
        node
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and not (path.name == "__init__.py" and function.name == "__getattr__")
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert not inside
    assert "TYPE_CHECKING" not in path.read_text()


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_no_default_is_given_to_a_config_key(path):
    assert not re.search(r"config(\.\w+)*\.get\(", path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_every_module_is_short_and_says_what_it_is_for(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 350
    assert ast.get_docstring(ast.parse(text)) or not text


def test_folders_are_at_most_two_levels_deep():
    assert {len(path.relative_to(PACKAGE).parts) for path in FILES} <= {1, 2, 3}


def test_no_module_bears_a_name_of_the_standard_library():
    names = {part for name in MODULES for part in name.split(".")}
    assert names & sys.stdlib_module_names == {"inspect"}


def test_what_needs_no_jax_never_loads_it():
    names = [name for name in MODULES if room(name) in WITHOUT_JAX]
    assert (
        loaded(["bert_jax.cli", *names], {"jax", "jaxlib", "tensorflow"}) == "set()\n"
    )


def test_a_run_starts_without_what_it_does_not_draw_with():
    assert loaded(["bert_jax.train.loop"], {"matplotlib", "tensorflow"}) == "set()\n"


def test_importing_changes_nothing_in_the_process():
    code = f"""\
import csv, importlib, logging, sys
import jax, orbax.checkpoint as ocp
def state():
    handlers = ocp.type_handlers.get_type_handler(jax.Array), csv.field_size_limit()
    loggers = [logging.getLogger(), logging.getLogger("absl"), logging.getLogger("jax")]
    return *handlers, *((log.level, log.filters, log.handlers) for log in loggers)
before = repr(state())
for name in {sorted(MODULES)}:
    importlib.import_module(name)
assert repr(state()) == before, (before, state())
"""
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=ROOT, check=False, capture_output=True, text=True)
    assert not done.returncode, done.stderr


def loaded(names: list[str], packages: set[str]) -> str:
    """Which of the packages a new process has loaded that imports these modules."""
    code = f"import sys, {', '.join(names)}\nprint({packages} & sys.modules.keys())"
    run = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(run, cwd=ROOT, check=False, capture_output=True, text=True)
    assert not done.stderr
    return done.stdout
