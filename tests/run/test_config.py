"""Config files: what they may say, and what a mistake in one is answered with."""

import json
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from bert_jax.run import config as configs
from bert_jax.run.config import UsageError, canonical, fingerprint, load, stream
from configs import base

ROOT = Path(__file__).parents[2]
FILES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "configs").rglob("*.py")
    if path.name != "__init__.py"
)
DEMO = "configs/demo.py"


@pytest.mark.parametrize("file", FILES)
def test_every_config_file_is_valid_also_when_shrunk(file):
    config = load(file, {})
    assert configs.flatten(config).keys() == configs.flatten(base.get_config()).keys()
    configs.check(configs.smoke(config))


@pytest.mark.parametrize("file", [f for f in FILES if "/bert_" in f])
def test_phase_two_has_512_tokens_and_another_id(file):
    one, two = load(file, {}), load(f"{file}:512", {})
    assert (one.data.length, two.data.length) == (128, 512)
    assert (one.train.steps, two.train.steps) == (900_000, 100_000)
    assert fingerprint(one, "") != fingerprint(two, "")


@pytest.mark.parametrize(
    ("name", "sizes"),
    {
        "tiny": (2, 128, 2, 512),
        "mini": (4, 256, 4, 1024),
        "small": (4, 512, 8, 2048),
        "medium": (8, 512, 8, 2048),
        "base": (12, 768, 12, 3072),
        "large": (24, 1024, 16, 4096),
    }.items(),
)
def test_published_sizes(name, sizes):
    model = load(f"configs/pretrain/bert_{name}.py", {}).model
    assert (model.num_layers, model.model_dim, model.num_heads, model.mlp_dim) == sizes


def test_the_paper_s_hyper_parameters():
    """Devlin et al. 2019, appendix A.2."""
    config = load("configs/pretrain/bert_base.py", {})
    optim, model = config.optim, config.model
    assert (optim.learning_rate, optim.beta1, optim.beta2) == (1e-4, 0.9, 0.999)
    assert (optim.weight_decay, optim.warmup_steps, optim.epsilon) == (
        0.01,
        10_000,
        1e-6,
    )
    assert (optim.schedule, optim.bias_correction) == ("linear", False)
    assert (config.train.batch, model.dropout, model.attention_dropout) == (
        256,
        0.1,
        0.1,
    )
    assert (model.norm, model.activation, model.norm_epsilon) == ("post", "gelu", 1e-12)
    objective = config.objective
    assert (objective.mask_rate, objective.mask_token_share) == (0.15, 0.8)
    assert objective.mask_random_share == 0.1


def test_overrides_are_parsed_by_key_type():
    config = load(
        DEMO,
        {
            "train.steps": "2_000",
            "optim.learning_rate": "3e-4",
            "train.keep_powers": "True",
            "data.pairs": "nsp",
        },
    )
    assert config.train.steps == 2000
    assert config.optim.learning_rate == 3e-4
    assert config.train.keep_powers is True


def test_integer_is_accepted_for_float():
    assert load(DEMO, {"optim.clip_norm": "1"}).optim.clip_norm == 1.0


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.num_layer", "2", "did you mean model.num_layers?"),
        ("modle.dropout", "0", "there is no config key modle.dropout"),
        ("model", "3", "there is no config key model"),
        ("train.steps", "many", "train.steps must be of type int, not 'many'"),
        ("train.steps", "2.5", "train.steps must be of type int, not '2.5'"),
        ("train.steps", "-1", "train.steps must be positive, not -1"),
        ("train.steps", "0", "train.steps must be positive, not 0"),
        ("train.keep_powers", "1", "train.keep_powers must be true or false, not '1'"),
        ("model.dropout", "nan", "model.dropout must be a finite number, not nan"),
        ("optim.learning_rate", "inf", "must be a finite number, not inf"),
        ("model.dropout", "1.0", "model.dropout must be below 1"),
        ("model.attention_dropout", "-0.1", "attention_dropout must be at least 0"),
        ("model.num_layers", "0", "model.num_layers must be positive, not 0"),
        ("model.norm_epsilon", "0.0", "model.norm_epsilon must be positive"),
        ("model.remat", "some", "model.remat must be none | dots | full, not 'some'"),
        (
            "model.norm",
            "Post",
            "model.norm must be post | pre | pre_embed | pre_rms, not 'Post'",
        ),
        ("data.pairs", "nps", "data.pairs must be nsp | sop | single | full"),
        ("model.num_heads", "5", "model_dim 128 is not divisible by model.num_heads 5"),
        ("data.length", "256", "data.length 256 is above model.max_length 128"),
        (
            "train.accumulate",
            "5",
            "train.batch 8 is not divisible by train.accumulate",
        ),
        ("optim.warmup_steps", "6001", "optim.warmup_steps 6001 is above train.steps"),
        ("optim.layer_decay", "1.5", "optim.layer_decay must be at most 1"),
        ("objective.pair", "sop", "objective.pair=sop needs data.pairs=sop"),
        ("objective.kind", "clm", "model.attention=causal go together"),
        ("objective.mask_token_share", "0.95", "above 1"),
        ("objective.mask_copies", "4", "set data.copies=4"),
        ("data.corpus", "files", "data.corpus=files needs data.files"),
        ("data.corpus", "tfds", "data.corpus=tfds needs data.tfds_name"),
        ("parallel.mesh", "2x2", "parallel.mesh must read DATAxFSDPxTENSOR"),
        ("parallel.mesh", "-1x-1x1", "parallel.mesh must read DATAxFSDPxTENSOR"),
        ("parallel.mesh", "0x1x1", "parallel.mesh must read DATAxFSDPxTENSOR"),
    ],
)
def test_a_mistake_is_named(key, value, message):
    with pytest.raises(UsageError) as error:
        load(DEMO, {key: value})
    assert message in str(error.value)
    assert key.split(".")[-1] in str(error.value)


