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

# Low to high: a unit imports only what stands to its left, in its own chain or below.
HOST = ["stop", "streams", "files", "history", "rules", "consistency", "config"]
HOST += ["options", "mesh"]
HOST += [
    "rundir",
    "record",
    "manifest",
    "saving",
    "lineage",
    "best",
    "flops",
    "hardware",
    "pages",
    "statistics",
    "vocabulary",
    "tokenizer",
    "report",
    "curve",
]
HOST += ["data"]
MODEL = ["models", "objectives"]
RUN = ["optim", "division", "parallel", "compiled", "state", "step", "checkpoint"]
RUN += ["metrics", "entities", "answers", "decode", "tasks", "sinks", "writer"]
RUN += ["setup"]
RUN += ["goodput", "watchdog"]
RUN += ["evaluate", "scores", "start", "held", "finished", "train", "lanes", "seeds"]
USE = ["reader", "model", "pieces", "explain", "inputs", "predict"]
USE += ["keys", "huggingface", "directory", "bert_config", "added_tokens"]
USE += ["bert_tokenizer", "exchange", "program", "topology", "plan"]
USE += ["generate", "inspect"]
ALLOWED = {
    **{unit: HOST[:i] for i, unit in enumerate(HOST)},
    **{unit: MODEL[:i] for i, unit in enumerate(MODEL)},
    **{unit: HOST + MODEL + (RUN + USE)[:i] for i, unit in enumerate(RUN + USE)},
    "cluster": ["config", "files", "rundir", "stop", "hardware"],
    "sweep": [*HOST, "cluster"],
    "__init__": ["model"],  # bert_jax.load, on demand
}
WITHOUT_JAX = [*HOST, "metrics", "entities", "answers", "decode", "tasks"]
WITHOUT_JAX += ["sinks", "writer", "cluster", "sweep"]


def module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def unit(name: str) -> str:
    """`bert_jax.data.store` stands on the page as `data`."""
    return name.split(".")[1]


MODULES = {module(path): path for path in FILES}


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


def test_every_module_stands_on_the_design_page():
    assert {unit(name) for name in MODULES} <= ALLOWED.keys()


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_what_stands_to_its_left(name):
    outside = {unit(other) for other in imports(MODULES[name])} - {unit(name)}
    assert outside <= set(ALLOWED[unit(name)])


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


def test_folders_are_one_level_deep():
    assert {len(path.relative_to(PACKAGE).parts) for path in FILES} <= {1, 2}


def test_what_needs_no_jax_never_loads_it():
    names = [name for name in MODULES if unit(name) in WITHOUT_JAX]
    assert loaded(["launch", *names], {"jax", "jaxlib", "tensorflow"}) == "set()\n"


def test_a_run_starts_without_what_it_does_not_draw_with():
    assert loaded(["bert_jax.train"], {"matplotlib", "tensorflow"}) == "set()\n"


def loaded(names: list[str], packages: set[str]) -> str:
    """Which of the packages a new process has loaded that imports these modules."""
    code = f"import sys, {', '.join(names)}\nprint({packages} & sys.modules.keys())"
    run = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(run, cwd=ROOT, check=False, capture_output=True, text=True)
    assert not done.stderr
    return done.stdout
