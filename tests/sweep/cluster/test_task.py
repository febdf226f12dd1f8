"""Where the files of a task are, its command, and its environment."""

import sys
from pathlib import Path

from bert_jax.sweep.cluster import task
from bert_jax.sweep.cluster.task import RunTask


def test_config_and_log_are_beside_the_run():
    made = RunTask("a/seed_0/sst2.v1", Path("x/a/seed_0/sst2.v1"), "")
    assert made.config == Path("x/a/seed_0/sst2.v1.json")
    assert made.log == Path("x/a/seed_0/sst2.v1.log")


def test_the_command_is_that_of_the_copied_code():
    made = RunTask("a", Path("x/a"), "")
    assert task.command(Path("x/code"), made) == [
        sys.executable,
        "x/code/launch.py",
        "train",
        "--config=x/a.json",
        "--workdir=x/a",
    ]


def test_lanes_are_named_in_one_command():
    first, second = RunTask("a", Path("x/a"), ""), RunTask("b", Path("x/b"), "")
    both = task.join_lanes([first, second])
    assert both.lanes == (first, second)
    assert both.title == "a and 1 beside it"
    assert task.command(Path("code"), both)[3:] == [
        "--config=x/a.json",
        "--workdir=x/a",
        "--config=x/b.json",
        "--workdir=x/b",
    ]


def test_runs_of_a_sweep_share_compile_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("SOMETHING", "else")
    found = task.environment(tmp_path)
    assert Path(found["JAX_COMPILATION_CACHE_DIR"]).parent == tmp_path / "compiled"
    assert found["SOMETHING"] == "else"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    assert task.environment(tmp_path)["JAX_COMPILATION_CACHE_DIR"] == "mine"