TASK = {"objective.kind": "classify", "task.train": "train.tsv"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task.train": ""}, "task.train is empty: name the labelled data"),
        ({"task.format": "xml"}, "task.format must be tsv | csv | jsonl"),
        ({"task.format": "conll"}, "objective.kind=classify reads task.format=tsv |"),
        ({"task.format": "tfds"}, "task.format=tfds needs task.tfds_name"),
        ({"task.metric": "exact"}, "is accuracy | f1 | macro_f1 | matthews, not 'exa"),
        (
            {"objective.kind": "choose", "task.format": "jsonl"},
            "objective.kind=choose needs task.choices",
        ),
        (
            {"objective.kind": "regress", "task.per_label": "5"},
            "task.class_weights and per_label need objective.kind=classify",
        ),
        ({"objective.layers": "13"}, "objective.layers is last, last_4, or 0 to 12"),
        ({"objective.layers": "-1"}, "objective.layers is last, last_4, or 0 to 12"),
        (
            {"objective.layers": "last_4", "model.num_layers": "3"},
            "objective.layers=last_4 of 3 layers: name one of them",
        ),
        ({"objective.layers": "last_4"}, "the pooler reads the last layer: with"),
        ({"model.attention": "causal"}, "set objective.pool=last or mean"),
        ({"train.patience": "2"}, "train.patience needs train.keep_best=true"),
        (
            {"train.keep_best": "true", "train.save_every": "7"},
            "train.keep_best needs train.save_every equal to eval.every, not 7 and 0",
        ),
        ({"objective.kind": "mlm", "train.keep_best": "true"}, "which a pretraining"),
    ],
)
def test_a_mistake_of_a_task_is_named(changes, message):
    with pytest.raises(UsageError) as error:
        load("configs/finetune/recipe.py", TASK | changes)
    assert message in str(error.value)


def test_what_a_task_may_say_is_let_through():
    recipe = "configs/finetune/recipe.py"
    feature_based = {"objective.layers": "last_4", "objective.pool": "mean"}
    assert load(recipe, TASK | feature_based).objective.layers == "last_4"
    layer = {"objective.kind": "tag", "task.format": "conll", "objective.layers": "0"}
    assert load(recipe, TASK | layer).objective.pool == "pooler"
    load(recipe, TASK | {"train.keep_best": "true", "train.patience": "3"})
    load(recipe, TASK | {"model.attention": "causal", "objective.pool": "last"})


def test_all_mistakes_of_a_config_are_reported():
    with pytest.raises(UsageError) as error:
        load(DEMO, {"model.num_heads": "7", "model.dropout": "nan"})
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "config.model.dropout = None",
            "model.dropout must be of type float, not None",
        ),
        ("config.train.steps = True", "train.steps must be of type int, not True"),
        ("config.seeds = 3", "did you mean seed?"),
        ("del config.seed", "the config lacks seed"),
        ("config.train.steps = 'ten'", "TypeError"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_mistake_in_a_file_is_named(tmp_path, body, message):
    path = tmp_path / "own.py"
    path.write_text(
        "from configs import base\n\n\ndef get_config():\n"
        f"    config = base.get_config()\n    {body}\n    return config\n"
    )
    with pytest.raises(UsageError) as error:
        load(str(path), {})
    assert message in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_file_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="config file nowhere.py does not exist"):
        load("nowhere.py", {})


