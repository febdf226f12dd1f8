"""Eight simulated devices, shapes checked at run time, no network."""

import atexit
import os
import random
import shutil
import socket
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

# Read by XLA and by jax at their import, here and in the processes that tests start.
# Most of the suite's time is compilation: it is done with little effort, and once.
NEW = not metadata.version("jaxlib").startswith("0.10.")
FLAGS = [
    "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0",
    "--xla_cpu_opt_preset=CPU_OPT_PRESET_FAST_COMPILE"
    if NEW
    else "--xla_cpu_use_fusion_emitters=false",
]
os.environ["XLA_FLAGS"] = " ".join(FLAGS)
if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker has its parent's
    COMPILED = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, COMPILED, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = COMPILED
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"

import filelock
import hypothesis
import jaxtyping
import pytest

from bert_jax.run import config as configs

# Not on the whole package: it breaks pytrees that eval_shape rebuilds.
jaxtyping.install_import_hook(
    ["bert_jax.models", "bert_jax.objectives"], "beartype.beartype"
)

# Its imports must come after the hook.
pytest_plugins = [
    "tests.running",
    "tests.finetuning",
    "tests.storing",
    "tests.vocabularies",
]

# What may differ by the versions of Python, JAX, Flax, optax and orbax: the models and
# their gradients, placement, checkpoints, and runs of older versions.
VERSIONS = (
    *("models", "objectives", "train", "predict/test_model.py", "data/test_store.py"),
    *("test_golden.py", "test_resume.py", "test_hosts.py", "test_nonfinite.py"),
    *("huggingface/test_exchange.py", "inspect/test_states.py", "test_architecture.py"),
)

hypothesis.settings.register_profile("house", deadline=None, max_examples=50)
hypothesis.settings.load_profile("house")


def pytest_collection_modifyitems(items):
    places = [Path(__file__).parent / name for name in VERSIONS]
    for item in items:
        if any(item.path.is_relative_to(place) for place in places):
            item.add_marker(pytest.mark.versions)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fails a test that connects to anything but this machine."""
    connect = socket.socket.connect

    def local_only(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6):
            host = address[0]
            assert host in ("127.0.0.1", "::1", "localhost"), f"network: {address}"
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def once(tmp_path_factory):
    """once(name, make): a path that the workers of this session share, and that the
    first of them to ask makes."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def path_of(name: str, make: Callable[[Path], None]) -> Path:
        path = shared / "shared" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):
            if not Path(f"{path}.made").exists():
                make(path)
                Path(f"{path}.made").touch()
        return path

    return path_of


@pytest.fixture(scope="session")
def story(once) -> Path:
    """A folder of forty short documents with a little order in their words."""
    return once("story", _write_story)


def _write_story(folder: Path) -> None:
    folder.mkdir()
    draw = random.Random(0)
    people = ["the king", "a farmer", "my aunt", "the old dog", "her brother"]
    deeds = ["saw", "took", "lost", "wanted", "found"]
    things = ["a red stone", "the long road", "some bread", "the quiet house"]
    for number in range(40):
        sentences = [
            f"{draw.choice(people)} {draw.choice(deeds)} {draw.choice(things)}"
            for _ in range(draw.randint(6, 30))
        ]
        text = " ".join(f"{sentence.capitalize()}." for sentence in sentences)
        (folder / f"{number:02d}.txt").write_text(text + "\n")


@pytest.fixture(scope="session")
def overrides(story, once) -> dict[str, str]:
    """What makes any config read `story` and keep its store among the test's files."""
    return {
        "data.corpus": "files",
        "data.files": str(story),
        "data.documents": "file",
        "data.valid_share": "0.1",
        "data.cache": str(once("cache", Path.mkdir)),
        "parallel.mesh": "1x1x1",
    }


@pytest.fixture(scope="session")
def tiny(overrides, tmp_path_factory):
    """Makes the demo's config, shrunk, with changes: tiny({"train.steps": 3})."""

    def make(changes: dict[str, object], source: str = "configs/demo.py"):
        small = configs.smoke(configs.load(source, overrides))
        path = tmp_path_factory.mktemp("config") / "config.json"
        path.write_text(configs.canonical(small))
        return configs.load(
            str(path), {key: str(value) for key, value in changes.items()}
        )

    return make
