"""config.json of Hugging Face's BERT: every key is used, refused by name, or told."""

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.huggingface import card as cards
from bert_jax.huggingface import families
from bert_jax.huggingface.family.bert import BERT
from bert_jax.run.config import UsageError
from configs import base
from tests.exchanging import CONFIG

KEYS = cards.keys_of(BERT)
OURS = base.get_config()
OURS.model.update(vocab_size=11, num_layers=2, model_dim=4, num_heads=2, mlp_dim=6)
OURS.model.update(max_length=5, num_types=3, attention_dropout=0.2)
FIELDS = OURS.model.to_dict()


def fields_of(card, say=print):
    """The fields of our model, of a config.json."""
    config = base.get_config()
    config.update_from_flattened_dict(cards.settings(card, say))
    return config.model.to_dict()


def card_of(config=OURS, labels=(), pad_id=0, kept=None):
    """The config.json of ours."""
    special = cards.SpecialIds(pad_id, 2, 3)
    made = cards.their_config(config, BERT, "BertModel", labels, special, kept or {})
    return json.loads(json.dumps(made))


def changed(**fields):
    config = copy.deepcopy(OURS)
    config.model.update(fields)
    return config


@pytest.mark.parametrize("activation", ["gelu", "gelu_tanh"])
def test_a_config_comes_back(activation):
    made = card_of(changed(activation=activation))
    assert fields_of(made) == FIELDS | {"activation": activation}
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
    assert fields_of(left) == FIELDS | {"num_types": 2, "attention_dropout": 0.1}


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
        ("model_type", "t5"),
        ("position_embedding_type", "relative_key"),
        ("is_decoder", True),
        ("add_cross_attention", True),
        ("tie_word_embeddings", 1),
        ("problem_type", "ranking"),
        ("hidden_act", "silu"),
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
        ({"positions": "sinusoidal"}, "no positions but learned ones"),
        ({"attention": "causal"}, "no causal attention"),
        ({"embed_dim": 2}, "no tables of another width than the model's"),
        ({"activation": "swiglu"}, "no such activation"),
    ],
)
def test_what_their_bert_does_not_have_is_refused_by_name(change, said):
    assert cards.chosen_family("", "", OURS) == BERT
    with pytest.raises(UsageError, match=said):
        cards.chosen_family("bert", "", changed(**change))


def test_an_export_goes_to_the_family_of_its_import_or_the_first_that_fits():
    plain = changed(num_types=1)
    assert cards.chosen_family("", "", plain).name == "BERT"
    assert cards.chosen_family("", "roberta", plain).name == "RoBERTa"
    assert cards.chosen_family("electra", "roberta", plain).name == "ELECTRA"
    assert cards.chosen_family("", "", changed(norm="pre")).name == "MegatronBert"
    assert cards.chosen_family("", "", changed(num_types=0)).name == "DistilBERT"
    assert cards.chosen_family("", "", changed(embed_dim=2)).name == "ELECTRA"
    small = changed(embed_dim=2, share="all")
    assert cards.chosen_family("", "bert", small).name == "ALBERT"


def test_a_family_that_does_not_fit_names_those_that_do():
    with pytest.raises(UsageError, match="no pre-LayerNorm .*--as=megatron-bert"):
        cards.chosen_family("bert", "", changed(norm="pre"))
    with pytest.raises(UsageError, match="--as=t5: it must be one of bert, mega"):
        cards.chosen_family("t5", "", OURS)
    with pytest.raises(UsageError, match="cannot be exported$"):
        cards.chosen_family("", "", changed(positions="alibi"))


@pytest.mark.parametrize("kind", ["t5", "bart", "deberta-v2", "xlnet", "llama"])
def test_other_families_are_refused_with_those_that_are_known(kind):
    with pytest.raises(UsageError, match=f"model_type is '{kind}'; only 'bert' [|] "):
        families.of_card(CONFIG | {"model_type": kind})


def test_labels_come_back_and_unnamed_classes_are_numbered():
    stored = card_of(labels=["bad", "good"])
    assert stored["label2id"] == {"bad": 0, "good": 1}
    assert cards.labels_of(stored, 2, print) == ["bad", "good"]
    assert cards.labels_of({}, 2, print) == ["LABEL_0", "LABEL_1"]
    assert cards.labels_of({"label2id": {"b": 1, "a": 0}}, 2, print) == ["a", "b"]


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
        cards.labels_of(card, 3, print)


def test_labels_that_disagree_are_told():
    said: list[str] = []
    card = {"id2label": {"0": "a", "1": "b"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}
    assert cards.labels_of(card, 2, said.append) == ["a", "b"]
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
        assert cards.kept(changes, BERT).keys() <= known


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
    assert cards.kept(card, BERT)["classifier_dropout"] == 0.5
    with pytest.raises(UsageError, match="classifier_dropout must be a share"):
        fields_of(CONFIG | {"classifier_dropout": "half"})


def test_several_numbers_a_text_are_refused():
    cards.check_problem({"problem_type": "regression"}, 1)
    with pytest.raises(
        UsageError, match="problem_type is 'regression' and the head has"
    ):
        cards.check_problem({"problem_type": "regression"}, 3)


def test_what_a_run_keeps_is_written_back():
    card = CONFIG | {"use_cache": False, "hidden_act": "gelu_python"}
    made = card_of(pad_id=3, kept=cards.kept(card, BERT))
    assert made["use_cache"] is False
    assert made["hidden_act"] == "gelu_python"
    assert made["pad_token_id"] == 3
    assert made["hidden_size"] == FIELDS["model_dim"]
