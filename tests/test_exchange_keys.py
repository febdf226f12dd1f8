"""What a directory says is honoured, refused or told; what a run keeps comes back."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import expit

import bert_jax
import launch
from bert_jax.huggingface import exchange, files
from bert_jax.inspect.measure import states
from bert_jax.predict import inputs
from bert_jax.predict.inputs import Source
from bert_jax.run import record, rundir
from bert_jax.run.config import UsageError
from bert_jax.tasks.words import passage_of, rows_of
from bert_jax.train import checkpoint, session
from tests.exchanging import (
    DIM,
    POSITIONS,
    VOCABULARY,
    WORDS,
    body,
    classifier,
    random_arrays,
    refuses,
    write_directory,
)
from tests.running import ROOT

KIND = ["BertForSequenceClassification"]
SPAN = {"qa_outputs.weight": (2, DIM), "qa_outputs.bias": (2,)}
TABLE = "bert.embeddings.word_embeddings.weight"


@pytest.fixture
def source(tmp_path):
    """A directory of theirs, to be changed."""
    return write_directory(tmp_path / "bert", body(), architectures=["BertModel"])


def config_of(folder):
    return json.loads((folder / "config.json").read_text())


def test_what_a_run_keeps_an_export_writes_back(tmp_path, capsys):
    """Kind A, FAULTS 33: of every known key the value; what is not known is told."""
    kept = {
        "classifier_dropout": 0.3,
        "problem_type": "single_label_classification",
        "id2label": {"0": "bad", "1": "good"},
        "label2id": {"bad": 0, "good": 1},
        "use_cache": False,
        "finetuning_task": "sst2",
        "directionality": "bidi",
    }
    changes = {**kept, "torch_dtype": "float16", "window_size": 5}
    tensors = classifier(2)
    folder = write_directory(tmp_path / "bert", tensors, architectures=KIND, **changes)
    rules = {"do_lower_case": True, "model_max_length": 40, "speed": 3}
    (folder / "tokenizer_config.json").write_text(json.dumps(rules))
    exchange.import_model(folder, tmp_path / "run")
    said = capsys.readouterr().err
    assert (
        "config.json: keys that are not known here are left out: 'window_size'" in said
    )
    assert (
        "tokenizer_config.json: keys that are not known here are left out: 'speed'"
        in said
    )
    assert "classifier_dropout 0.3 is kept for exports" in said
    assert record.read(tmp_path / "run").config.data.length == 40
    exchange.export_run(tmp_path / "run", None, tmp_path / "out")
    theirs = config_of(tmp_path / "out")
    assert {key: theirs[key] for key in kept} == kept
    assert not {"torch_dtype", "window_size"} & theirs.keys()
    again = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert again["model_max_length"] == 40


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"problem_type": "ranking"}, "problem_type is 'ranking'"),
        ({"problem_type": "regression"}, "problem_type is 'regression' and the head"),
        ({"id2label": {"0": "neg", "1": "pos", "2": "neg"}}, "both called 'neg'"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "tokenizer_class is 'BertJap"),
        ({"auto_map": {"AutoModel": "mine.Bert"}}, "auto_map is .*code of its own"),
    ],
    ids=str,
)
def test_a_classifier_of_another_meaning_is_refused(tmp_path, changes, said):
    """FAULTS 15, 18, 24: never a softmax over what is none."""
    folder = write_directory(
        tmp_path / "bert", classifier(3), architectures=KIND, **changes
    )
    refuses(folder, f"config.json: .*{said}")


def test_several_labels_a_text_are_given_by_sigmoids(tmp_path):
    """FAULTS 15: in, predicted and out."""
    tensors, several = classifier(3), {"problem_type": "multi_label_classification"}
    folder = write_directory(tmp_path / "bert", tensors, architectures=KIND, **several)
    exchange.import_model(folder, tmp_path / "run")
    model = bert_jax.load(tmp_path / "run")
    [found] = model.classify(["the king"])
    batch = model.encode(["the king"])
    del batch["offsets"], batch["cut"]
    [logits] = model.outputs(("classify_logits",), batch)["classify_logits"]
    wanted = dict(zip(model.reader.labels, expit(logits), strict=True))
    assert found.probabilities == pytest.approx(wanted, abs=1e-6)
    assert set(found.labels) == {label for label, p in wanted.items() if p > 0.5}
    exchange.export_run(tmp_path / "run", None, tmp_path / "out")
    assert config_of(tmp_path / "out")["problem_type"] == several["problem_type"]


def test_a_row_of_an_added_token_is_kept(tmp_path):
    """FAULTS 17: vocab.txt and added_tokens.json, and a table of one row more."""
    tensors = body()
    tensors[TABLE] = np.pad(tensors[TABLE], ((0, 1), (0, 0)), constant_values=2)
    folder = write_directory(tmp_path / "bert", tensors, vocab_size=WORDS + 1)
    (folder / "added_tokens.json").write_text(json.dumps({"[E1]": WORDS}))
    exchange.import_model(folder, tmp_path / "run")
    model = bert_jax.load(tmp_path / "run")
    assert model.encode(["[E1] king"])["ids"][0, 1] == WORDS
    table = model.params["encoder"]["embeddings"]["token"]["embedding"]
    assert (table[WORDS] == 2).all()


def test_a_marked_text_has_one_answer(tmp_path):
    """FAULTS 16: classify, vectors and the notebook read the same ids."""
    tensors = classifier(2)
    for name in (TABLE,):
        tensors[name] = np.pad(tensors[name], ((0, 2), (0, 0)), constant_values=0.5)
    changes = {"architectures": KIND, "vocab_size": WORDS + 2}
    folder = write_directory(tmp_path / "bert", tensors, **changes)
    more = {"additional_special_tokens": ["[E1]", "[E2]"]}
    (folder / "special_tokens_map.json").write_text(json.dumps(more))
    exchange.import_model(folder, tmp_path / "run")
    model = bert_jax.load(tmp_path / "run")
    texts = ["[E1] the king [E2] stone", "a [SEP] stone [PAD] ."]
    head, pooled = model.params["classify_head"], model.pooled(texts)
    logits = pooled @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found = [each.probabilities["LABEL_0"] for each in model.classify(texts)]
    np.testing.assert_allclose(found, chances[:, 0], atol=1e-6)
    vectors, lengths = model.vectors(texts), model.encode(texts)["lengths"]
    means = [row[:n].mean(0) for row, n in zip(vectors, lengths, strict=True)]
    np.testing.assert_allclose(model.sentence_vectors(texts), means, atol=1e-5)


def test_words_of_a_marked_text_have_its_tokens(tmp_path):
    """FAULTS 16: a tagger, a score, vectors and the notebook read the same ids."""
    texts = ["[E1] the king[E2] stone [MASK].", "a [SEP] king"]
    tensors = classifier(2)
    tensors[TABLE] = np.pad(tensors[TABLE], ((0, 2), (0, 0)), constant_values=0.5)
    labels = {"id2label": {"0": "B-X", "1": "I-X"}}
    changes = {"architectures": ["BertForTokenClassification"], "vocab_size": WORDS + 2}
    folder = write_directory(tmp_path / "bert", tensors, **changes, **labels)
    (folder / "added_tokens.json").write_text(
        json.dumps({"[E1]": WORDS, "[E2]": WORDS + 1})
    )
    exchange.import_model(folder, tmp_path / "run")
    model = bert_jax.load(tmp_path / "run")
    for text in texts:
        [read] = states.rows(model, [text])
        passage = passage_of(text, model.tokenizer)
        [row] = rows_of(passage, model.tokenizer, model.config.data.length)
        assert model.reader.features([row]).ids.tolist() == read.ids.tolist()
        assert [*inputs.records(model.reader, "tag", Source([text], ""))] == [passage]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 1e300])
def test_a_weight_that_is_not_finite_is_named(tmp_path, value):
    """FAULTS 26: as written, in half precision, and in double."""
    kind = {1e30: np.float16, 1e300: np.float64}.get(value, ml_dtypes.bfloat16)
    tensors = body()
    name = "bert.encoder.layer.1.output.dense.bias"
    with np.errstate(over="ignore"):
        tensors[name] = np.full(DIM, value).astype(kind)
    folder = write_directory(tmp_path / "bert", tensors, architectures=["BertModel"])
    refuses(folder, f"the tensor {re.escape(name)} holds a number that is not finite")


def test_an_index_may_list_numbers_of_positions(source, tmp_path):
    """FAULTS 20: two shards, one of which has a buffer that old versions saved."""
    (source / "model.safetensors").unlink()
    buffer = {"bert.embeddings.position_ids": np.arange(POSITIONS)[None]}
    shards = {"model-1-of-2.safetensors": body(), "model-2-of-2.safetensors": buffer}
    shard_of = {}
    for name, tensors in shards.items():
        save_file(tensors, source / name)
        shard_of |= dict.fromkeys(tensors, name)
    index = {"weight_map": shard_of}
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    assert exchange.import_model(source, tmp_path / "run") == 0
    del shard_of["bert.pooler.dense.bias"]
    (source / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UsageError, match="holds bert.pooler.dense.bias, of which"):
        exchange.import_model(source, tmp_path / "other")


@pytest.fixture
def cached(source, tmp_path):
    """The directory as a hub cache has it: links from a snapshot to its blobs."""
    model = tmp_path / "hub" / "models--org--bert"
    snapshot = model / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (model / "blobs").mkdir()
    for number, path in enumerate(sorted(source.iterdir())):
        path.rename(model / "blobs" / f"{number:040x}")
        (snapshot / path.name).symlink_to(f"../../blobs/{number:040x}")
    return snapshot


def test_a_snapshot_of_a_hub_cache_is_read(cached, tmp_path):
    """FAULTS 34."""
    assert exchange.import_model(cached, tmp_path / "run") == 0
    (tmp_path / "link").symlink_to(cached)
    assert exchange.import_model(tmp_path / "link", tmp_path / "again") == 0


@pytest.mark.parametrize("outside", ["../../../../secret", "../../blobs/hop"])
def test_a_snapshot_does_not_lead_out_of_its_cache(cached, tmp_path, outside):
    """FAULTS 34."""
    (tmp_path / "secret").write_text("{}")
    (cached.parents[1] / "blobs" / "hop").symlink_to(tmp_path / "secret")
    (cached / "config.json").unlink()
    (cached / "config.json").symlink_to(outside)
    refuses_at = tmp_path / "run"
    with pytest.raises(UsageError, match="config.json leads out of .*secret: copy"):
        exchange.import_model(cached, refuses_at)
    assert not refuses_at.exists()


def test_files_that_nothing_reads_are_told(source, tmp_path, capsys):
    """Kind A."""
    for name in ("modules.json", "modeling_mine.py", "weights.extra", "README.md"):
        (source / name).write_text("{}")
    exchange.import_model(source, tmp_path / "run")
    said = capsys.readouterr().err.splitlines()
    assert (
        sum(line.startswith("modules.json is not read: how sent") for line in said) == 1
    )
    assert "modeling_mine.py is not read: code of its own, which is not run" in said
    assert "files that are not known here are not read: weights.extra" in said
    assert not any("README" in line for line in said)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_an_adapter_is_refused(source, name):
    (source / name).write_text("{}")
    refuses(source, f"{name} is an adapter, which changes the weights")


@pytest.mark.parametrize("name", sorted(files.READ))
@pytest.mark.parametrize(
    "content", [b"\x00\xff", b"[" * 5000, b"5", b'{"a": NaN}', b'"']
)
def test_a_damaged_file_is_one_line(source, name, content):
    """FAULTS 46, 49."""
    if name == "vocab.txt":
        content = content if content == b"\x00\xff" else b"lost"
    (source / name).write_bytes(content)
    refuses(source, name)


@pytest.fixture
def question_answering(tmp_path):
    """A BertForQuestionAnswering of few positions."""
    kind = {"architectures": ["BertForQuestionAnswering"]}
    tensors = body() | random_arrays(SPAN)
    return write_directory(tmp_path / "bert", tensors, **kind)


def test_windows_of_questions_fit_a_short_row(question_answering, tmp_path, capsys):
    """FAULTS 21: told once, and predict reads with them."""
    run = tmp_path / "run"
    exchange.import_model(question_answering, run)
    told = f"rows of {POSITIONS} tokens: task.max_question is 30 and task.stride 15"
    assert sum(told in line for line in capsys.readouterr().err.splitlines()) == 1
    context = "the king. " * 60
    [answer] = bert_jax.load(run).answer(["the stone king"], [context])
    assert context[answer.start : answer.end] == answer.text


def test_windows_of_questions_can_be_set(question_answering, tmp_path, capsys):
    """FAULTS 21."""
    command = ["import", f"--from={question_answering}", f"--workdir={tmp_path}/run"]
    assert launch.main([*command, "--config.task.stride=7"]) == 0
    task = record.read(tmp_path / "run").config.task
    assert (task.stride, task.max_question) == (7, 30)
    assert (
        launch.main([*command[:2], f"--workdir={tmp_path}/b", "--config.seed=1"]) == 2
    )
    assert (
        "--config.seed: an import takes data.length, task.st" in capsys.readouterr().err
    )
    assert not (tmp_path / "b").exists()


def test_a_long_row_keeps_the_usual_windows(tmp_path, capsys):
    tensors = body() | random_arrays(SPAN)
    name = "bert.embeddings.position_embeddings.weight"
    tensors[name] = np.zeros((384, DIM), np.float32)
    changes = {"architectures": ["BertForQuestionAnswering"]}
    changes |= {"max_position_embeddings": 384}
    folder = write_directory(tmp_path / "bert", tensors, **changes)
    exchange.import_model(folder, tmp_path / "run")
    task = record.read(tmp_path / "run").config.task
    assert (task.stride, task.max_question) == (128, 64)
    assert "task.stride" not in capsys.readouterr().err


def test_an_import_that_stops_leaves_nothing(source, tmp_path, monkeypatch):
    """FAULTS 48."""

    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "write_run", stopped)
    with pytest.raises(KeyboardInterrupt):
        exchange.import_model(source, tmp_path / "run")
    assert {path.name for path in tmp_path.iterdir()} == {"bert"}


KILLED = """
import os, signal, sys
from pathlib import Path
from bert_jax.huggingface import exchange
from bert_jax.train import session
session.write_run = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
exchange.import_model(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_import_leaves_no_run(source, tmp_path):
    """FAULTS 48: the same command then imports, and nothing of the first stays."""
    run = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(source), str(run)]
    done = subprocess.run(command, cwd=ROOT, check=False, env={**os.environ})
    assert done.returncode == -signal.SIGKILL
    assert not rundir.is_run(run)
    assert not (run / "checkpoints").exists()
    assert exchange.import_model(source, run) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"bert", "run"}


