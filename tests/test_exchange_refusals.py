"""What is not imported and not exported: directories, vocabularies, other models."""

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordPiece

import launch
from bert_jax.huggingface import exchange
from bert_jax.run import config as configs
from bert_jax.run import files, record
from bert_jax.run.config import UsageError
from tests.exchanging import (
    VOCABULARY,
    WORDS,
    classifier,
    refuses,
    weights,
    write_directory,
)


@pytest.fixture
def source(tmp_path):
    """A directory of theirs, to be changed."""
    return write_directory(tmp_path / "bert", weights())


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt", "config.json"])
def test_a_link_out_of_the_directory_is_refused(source, tmp_path, name):
    (source / name).rename(tmp_path / "blob")
    (source / name).symlink_to(tmp_path / "blob")
    refuses(source, f"{name} leads out of .*blob: copy the file itself")


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_a_link_to_a_tokenizer_elsewhere_is_refused(source, tmp_path, name):
    (tmp_path / "blob").write_text("{}")
    (source / name).unlink(missing_ok=True)
    (source / name).symlink_to(tmp_path / "blob")
    refuses(source, f"{name} leads out of")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.txt"])
def test_a_missing_file_is_named(source, name):
    (source / name).unlink()
    refuses(source, f"bert has no {name}")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff", b"[" * 200_000], ids=lambda text: text[:2]
)
def test_a_config_that_is_no_json_object_is_named(source, text):
    (source / "config.json").write_bytes(text)
    refuses(source, "config.json is (not|nested)")


@pytest.mark.parametrize("text", [b"{", b"{}", b"\xff"])
def test_a_tokenizer_json_that_is_none_is_named(source, text):
    (source / "tokenizer.json").write_bytes(text)
    refuses(source, "tokenizer.json")


def test_a_tokenizer_json_without_rules_is_named(source):
    library = Tokenizer(WordPiece({word: i for i, word in enumerate(VOCABULARY)}))
    (source / "tokenizer.json").write_text(library.to_str())
    refuses(source, "tokenizer.json has no normalizer")


def test_a_vocabulary_longer_than_the_table_is_refused(source):
    (source / "vocab.txt").write_text("\n".join([*VOCABULARY, "queen"]))
    refuses(source, f"vocabulary has {WORDS + 1} tokens but the token table {WORDS}")


def test_a_vocabulary_without_mask_is_refused(source):
    (source / "vocab.txt").write_text("\n".join(VOCABULARY).replace("[MASK]", "mask"))
    refuses(source, r"vocab.txt lacks the special tokens \[MASK\]")


def test_labels_that_are_no_table_are_refused(source):
    kind = {"architectures": ["BertForSequenceClassification"], "id2label": ["bad"]}
    write_directory(source, classifier(1), **kind)
    refuses(source, "config.json: id2label")


def test_a_directory_in_use_is_left_as_it_was(source, tmp_path):
    used = tmp_path / "used"
    used.mkdir()
    (used / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="is no run, and holds thesis.tex"):
        exchange.import_model(source, used)
    assert [path.name for path in used.iterdir()] == ["thesis.tex"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    source = write_directory(folder / "bert", weights())
    exchange.import_model(source, folder / "run")
    return folder / "run"


def test_a_run_is_not_imported_into(source, run):
    before = (run / "run.json").read_bytes()
    with pytest.raises(UsageError, match="is a run already: choose another --workdir"):
        exchange.import_model(source, run)
    assert (run / "run.json").read_bytes() == before


def test_a_directory_that_holds_anything_is_not_exported_to(run, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    for target in (tmp_path, tmp_path / "thesis.tex"):
        with pytest.raises(UsageError, match="is not empty: choose another --to"):
            exchange.export_run(run, None, target)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_an_export_that_cannot_be_written_is_one_line(run, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match="cannot write .*file/below/bert"):
        exchange.export_run(run, None, tmp_path / "file" / "below" / "bert")


def test_an_export_that_fails_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_json", full)
    with pytest.raises(UsageError, match="cannot write .*out: .*No space left"):
        exchange.export_run(run, None, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_step_that_was_not_kept_is_not_exported(run, tmp_path):
    with pytest.raises(UsageError, match="kept no step 7; it has 0"):
        exchange.export_run(run, 7, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.norm": "pre_rms"}, r"\(model.norm=pre_rms\)"),
        ({"model.norm": "post", "model.positions": "sinusoidal"}, "sinusoidal"),
    ],
)
def test_a_run_that_is_no_bert_of_theirs_is_not_exported(tiny, tmp_path, changes, said):
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    config = tiny(changes)
    texts = dict.fromkeys(("parent", "tokenizer", "data"), "")
    began = {**texts, "fingerprint": configs.fingerprint(config, "")}
    record.write_began(run, config, {**began, "seed": 0, "versions": {}, "devices": []})
    with pytest.raises(UsageError, match=said):
        exchange.export_run(run, None, out)
    assert not out.exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["import", "--from={0}/nowhere", "--workdir={0}/run"], "is no directory"),
        (["import", "--from={0}", "--workdir={0}/run"], "has no config.json"),
        (["export", "--workdir={0}", "--to={0}/out"], "is no run"),
    ],
)
def test_a_wrong_directory_ends_with_2_and_one_line(tmp_path, capsys, command, said):
    assert launch.main([argument.format(tmp_path) for argument in command]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []
