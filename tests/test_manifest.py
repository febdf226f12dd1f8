"""Damage to the files that a manifest describes is found and named."""

import json

import pytest

from bert_jax import manifest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "values").write_bytes(b"0123456789")
    (tmp_path / "index").write_bytes(b"")
    manifest.write(tmp_path)
    return tmp_path


def test_what_was_written_verifies(folder):
    assert manifest.fault(folder) == ""
    files = json.loads((folder / manifest.FILE).read_text())["files"]
    assert {name: facts["size"] for name, facts in files.items()} == {
        "index": 0,
        "inner/values": 10,
    }


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "index").unlink(), "index is missing"),
        (
            lambda f: (f / "inner/values").write_bytes(b"01234"),
            "inner/values has 5 bytes instead of 10",
        ),
        (
            lambda f: (f / "inner/values").write_bytes(b"012345678:"),
            "inner/values does not match its sha256",
        ),
        (lambda f: (f / manifest.FILE).write_text("{"), "manifest.json is damaged"),
        (lambda f: (f / manifest.FILE).write_text("{}"), "manifest.json is damaged"),
        (lambda f: (f / manifest.FILE).unlink(), "its save never finished"),
    ],
)
def test_damage_is_named(folder, spoil, said):
    spoil(folder)
    assert manifest.fault(folder) == said
