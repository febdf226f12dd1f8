"""Files that can be damaged: read with checks, written whole, locked."""

import json
from typing import NotRequired, TypedDict

import pytest

from bert_jax.run import files
from bert_jax.run.exits import UsageError


class Shape(TypedDict):
    name: str
    steps: int
    metrics: dict[str, float]
    best: NotRequired[int]


GOOD = {"name": "a", "steps": 3, "metrics": {"loss": 1.5}, "more": [1]}


def test_json_of_right_types_is_read(tmp_path):
    files.write_json(tmp_path / "x.json", GOOD)
    assert files.read_json(tmp_path / "x.json", Shape) == GOOD


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        '{"name": "a", "steps": 3}',
        '{"name": "a", "steps": 3.5, "metrics": {}}',
        '{"name": "a", "steps": true, "metrics": {}}',
        '{"name": "a", "steps": 3, "metrics": {"loss": NaN}}',
        '{"name": "a", "steps": 3, "metrics": {"loss": 1e999}}',
        '{"name": "a", "steps": 3, "metrics": {"loss": "1"}}',
        '{"name": "a", "steps": 3, "metrics": {}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "\0\0\0",
    ],
)
def test_other_json_is_one_line_with_the_file(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UsageError) as error:
        files.read_json(path, Shape)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_binary_absent_and_huge_files_are_one_line(tmp_path, monkeypatch):
    path = tmp_path / "x.json"
    with pytest.raises(UsageError, match="there is no"):
        files.read_json(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="x.json is not"):
        files.read_json(path)
    monkeypatch.setattr(files, "LARGEST_JSON", 2)
    with pytest.raises(UsageError, match="3 bytes, more than 2"):
        files.read_json(path)


def test_check_tells_every_edited_key(tmp_path):
    path = tmp_path / "x.json"
    files.write_json(path, files.checked(GOOD))
    assert files.read_json(path)["steps"] == 3
    for key in GOOD:
        edited = json.loads(path.read_text())
        edited[key] = "other"
        path.write_text(json.dumps(edited))
        with pytest.raises(UsageError, match="edited or damaged"):
            files.read_json(path)
        files.write_json(path, files.checked(GOOD))


def test_numbers_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_digest_tells_where_parts_end():
    assert files.digest("ab", "c", length=12) != files.digest("a", "bc", length=12)
    assert files.digest("ab", b"c", length=12) == files.digest(b"ab", "c", length=12)


def test_directory_appears_atomically(tmp_path):
    target = tmp_path / "made"
    with pytest.raises(OSError, match="full"), files.atomic_directory(target) as new:
        (new / "part").write_text("1")
        raise OSError("full")
    assert not list(tmp_path.iterdir())
    with files.atomic_directory(target) as new:
        (new / "part").write_text("1")
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert (target / "part").read_text() == "1"


def test_second_locker_gets_text_of_first(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PAUSE", 0)
    path = tmp_path / "lock"
    assert not files.is_locked(path)
    with files.lock(path) as file:
        file.write("process 7")
        file.flush()
        assert files.is_locked(path)
        with pytest.raises(files.Locked, match="process 7"), files.lock(path):
            pass
    assert not files.is_locked(path)
