"""A Hugging Face directory becomes a run, and a run becomes such a directory."""

import json
import re
import shutil
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors
from safetensors.numpy import load_file, save_file

import bert_jax
import launch
from bert_jax.huggingface import exchange
from bert_jax.run import config as configs
from bert_jax.run import exits, manifest, record, rundir
from bert_jax.run.config import UsageError
from bert_jax.train import checkpoint, loop, scores, session
from tests.exchanging import (
    CONFIG,
    VOCABULARY,
    WORDS,
    bits,
    body,
    classifier,
    weights,
    write_directory,
)


def imported(source, workdir):
    """The run of a directory."""
    assert exchange.import_model(source, workdir) == 0
    return workdir


def params(run):
    return checkpoint.restore_alone(run, 0)


def kernel(run):
    """A matrix of theirs, as the run holds it."""
    return params(run)["encoder"]["block_00"]["mlp"]["up"]["kernel"]


UP = "bert.encoder.layer.0.intermediate.dense.weight"


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A directory of theirs, of BertForPreTraining."""
    return write_directory(tmp_path_factory.mktemp("theirs") / "bert", weights())


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    """The run that is made of it."""
    return imported(source, tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory):
    """The directory that is made of the run."""
    target = tmp_path_factory.mktemp("ours") / "deep" / "bert"
    assert exchange.export_run(run, None, target) == 0
    return target


@pytest.fixture(scope="module")
def bare_run(tmp_path_factory):
    """The run of a BertModel: an encoder and a pooler."""
    folder = tmp_path_factory.mktemp("bare")
    source = write_directory(folder / "bert", body(), architectures=["BertModel"])
    return imported(source, folder / "run")


@pytest.fixture
def start(tiny, tmp_path, capsys):
    """Trains from a run, keeping step 0; the new run and what was said of the old."""

    def start(run, changes):
        sizes = {"model.norm": "post"}
        steps = {"train.steps": 2, "optim.warmup_steps": 1, "train.keep_powers": "true"}
        config = tiny({"init_from": run, **sizes, **steps, **changes})
        assert loop.run(config, tmp_path / "run") == exits.DONE
        lines = capsys.readouterr().err.splitlines()
        return tmp_path / "run", [line for line in lines if "starting from" in line]

    return start


def test_an_imported_model_is_a_run_of_one_checkpoint(run, source):
    names = {path.name for path in run.iterdir()} - {rundir.LEASE}
    assert names == {"config.json", "run.json", "tokenizer.json", "checkpoints"}
    assert checkpoint.steps(run / "checkpoints") == [0]
    assert manifest.fault(run / "checkpoints" / "0", rundir.began(run)) == ""
    facts = rundir.read(run, rundir.RUN)
    assert facts.keys() >= {"fingerprint", "parent", "seed", "versions", "devices"}
    assert facts["data"] == session.NO_DATA
    assert facts["source"] == str(source)
    assert facts["labels"] == []


def test_the_config_of_the_run_says_its_sizes(run):
    config = record.read(run).config
    assert config.model.to_dict() | {"dtype": "", "remat": ""} == {
        "vocab_size": WORDS,
        "num_layers": 2,
        "model_dim": 16,
        "embed_dim": 0,
        "num_heads": 2,
        "mlp_dim": 32,
        "max_length": 64,
        "num_types": 2,
        "norm": "post",
        "norm_epsilon": 1e-12,
        "bias": "all",
        "share": "none",
        "positions": "learned",
        "rotary_base": 10_000.0,
        "attention": "bidirectional",
        "window": 0,
        "activation": "gelu",
        "dropout": 0.1,
        "attention_dropout": 0.1,
        "init_stddev": 0.02,
        "dtype": "",
        "remat": "",
    }
    assert (config.objective.pair, config.data.pairs) == ("nsp", "nsp")


def test_an_imported_model_is_used_like_any_run(run, capsys):
    model = bert_jax.load(run)
    [[mask]] = model.fill_masks(["The king [MASK] a stone."], top=3)
    assert all(piece in VOCABULARY for piece, _ in mask.candidates)
    assert model.pooled(["The king."], ["A stone."]).shape == (1, 16)
    assert model.step == 0
    assert capsys.readouterr().err == ""


def test_what_is_exported_is_what_was_imported(source, exported):
    assert {path.name for path in exported.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    }
    name = "model.safetensors"
    assert bits(load_file(exported / name)) == bits(load_file(source / name))
    with safetensors.safe_open(exported / name, "np") as file:
        assert file.metadata() == {"format": "pt"}
    theirs = json.loads((exported / "config.json").read_text())
    assert {key: theirs[key] for key in CONFIG} == CONFIG
    assert (exported / "vocab.txt").read_bytes() == (source / "vocab.txt").read_bytes()
    rules = json.loads((exported / "tokenizer_config.json").read_text())
    assert (rules["do_lower_case"], rules["model_max_length"]) == (True, 64)
    assert [path.name for path in exported.parent.iterdir()] == ["bert"]


def test_what_is_exported_can_be_imported_again(run, exported, tmp_path):
    again = imported(exported, tmp_path / "run")
    assert bits(params(again)) == bits(params(run))
    assert (again / "config.json").read_text() == (run / "config.json").read_text()
    facts, before = rundir.read(again, rundir.RUN), rundir.read(run, rundir.RUN)
    for key in ("fingerprint", "parent", "tokenizer"):
        assert facts[key] == before[key]


def test_what_an_export_loses_is_said(tmp_path, capsys):
    """A masked LM with the pooler of old files, and an encoder with none."""
    tensors = weights()
    pooled = {n: a for n, a in tensors.items() if "seq_relationship" not in n}
    bare = {n: a for n, a in body().items() if "pooler" not in n}
    for name, given, said in (
        ("pooled", pooled, "the pooler is left out: BertForMaskedLM has none"),
        ("bare", bare, "there is no pooler: BertModel makes a random one"),
    ):
        imported(write_directory(tmp_path / name, given), tmp_path / f"{name}-run")
        capsys.readouterr()
        exchange.export_run(tmp_path / f"{name}-run", None, tmp_path / f"{name}-out")
        assert said in capsys.readouterr().err


@pytest.mark.parametrize("target", [".", "../link"])
def test_an_empty_directory_is_filled(run, tmp_path, monkeypatch, target):
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to("out")
    monkeypatch.chdir(tmp_path / "out")
    assert exchange.export_run(run, None, Path(target)) == 0
    assert (tmp_path / "out" / "model.safetensors").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"out", "link"}


def test_shards_are_one_model(source, run, tmp_path):
    tensors = weights()
    sharded = shutil.copytree(source, tmp_path / "bert")
    (sharded / "model.safetensors").unlink()
    shard_of = {}
    for number in (1, 2):
        shard = f"model-{number:05d}-of-00002.safetensors"
        part = dict(list(tensors.items())[number - 1 :: 2])
        save_file(part, sharded / shard)
        shard_of |= dict.fromkeys(part, shard)
    index = {"metadata": {}, "weight_map": shard_of}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    again = imported(sharded, tmp_path / "run")
    assert bits(params(again)) == bits(params(run))


@pytest.mark.parametrize("kind", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_read_as_float32(kind, tmp_path):
    halved = {name: array.astype(kind) for name, array in body().items()}
    source = write_directory(tmp_path / "bert", halved)
    found = kernel(imported(source, tmp_path / "run"))
    assert found.dtype == np.float32
    assert (found == halved[UP].astype(np.float32).T).all()


def test_the_numbers_of_positions_may_be_integers(tmp_path):
    buffer = {"bert.embeddings.position_ids": np.arange(64)[None]}
    source = write_directory(tmp_path / "bert", body() | buffer)
    assert (kernel(imported(source, tmp_path / "run")) == body()[UP].T).all()


def test_safetensors_are_read_where_a_pickle_lies_beside_them(source, tmp_path):
    both = shutil.copytree(source, tmp_path / "bert")
    (both / "pytorch_model.bin").write_bytes(b"anything")
    imported(both, tmp_path / "run")


def test_links_that_stay_inside_are_followed(source, tmp_path):
    linked = shutil.copytree(source, tmp_path / "bert")
    for name in ("model.safetensors", "vocab.txt", "config.json"):
        (linked / name).rename(linked / f"real-{name}")
        (linked / name).symlink_to(f"real-{name}")
    imported(linked, tmp_path / "run")


def test_rows_that_no_piece_has_are_cut_and_said(run, source, tmp_path, capsys):
    padded = weights()
    for name in ("bert.embeddings.word_embeddings.weight", "cls.predictions.bias"):
        rows = [(0, 3)] + [(0, 0)] * (padded[name].ndim - 1)
        padded[name] = np.pad(padded[name], rows)
    source = write_directory(tmp_path / "bert", padded, vocab_size=WORDS + 3)
    again = imported(source, tmp_path / "run")
    said = "3 rows of the token table have no token: left out"
    assert said in capsys.readouterr().err.splitlines()
    assert bits(params(again)) == bits(params(run))
    assert record.read(again).config.model.vocab_size == WORDS


def test_a_cased_vocabulary_stays_cased(source, tmp_path):
    cased = shutil.copytree(source, tmp_path / "bert")
    (cased / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    run = imported(cased, tmp_path / "run")
    tokenizer = bert_jax.load(run).tokenizer
    assert not tokenizer.lowercase
    assert tokenizer.encode("The king").tokens == ["[UNK]", "king"]
    exchange.export_run(run, None, tmp_path / "out")
    rules = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert (rules["do_lower_case"], rules["strip_accents"]) == (False, False)


def test_a_tokenizer_json_goes_before_vocab_txt(exported, run, tmp_path):
    both = shutil.copytree(exported, tmp_path / "bert")
    (both / "vocab.txt").write_text("nothing\n")
    again = imported(both, tmp_path / "run")
    facts, before = rundir.read(again, rundir.RUN), rundir.read(run, rundir.RUN)
    assert facts["tokenizer"] == before["tokenizer"]


def test_the_labels_of_a_classifier_go_in_and_out(tmp_path):
    named = {"id2label": {"0": "bad", "1": "good"}}
    kind = ["BertForSequenceClassification"]
    source = write_directory(
        tmp_path / "bert", classifier(3), architectures=kind, **named
    )
    run = imported(source, tmp_path / "run")
    assert rundir.read(run, rundir.RUN)["labels"] == ["bad", "good", "LABEL_2"]
    exchange.export_run(run, None, tmp_path / "out")
    theirs = json.loads((tmp_path / "out" / "config.json").read_text())
    assert theirs["architectures"] == kind
    assert theirs["id2label"] == {"0": "bad", "1": "good", "2": "LABEL_2"}
    assert theirs["label2id"] == {"bad": 0, "good": 1, "LABEL_2": 2}
    assert bits(load_file(tmp_path / "out" / "model.safetensors")) == bits(
        classifier(3)
    )


def test_the_command_line_imports_and_exports(source, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out"
    assert launch.main(["import", f"--from={source}", f"--workdir={run}"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert re.match(
        r".*run: [\d,]+ parameters in encoder, mlm_head, pair_head, pooler$", said[-1]
    )
    assert launch.main(["export", f"--workdir={run}", f"--to={out}"]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [f"{out}: BertForPreTraining, step 0 of {run}"]


def test_an_imported_run_has_no_data_to_train_or_evaluate_on(run):
    said = f"has no data: train a run from it with .*init_from={re.escape(str(run))}"
    with pytest.raises(UsageError, match=said):
        scores.main(run, None, {})
    with pytest.raises(UsageError, match=said):
        loop.run(configs.load(str(run / "config.json"), {}), run)


def test_a_run_without_the_head_fills_no_masks_but_has_vectors(bare_run, capsys):
    with pytest.raises(UsageError, match="no masked-LM head: it cannot fill masks"):
        bert_jax.load(bare_run).fill_masks(["The [MASK]."])
    assert launch.main(["predict", f"--workdir={bare_run}", "--json", "The."]) == 0
    assert len(json.loads(capsys.readouterr().out)["vector"]) == 16


def test_training_initialises_the_heads_that_an_import_lacks(bare_run, start):
    trained, said = start(bare_run, {})
    taken = "loaded encoder, pooler; initialised mlm_head, pair_head; left over nothing"
    assert said == [f"starting from {bare_run}, step 0: {taken}"]
    begun, old = params(trained), params(bare_run)
    assert begun.keys() == {"encoder", "pooler", "mlm_head", "pair_head"}
    assert bits({name: begun[name] for name in old}) == bits(old)
    assert begun["mlm_head"]["transform"]["kernel"].std() > 0


def test_training_leaves_over_the_heads_that_it_lacks(run, start):
    alone = {"objective.pair": "none", "data.pairs": "single"}
    step_zero = run / "checkpoints" / "0"
    changes = {**alone, "init_from": step_zero}
    trained, said = start(run, changes)
    taken = "loaded encoder, mlm_head; initialised nothing; left over pair_head, pooler"
    assert said == [f"starting from {run}, step 0: {taken}"]
    begun, old = params(trained), params(run)
    assert begun.keys() == {"encoder", "mlm_head"}
    assert bits(begun) == bits({name: old[name] for name in begun})


def test_training_with_another_vocabulary_names_the_mend(run, start, straight):
    mend = re.escape(f"set --config.tokenizer.path={run / 'tokenizer.json'}")
    with pytest.raises(UsageError, match=f"has another vocabulary .*{mend}"):
        start(run, {"tokenizer.path": straight / "tokenizer.json"})


def test_training_an_encoder_of_another_depth_is_refused(run, start):
    said = r"other parameters than this config: encoder/block_02/.*: absent -> "
    with pytest.raises(UsageError, match=said):
        start(run, {"model.num_layers": 3})