def test_what_is_left_of_a_run_is_not_imported_over(source, tmp_path):
    """FAULTS 48."""
    shutil.copytree(source, tmp_path / "run" / "checkpoints")
    with pytest.raises(UsageError, match="run is no run, and holds checkpoints"):
        exchange.import_model(source, tmp_path / "run")


def test_numbers_that_are_not_finite_are_not_exported(source, tmp_path, monkeypatch):
    """Kind B."""
    exchange.import_model(source, tmp_path / "run")
    restored = checkpoint.restore_alone(tmp_path / "run", 0)
    restored["pooler"]["dense" if "dense" in restored["pooler"] else "bias"] *= np.nan
    monkeypatch.setattr(checkpoint, "restore_alone", lambda *_: restored)
    with pytest.raises(
        UsageError, match="step 0: .* holds numbers that are not finite"
    ):
        exchange.export_run(tmp_path / "run", None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_byte_order_mark_and_duplicates_are_mended(source, tmp_path, capsys):
    """FAULTS 32."""
    lines = "\ufeff" + "\n".join([*VOCABULARY[:-1], "the"]) + "\n"
    (source / "vocab.txt").write_text(lines, encoding="utf-8")
    exchange.import_model(source, tmp_path / "run")
    words = bert_jax.load(tmp_path / "run").tokenizer
    assert words.ids(["the"]) == [[WORDS - 1]]
    assert "duplicates: 'the': the last line of each counts" in capsys.readouterr().err
