"""config.json of Hugging Face's BERT: every key is used, refused by name, or told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.huggingface import bert_config
from bert_jax.huggingface.bert_config import KEYS
from bert_jax.run.config import UsageError
from configs import base
from tests.exchanging import CONFIG

MODEL = base.get_config().model
MODEL.update(vocab_size=11, num_layers=2, model_dim=4, num_heads=2, mlp_dim=6)
MODEL.update(max_length=5, num_types=3, attention_dropout=0.2)
FIELDS = MODEL.to_dict()
del FIELDS["dtype"], FIELDS["remat"]


def fields_of(card, say=print):
    return bert_config.model_fields(card, say)


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_a_config_comes_back(activation):
    fields = FIELDS | {"activation": activation}
    made = bert_config.their_config(fields, "BertModel", [], 0, {})
    assert fields_of(json.loads(json.dumps(made))) == fields
    assert made["architectures"] == ["BertModel"]
    assert made["num_hidden_layers"] == 2
    assert made["pad_token_id"] == 0
    assert "id2label" not in made


def test_what_a_config_leaves_out_is_what_bert_has():
    left = {
        "model_type": "bert",
        "vocab_size": 11,
        "hidden_size": 4,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 6,
        "max_position_embeddings": 5,
    }
    changed = {"num_types": 2, "attention_dropout": 0.1}
    assert fields_of(left) == FIELDS | changed


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("gelu_new", "gelu_tanh"), ("gelu_pytorch_tanh", "gelu_tanh"), ("gelu", "gelu")],
)
def test_their_names_of_activations(theirs, ours):
    fields = fields_of(CONFIG | {"hidden_act": theirs})
    assert fields["activation"] == ours


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model_type", "roberta"),
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", 1),
        ("problem_type", "ranking"),
        ("hidden_act", "relu"),
        ("hidden_act", ["gelu"]),
        ("hidden_size", None),
        ("hidden_size", "16"),
        ("hidden_size", 16.5),
        ("num_attention_heads", True),
        ("layer_norm_eps", "1e-12"),
    ],
)
def test_what_is_no_bert_of_ours_is_refused_by_its_key(key, value):
    with pytest.raises(UsageError, match=f"config.json: {key} ") as refused:
        fields_of(CONFIG | {key: value})
    assert repr(value) in str(refused.value)


@pytest.mark.parametrize("key", ["hidden_size", "model_type", "vocab_size"])
def test_a_config_must_say_the_sizes(key):
    config = {name: value for name, value in CONFIG.items() if name != key}
    with pytest.raises(UsageError, match=f"config.json: {key} "):
        fields_of(config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"norm": "pre"}, r"no pre-LayerNorm \(model.norm=pre\)"),
        ({"positions": "sinusoidal"}, "no sinusoidal positions"),
        ({"attention": "causal"}, "no causal attention"),
    ],
)
def test_what_their_bert_does_not_have_is_refused_by_name(change, said):
    bert_config.check_expressible(FIELDS)
    with pytest.raises(UsageError, match=said):
        bert_config.check_expressible(FIELDS | change)


def test_labels_come_back_and_unnamed_classes_are_numbered():
    made = bert_config.their_config(FIELDS, "BertModel", ["bad", "good"], 0, {})
    stored = json.loads(json.dumps(made))
    assert stored["label2id"] == {"bad": 0, "good": 1}
    assert bert_config.labels_of(stored, 2, print) == ["bad", "good"]
    assert bert_config.labels_of({}, 2, print) == ["LABEL_0", "LABEL_1"]
    assert bert_config.labels_of({"label2id": {"b": 1, "a": 0}}, 2, print) == ["a", "b"]


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"id2label": ["bad"]}, "id2label must be an object"),
        ({"id2label": {"a": "bad"}}, "id2label must be an object"),
        ({"id2label": {"0": 5}}, "id2label must be an object"),
        ({"id2label": {"0": "neg", "1": "pos", "2": "neg"}}, "0 and 2 are both called"),
        ({"id2label": {"0": "LABEL_1"}}, "0 and 1 are both called 'LABEL_1'"),
        ({"id2label": {"0": "a", "3": "b"}}, "class 3 has a name, but the head has 3"),
        ({"id2label": {"0": "a", "00": "b"}}, "names one class twice"),
        ({"label2id": {"a": 0, "b": 0}}, "names one class twice"),
        ({"label2id": {"a": True}}, "id2label must be an object"),
    ],
    ids=str,
)
def test_labels_that_tell_no_classes_apart_are_refused(card, said):
    """FAULTS 24: of two classes of one name the likelier was lost."""
    with pytest.raises(UsageError, match=f"config.json: .*{said}"):
        bert_config.labels_of(card, 3, print)


def test_labels_that_disagree_are_told():
    said: list[str] = []
    card = {"id2label": {"0": "a", "1": "b"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    assert bert_config.labels_of(card, 2, said.append) == ["a", "b"]
    [line] = said
    assert "label2id and id2label differ" in line


@given(
    st.dictionaries(
        st.sampled_from([*CONFIG, *KEYS.only, *KEYS.idle]) | st.text(max_size=9),
        st.none() | st.booleans() | st.integers() | st.text() | st.just([1]),
        max_size=4,
    )
)
def test_no_key_of_a_config_is_dropped_unsaid(changes):
    """Kind A: a key is used, or refused or told by its name, or changes no output."""
    said: list[str] = []
    known = KEYS.used | KEYS.only.keys() | KEYS.idle
    unknown = changes.keys() - known
    try:
        fields_of(CONFIG | changes, said.append)
    except UsageError as error:
        assert any(key in str(error) for key in changes)
        assert "\n" not in str(error)
    else:
        assert all(any(repr(key) in line for line in said) for key in unknown)
        assert bert_config.kept(changes).keys() <= known


@pytest.mark.parametrize("key", sorted(KEYS.only))
def test_a_key_of_one_meaning_is_refused_with_another(key):
    with pytest.raises(UsageError, match=f"config.json: {key} is 'other'; "):
        fields_of(CONFIG | {key: "other"})


def test_the_dropout_before_a_classifier_is_told_and_kept():
    """FAULTS 33."""
    said: list[str] = []
    card = CONFIG | {"classifier_dropout": 0.5}
    fields_of(card, said.append)
    [line] = said
    assert "classifier_dropout 0.5 is kept for exports" in line
    assert bert_config.kept(card)["classifier_dropout"] == 0.5
    with pytest.raises(UsageError, match="classifier_dropout must be a share"):
        fields_of(CONFIG | {"classifier_dropout": "half"})


def test_several_numbers_a_text_are_refused():
    bert_config.check_problem({"problem_type": "regression"}, 1)
    with pytest.raises(
        UsageError, match="problem_type is 'regression' and the head has"
    ):
        bert_config.check_problem({"problem_type": "regression"}, 3)


def test_what_a_run_keeps_is_written_back():
    kept = bert_config.kept(CONFIG | {"use_cache": False, "hidden_act": "gelu_python"})
    made = bert_config.their_config(FIELDS, "BertModel", [], 3, kept)
    assert made["use_cache"] is False
    assert made["hidden_act"] == "gelu_python"
    assert made["pad_token_id"] == 3
    assert made["hidden_size"] == FIELDS["model_dim"]
