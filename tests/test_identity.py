"""Fingerprints and keys cover what they stand for, and nothing else (kind C)."""

import json
import os
from pathlib import Path

import pytest

from bert_jax.data import news, store, tokenizer
from bert_jax.run import config as configs
from bert_jax.run import files
from bert_jax.run.config import UsageError
from bert_jax.sweep import snapshot
from bert_jax.tasks import dataset
from configs import base
from tests.storing import VOCABULARY, config_of

# Corpora.


def write(path: Path, text: str) -> Path:
    """A file of an old time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (1, 1))
    return path


def texts(*words: str) -> str:
    return "\n\n".join(f"The {word} sat." for word in words)


def key_of(folder: Path, files: Path) -> str:
    return store.key(config_of(folder, **{"data.files": str(files)}))


def test_equal_names_sizes_and_times_are_no_identity(folder):
    """FAULTS 1."""
    for name, word in (("one", "cat"), ("two", "dog")):
        write(folder / name / "part-00000.txt", texts(word, "mat", word * 2))
    assert key_of(folder, folder / "one") != key_of(folder, folder / "two")


def test_a_file_rewritten_in_its_size_and_time_is_another(folder):
    """FAULTS 1."""
    path = write(folder / "one.txt", texts("cat", "mat", "dog"))
    before = key_of(folder, path)
    write(path, texts("dog", "mat", "cat"))
    assert key_of(folder, path) != before


def test_equal_content_is_one_store_wherever_it_lies(folder):
    """FAULTS 1: of its names and times nothing depends."""
    one = write(folder / "one.txt", texts("cat", "mat", "dog"))
    other = folder / "elsewhere" / "other.txt"
    other.parent.mkdir()
    other.write_text(one.read_text())
    assert key_of(folder, one) == key_of(folder, other)


def test_another_version_of_the_news_is_another_corpus(tmp_path, monkeypatch):
    """FAULTS 1."""
    marks = []
    for text in ("Ad sales", "As dales"):
        write(tmp_path / "bbcnews" / "data" / "business" / "001.txt", text)
        monkeypatch.setattr(news, "_folder", lambda: tmp_path)
        marks.append(news.identity(None))
    assert marks[0] != marks[1]


# Tokenizers.


def parts_of(folder: Path) -> dict:
    return json.loads(tokenizer.load(folder / "vocab.txt", True).to_str())


def parsed(parts: dict) -> tokenizer.Tokenizer:
    return tokenizer.parse(json.dumps(parts), "tokenizer.json")


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("normalizer", lambda part: part | {"strip_accents": False}),
        ("model", lambda part: part | {"max_input_chars_per_word": 20}),
        ("model", lambda part: part | {"vocab": swapped(part["vocab"])}),
        (
            "added_tokens",
            lambda part: [*part, part[-1] | {"id": len(VOCABULARY), "content": "[E1]"}],
        ),
    ],
)
def test_every_part_of_a_tokenizer_counts(folder, part, change):
    """Kind C: added tokens were left out."""
    parts = parts_of(folder)
    other = parsed(parts | {part: change(parts[part])})
    assert other.fingerprint != parsed(parts).fingerprint
    assert not other.has_fingerprint(parsed(parts).fingerprint)


def swapped(vocabulary: dict[str, int]) -> dict[str, int]:
    cat, dog = vocabulary["cat"], vocabulary["dog"]
    return vocabulary | {"cat": dog, "dog": cat}


def test_how_rows_are_cut_is_no_part_of_a_tokenizer(folder):
    parts = parts_of(folder)
    cut = {
        "max_length": 8,
        "stride": 0,
        "strategy": "LongestFirst",
        "direction": "Right",
    }
    same = parsed(parts | {"truncation": cut})
    assert same.fingerprint == parsed(parts).fingerprint


# Labelled data.


@pytest.fixture
def task(folder):
    rows = ["label\ttext", "x\tthe cat", "y\tthe dog", "x\tthe mat", "y\tdog ran"]
    write(folder / "train.tsv", "\n".join(rows))
    write(folder / "valid.tsv", "\n".join(rows[:3]))
    keys = {"objective.kind": "classify", "data.length": 16}
    keys |= {"task.train": str(folder / "train.tsv")}
    return config_of(folder, **keys, **{"task.valid": str(folder / "valid.tsv")})


def test_texts_of_equal_tokens_are_other_data(task):
    """Kind C: the tokens and targets alone were hashed."""
    before = dataset.prepare(task)
    path = Path(task.task.train)
    write(path, path.read_text().replace("the cat", "THE cat"))
    after = dataset.prepare(task)
    assert before.fingerprint != after.fingerprint
    assert not after.has_fingerprint(before.fingerprint)
    old = dataset._fingerprint_1(before.labels, list(before.splits.values()))
    assert after.has_fingerprint(old)  # as far as an older run can tell


def test_labelled_data_are_the_same_in_another_folder(task, tmp_path):
    before = dataset.prepare(task).fingerprint
    for split in ("train", "valid"):
        path = write(tmp_path / "moved" / split, Path(task.task[split]).read_text())
        task.task[split] = str(path)
    assert dataset.prepare(task).fingerprint == before


# Configs.


@pytest.mark.parametrize("key", configs.LATER)
def test_older_configs_take_neutral_values_of_later_keys(key, monkeypatch):
    """Kind C: whatever configs/base.py has by then."""
    new = configs.load("configs/demo.py", {})
    old = json.loads(configs.canonical(new))
    section, _, name = key.rpartition(".")
    del old[files.CHECK], (old[section] if section else old)[name]
    other = {bool: True, int: 64, float: 5.0}.get(type(configs.LATER[key]), "other")
    get_config = base.get_config

    def changed():
        config = get_config()
        config.update_from_flattened_dict({key: other})
        return config

    monkeypatch.setattr(base, "get_config", changed)
    read = configs.from_json(json.dumps(old))
    assert configs.flatten(read)[key] == configs.LATER[key]
    assert configs.fingerprint(read, "") == configs.fingerprint(new, "")


def test_the_demo_keeps_the_id_that_it_had():
    """Kind C: of commit 9e18c17."""
    demo = configs.load("configs/demo.py", {})
    assert configs.fingerprint(demo, "") == DEMO


DEMO = "02920763ee1e"

# The code of a sweep.


@pytest.fixture
def code(tmp_path, monkeypatch) -> Path:
    """The copy of a small checkout."""
    root = tmp_path / "checkout"
    write(root / "launch.py", "# launch.py\n")
    write(root / "bert_jax" / "train.py", "# train.py\n")
    (root / "configs").mkdir()
    text = Path(base.__file__).read_text()
    (root / "configs" / "base.py").write_text(text)
    monkeypatch.setattr(snapshot, "ROOT", root)
    (tmp_path / "sweep").mkdir()
    snapshot.take(tmp_path / "sweep")
    return tmp_path / "sweep" / "code"


@pytest.mark.parametrize("name", ["numpy.py", "COMMIT", "bert_jax/data.bin"])
def test_a_file_that_came_later_changes_the_code(name, code):
    """Kind C: numpy.py beside launch.py would be imported in numpy's place."""
    before = snapshot.digest(code.parent)
    (code / name).write_text("# other\n")
    assert not snapshot.has_digest(code.parent, before)


def test_older_code_is_given_the_keys_that_it_knows(code):
    """Kind C: a sweep goes on with the code that it began with."""
    path = code / "configs" / "base.py"
    lines = path.read_text().splitlines(keepends=True)
    later = [f" config.{key} = " for key in configs.LATER]
    kept = [line for line in lines if not any(start in line for start in later)]
    path.write_text("".join(kept))
    config = configs.load("configs/demo.py", {})
    known = json.loads(snapshot.config_text(code.parent, config))
    assert configs.fingerprint(configs.completed(known), "") == configs.fingerprint(
        config, ""
    )
    assert not configs.flatten(known).keys() & configs.LATER.keys()
    other = configs.load("configs/demo.py", {"train.on_nonfinite": "skip"})
    with pytest.raises(UsageError, match="is older than train.on_nonfinite"):
        snapshot.config_text(code.parent, other)
