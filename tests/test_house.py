"""The repository itself: lock, page of entry, style that no linter knows."""

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = ("bert_jax", "configs", "tests", "benchmarks", "experiments")
WRITTEN = [
    *(path for pattern in ("*.py", "*.md", "*.toml") for path in ROOT.glob(pattern)),
    ROOT / "Makefile",
    *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")),
    *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md")),
    ROOT / ".ci" / "run",
    ROOT / ".ci" / "slurm",
]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[str]:
    """One text for each pinned package, its hashes included."""
    lines = [line for line in LOCK.splitlines() if not line.lstrip().startswith("#")]
    return re.split(r"\n(?=\S)", "\n".join(lines))


def test_the_lock_names_no_index():
    options = [line for line in LOCK.splitlines() if line.startswith("-")]
    assert not options
    assert "://" not in LOCK


def test_every_requirement_of_the_lock_is_pinned_and_hashed():
    assert len(requirements()) > 50
    for requirement in requirements():
        assert re.match(r"[\w.-]+==[\w.]+", requirement)
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement)


def test_the_lock_holds_every_dependency_of_the_project():
    locked = {canonical(text.split("==")[0]) for text in requirements()}
    extras = PROJECT["optional-dependencies"].values()
    for wanted in [*PROJECT["dependencies"], *(name for e in extras for name in e)]:
        assert canonical(re.match(r"[\w.-]+", wanted)[0]) in locked


def test_the_readme_is_short():
    assert 0 < len((ROOT / "README.md").read_text().splitlines()) <= 150


def test_nothing_is_put_off_and_no_path_of_a_machine_is_written_down():
    for path in WRITTEN:
        text = path.read_text()
        assert not re.search(r"\b(TO" r"DO|FIX" r"ME|X{3})\b", text), path
        assert not re.search(r"""["' =]/(root|home|Users|work)/""", text), path


# The words of the design page.
PACKAGE = sorted((ROOT / "bert_jax").rglob("*.py"))
NODES = [node for path in PACKAGE for node in ast.walk(ast.parse(path.read_text()))]
DEFINITIONS = (ast.FunctionDef, ast.ClassDef)
BARE = re.compile(
    r"(Of|Those|That|These|This|It|Its|They|Them|Their|By|As|With|Without|In|From|To|For"
    r"|On|At|Into|Not|So|Such|Over|Between|Which|Who|One|Each|All|Both|What|How|Where"
    r"|When|Nothing|Everything)\b"
)
UNWANTED = {"held", "told", "said", "own", "whole", "same", "manner"}


def names_of(node: ast.AST) -> list[str]:
    match node:
        case ast.FunctionDef() | ast.ClassDef():
            return [node.name]
        case ast.Name(ctx=ast.Store()):
            return [node.id]
        case ast.arg():
            return [node.arg]
    return []


def test_docstrings_open_with_their_subject_or_verb():
    documented = [n for n in NODES if isinstance(n, (*DEFINITIONS, ast.Module))]
    assert len(documented) > 1000
    assert not [
        text for n in documented if BARE.match(text := ast.get_docstring(n) or "")
    ]


def test_names_are_words_of_the_field():
    names = {name for node in NODES for name in names_of(node)}
    parted = {name: set(name.lower().split("_")) for name in names}
    assert {n for n, parts in parted.items() if parts & UNWANTED} <= {
        "held_out",
        "_held_out",
    }


def test_a_class_name_stands_once():
    classes = [node.name for node in NODES if isinstance(node, ast.ClassDef)]
    assert len(classes) == len(set(classes))
