"""A program is compiled once, by whichever process comes first."""

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from bert_jax.run import hardware
from bert_jax.train.parallel import compile_cache


@pytest.fixture
def hits():
    """The times that a program was found; no folder is set by hand."""
    found = []

    def listen(event, **_):
        if event == "/jax/compilation_cache/cache_hits":
            found.append(event)

    before = jax.config.jax_compilation_cache_dir
    jax.monitoring.register_event_listener(listen)
    jax.config.update("jax_compilation_cache_dir", None)
    yield found
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def run(folder, factor):
    """As a process that comes later."""
    with compile_cache.kept(folder):
        jax.jit(lambda x: factor * x + 2)(np.arange(7))


def test_a_program_is_kept_for_the_next_process_and_nothing_is_left_set(hits, tmp_path):
    for expected in (0, 1):
        run(tmp_path, 3)
        assert len(hits) == expected
    assert jax.config.jax_compilation_cache_dir is None
    assert jax.config.jax_compilation_cache_max_size == -1
    assert [path.name for path in tmp_path.iterdir()] == [
        f"compiled-{hardware.processor()}"
    ]


def test_a_program_whose_writing_was_killed_is_written_again(hits, tmp_path):
    run(tmp_path, 7)
    [program] = tmp_path.rglob("*-cache")
    content = program.read_bytes()
    program.write_bytes(content[: len(content) // 2])
    program.with_name(program.name.removesuffix("-cache") + "-atime").unlink()
    for expected in (0, 1):
        run(tmp_path, 7)  # a warning would fail the test
        assert len(hits) == expected


def test_what_has_been_unused_for_longest_makes_room(hits, tmp_path, monkeypatch):
    run(tmp_path, 11)
    [first] = tmp_path.rglob("*-cache")
    monkeypatch.setattr(compile_cache, "MOST", int(1.5 * first.stat().st_size))
    run(tmp_path, 13)
    [second] = tmp_path.rglob("*-cache")
    assert second != first


def test_where_nothing_can_be_written_nothing_is_kept(hits, tmp_path):
    (tmp_path / "file").touch()
    run(tmp_path / "file", 17)
    assert not hits


def test_a_folder_that_is_set_by_hand_keeps_them_instead(tmp_path):
    run(tmp_path, 5)
    assert not list(tmp_path.iterdir())