def test_a_file_without_argument_refuses_one():
    with pytest.raises(UsageError, match="takes no argument"):
        load(f"{DEMO}:512", {})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model.share": "all", "optim.layer_decay": "0.9"},
            "optim.layer_decay=0.9 gives each layer a rate of its own",
        ),
        (
            {"model.share": "all", "model.norm": "pre_embed"},
            "model.share=all has one block",
        ),
        (
            {"model.positions": "rotary", "model.model_dim": "10"},
            "model.positions=rotary turns pairs",
        ),
        (
            {"objective.head": "plain", "model.embed_dim": "8"},
            "objective.head=plain multiplies by the token table",
        ),
        (
            {"model.positions": "sinusoidal", "model.embed_dim": "7"},
            "sinusoidal positions need an even width",
        ),
    ],
)
def test_fields_of_families_that_contradict_are_named(changes, said):
    with pytest.raises(UsageError, match=said):
        load(DEMO, changes)


@pytest.mark.parametrize("size", ["base", "tiny"])
@pytest.mark.parametrize(
    "name",
    [
        *("albert_base", "distilbert", "electra_small"),
        *("gpt2_small", "modernbert_base", "roberta_base"),
    ],
)
def test_recipes_of_families_have_two_sizes(name, size):
    config = load(f"configs/pretrain/{name}.py:{size}", {})
    assert (config.model.model_dim == 128) == (size == "tiny")
    assert (config.model.dtype == "bfloat16") == (size == "base")


def test_unknown_file_argument_is_named():
    with pytest.raises(UsageError, match="roberta_base.py: KeyError: 'tinny'"):
        load("configs/pretrain/roberta_base.py:tinny", {})
    with pytest.raises(UsageError, match="bert_tiny.py: KeyError: '256'"):
        load("configs/pretrain/bert_tiny.py:256", {})


def test_canonical_json_reads_back_equal(tmp_path):
    config = load(DEMO, {"optim.learning_rate": "0.1"})
    path = tmp_path / "config.json"
    path.write_text(canonical(config))
    again = load(str(path), {})
    assert canonical(again) == canonical(config)
    assert fingerprint(again, "") == fingerprint(config, "")


def test_older_config_json_takes_later_values(tmp_path):
    config = load(DEMO, {"train.steps": "900"})
    old = config.to_dict()
    del old["objective"]["pair_weight"], old["seed"]
    path = tmp_path / "config.json"
    path.write_text(json.dumps(old))
    assert load(str(path), {}) == config


def test_a_broken_config_json_is_one_line(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{")
    with pytest.raises(UsageError, match="is not JSON"):
        load(str(path), {})


def test_fingerprint_ignores_execution():
    plain = fingerprint(load(DEMO, {}), "")
    flat = configs.flatten(load(DEMO, {}))
    for key in configs.EXECUTION:
        assert key in flat
        other = {int: "7", float: "7", bool: "true"}.get(type(flat[key]), "2x1x1")
        other = "single" if key == "eval.rows" else other
        other = "pmap" if key == "parallel.placement" else other
        given = {key: other, **({"eval.length": "64"} if key == "eval.rows" else {})}
        assert fingerprint(load(DEMO, given), "") == plain, key
    for key, value in {"seed": "1", "optim.beta2": "0.97", "train.batch": "64"}.items():
        assert fingerprint(load(DEMO, {key: value}), "") != plain, key


def test_fingerprint_has_parent_identity_not_path():
    one = load(DEMO, {"init_from": "runs/a"})
    two = load(DEMO, {"init_from": "elsewhere/a"})
    assert fingerprint(one, "abc/10") == fingerprint(two, "abc/10")
    assert fingerprint(one, "abc/10") != fingerprint(one, "abc/20")


def test_streams_are_pinned():
    """A change here would give every finished run other data, masks and weights."""
    assert stream(0, "init") == 0xD86B2AFA9B31976C


@given(st.integers(0, 2**31), st.text(max_size=8), st.text(max_size=8))
def test_streams_of_other_names_are_other_streams(seed, one, two):
    assert (stream(seed, one) == stream(seed, two)) == (one == two)
    assert 0 <= stream(seed, one) < 2**64
