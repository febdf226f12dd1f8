"""The table between the tensors of Hugging Face's BERT and our parameters."""

import re
from functools import partial

import jax
import numpy as np
import pytest
from flax import traverse_util
from ml_collections import ConfigDict

from bert_jax.huggingface import card, names
from bert_jax.huggingface.families import FAMILIES
from bert_jax.huggingface.family.bert import BERT
from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import Network, Readout
from bert_jax.run.config import UsageError
from configs import base
from tests.exchanging import bits, random_arrays

CONFIG = base.get_config()
CONFIG.model.update(vocab_size=11, num_layers=2, model_dim=4, num_heads=2, mlp_dim=6)
CONFIG.model.update(max_length=5, num_types=3, attention_dropout=0.2)
DECODER, TOKENS = "cls.predictions.decoder", "bert.embeddings.word_embeddings.weight"


def params(*heads: str, config=CONFIG):
    """Parameters of the shapes that `init` gives, none of them 0 or 1."""
    features = Readout.of(config.objective)
    network = Network(EncoderConfig(**config.model), heads, 3, features)
    made = jax.eval_shape(partial(networks.init, network), jax.random.key(0))
    flat = traverse_util.flatten_dict(made, sep="/")
    arrays = random_arrays({name: leaf.shape for name, leaf in flat.items()})
    return traverse_util.unflatten_dict(arrays, sep="/")


def of_ours(ours, family=BERT):
    """Their class, and its tensors, of our parameters."""
    return names.to_theirs(ours, family, ours.keys() - {"encoder"}, 1)


def theirs(name: str) -> dict[str, np.ndarray]:
    """The tensors of one of their classes."""
    return of_ours(params(*BERT.classes[name]))[1]


def read(tensors, name: str, **changes):
    """Our parameters, and what was said of them."""
    said: list[str] = []
    given = {"model_type": "bert", "architectures": [name]} | changes
    return names.to_ours(tensors, given, CONFIG, said.append), said


UNTOLD = "no decoder of its own: it is tied to the token table"


def refuses(tensors, name: str, said: str, **changes):
    with pytest.raises(UsageError, match=re.escape(said)):
        read(tensors, name, **changes)


EVERY = [(family, name) for family in FAMILIES for name in family.classes]


@pytest.mark.parametrize(("family", "name"), EVERY, ids=lambda x: getattr(x, "name", x))
def test_there_and_back_is_the_same_bit_for_bit(family, name):
    config = shaped_as(family)
    ours = params(*family.classes[name], config=config)
    if name == "GPT2ForSequenceClassification":  # theirs has none
        ours["classify_head"]["bias"][:] = 0
    found, tensors = of_ours(ours, family)
    given = {"model_type": family.model_types[0], "architectures": [name]}
    again = names.to_ours(tensors, given, config, print)
    # Classes with the same tensors: a plain head has none.
    assert family.classes[found].keys() | {"mlm_head"} >= family.classes[name].keys()
    assert bits(again) == bits(ours)
    assert bits(of_ours(again, family)[1]) == bits(tensors)


def shaped_as(family):
    """A tiny config that a family can express."""
    config = base.get_config()
    config.model.update(CONFIG.model)
    config.update_from_flattened_dict({k: v for k, (v, _) in family.fixed.items()})
    activation = list(family.activations[1].values())[-1]
    config.model.update(activation=activation, num_layers=4)
    config.objective.pooler = family.pooler or "tanh"
    if family.name in ("ALBERT", "ELECTRA"):
        config.model.embed_dim = 6
    assert not card.problem_of(family, config)
    return config


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_what_a_family_does_not_have_is_refused_by_name(family):
    config = shaped_as(family)
    others = {
        "model.norm": ("post", "pre", "pre_rms"),
        "model.positions": ("learned", "alibi"),
        "model.attention": ("bidirectional", "causal"),
        "model.bias": ("all", "norms"),
        "model.share": ("none", "all", "mlp"),
        "model.activation": ("swiglu", "gelu", "relu"),
        "objective.head": ("transform", "plain"),
    }
    for key, values in others.items():
        for value in values:
            changed = ConfigDict(config.to_dict())
            changed.update_from_flattened_dict({key: value})
            if family.fixed.get(key, (value,))[0] != value:
                assert f"({key}={value})" in card.problem_of(family, changed)


def test_roberta_counts_its_positions_from_the_padding():
    ours, _ = params(config=CONFIG), 0
    [roberta] = [family for family in FAMILIES if family.offset]
    _, tensors = of_ours(ours, roberta)
    table = tensors["embeddings.position_embeddings.weight"]
    assert len(table) == CONFIG.model.max_length + 2
    assert not table[:2].any()


def test_fused_tensors_are_parts_side_by_side():
    gpt2 = next(family for family in FAMILIES if family.name == "GPT-2")
    modern = next(family for family in FAMILIES if family.name == "ModernBERT")
    ours = params(config=shaped_as(gpt2))
    fused = of_ours(ours, gpt2)[1]["h.1.attn.c_attn.weight"]
    attention = ours["encoder"]["block_01"]["attention"]
    parts = [attention[name]["kernel"] for name in ("query", "key", "value")]
    np.testing.assert_array_equal(fused, np.concatenate(parts, axis=1))
    ours = params(config=shaped_as(modern))
    fused = of_ours(ours, modern)[1]["layers.2.mlp.Wi.weight"]
    mlp = ours["encoder"]["block_02"]["mlp"]
    parts = [mlp[name]["kernel"].T for name in ("up", "gate")]
    np.testing.assert_array_equal(fused, np.concatenate(parts))


def test_a_bias_that_their_class_lacks_is_refused():
    gpt2 = next(family for family in FAMILIES if family.name == "GPT-2")
    ours = params("classify_head", config=shaped_as(gpt2))
    with pytest.raises(
        UsageError, match="no place for classify_head/bias, which is no"
    ):
        of_ours(ours, gpt2)


def test_their_matrices_map_the_other_way_and_tables_do_not():
    ours = params("pooler", "pair_head", "mlm_head")
    _, tensors = of_ours(ours)
    up = ours["encoder"]["block_01"]["mlp"]["up"]
    query = ours["encoder"]["block_00"]["attention"]["query"]["kernel"]
    name = "bert.encoder.layer.1.intermediate.dense"
    assert tensors[f"{name}.weight"].shape == (6, 4)
    assert tensors[f"{name}.weight"][5, 0] == up["kernel"][0, 5]
    assert (tensors[f"{name}.bias"] == up["bias"]).all()
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert tensors[name][3, 0] == query[0, 3] != query[3, 0]
    table = ours["encoder"]["embeddings"]["token"]["embedding"]
    assert (tensors[TOKENS] == table).all()
    assert tensors["cls.seq_relationship.weight"].shape == (2, 4)


@pytest.mark.parametrize("name", BERT.classes)
def test_no_two_parameters_of_a_class_share_a_tensor(name):
    ours = params(*BERT.classes[name])
    assert len(theirs(name)) == len(jax.tree.leaves(ours))


def test_old_names_of_layer_norms_are_read():
    tensors = theirs("BertForPreTraining")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): array
        for name, array in tensors.items()
    }
    ours, said = read(old, "BertForPreTraining")
    assert bits(of_ours(ours)[1]) == bits(tensors)
    old_names = "12 old names: gamma and beta are read as weight and bias"
    assert said == [old_names, UNTOLD]


def test_names_with_and_without_the_prefix_are_the_same_model():
    bare = theirs("BertModel")
    prefixed = {f"bert.{name}": array for name, array in bare.items()}
    assert "encoder.layer.1.output.dense.weight" in bare
    ours, said = read(prefixed, "BertModel")
    again, noted = read(bare, "BertModel")
    assert bits(ours) == bits(again)
    assert said == []
    assert noted == ['39 names without the prefix "bert.": read as if they had it']


@pytest.mark.parametrize("prefix", ["_orig_mod.", "module.", "model.net."])
@pytest.mark.parametrize("name", ["BertModel", "BertForMaskedLM"])
def test_names_after_a_wrapper_are_read_without_it(name, prefix):
    """FAULTS 30."""
    tensors = theirs(name)
    wrapped = {f"{prefix}{each}": array for each, array in tensors.items()}
    wrapped[f"{prefix}bert.embeddings.position_ids"] = np.arange(5)[None]
    ours, said = read(wrapped, name)
    assert bits(of_ours(ours)[1]) == bits(tensors)
    assert said[0] == f'{len(wrapped)} names begin with "{prefix}": read without it'


def test_a_tensor_with_and_without_a_wrapper_is_refused():
    tensors = theirs("BertForMaskedLM")
    both = {f"module.{name}": array for name, array in tensors.items()}
    both["cls.predictions.bias"] = tensors["cls.predictions.bias"]
    refuses(
        both, "BertForMaskedLM", 'some tensors are there with and without "module."'
    )


@pytest.mark.parametrize("name", ["BertModel", "BertForTokenClassification"])
def test_untied_embeddings_matter_only_to_a_decoder(name):
    """FAULTS 31."""
    tensors = theirs(name)
    ours, _ = read(tensors, name, tie_word_embeddings=False)
    assert bits(of_ours(ours)[1]) == bits(tensors)


def test_an_untied_decoder_must_be_there():
    """FAULTS 31: transformers would draw it at random."""
    tensors = theirs("BertForMaskedLM")
    said = f"tie_word_embeddings is False, and the tensor {DECODER}.weight is missing"
    refuses(tensors, "BertForMaskedLM", said, tie_word_embeddings=False)
    tied = tensors | {f"{DECODER}.weight": tensors[TOKENS]}
    ours, _ = read(tied, "BertForMaskedLM", tie_word_embeddings=False)
    assert bits(of_ours(ours)[1]) == bits(tensors)


def test_one_tensor_under_two_names_is_refused():
    tensors = theirs("BertModel")
    tensors["bert.pooler.dense.bias"] = tensors["pooler.dense.bias"]
    said = "the tensor bert.pooler.dense.bias is there under two names"
    refuses(tensors, "BertModel", said)


@pytest.mark.parametrize("copies", [["weight"], ["bias"], ["weight", "bias"]])
def test_a_tied_decoder_is_read_once(copies):
    tensors = theirs("BertForPreTraining")
    original = {"weight": TOKENS, "bias": "cls.predictions.bias"}
    copied = {f"{DECODER}.{each}": tensors[original[each]] for each in copies}
    ours, said = read(tensors | copied, "BertForPreTraining")
    assert bits(of_ours(ours)[1]) == bits(tensors)
    assert said == [f"{' and '.join(copied)}: tied, read once"]


def test_without_a_decoder_it_is_said_to_be_tied():
    assert read(theirs("BertForPreTraining"), "BertForPreTraining")[1] == [UNTOLD]


def test_a_decoder_can_stand_for_what_it_is_tied_to():
    tensors = theirs("BertForPreTraining")
    moved = dict(tensors)
    moved[f"{DECODER}.bias"] = moved.pop("cls.predictions.bias")
    moved[f"{DECODER}.weight"] = moved.pop(TOKENS)
    ours, said = read(moved, "BertForPreTraining")
    assert bits(of_ours(ours)[1]) == bits(tensors)
    assert len(said) == 1


@pytest.mark.parametrize(
    ("copy", "original"), [("weight", TOKENS), ("bias", "cls.predictions.bias")]
)
def test_a_decoder_that_differs_is_refused(copy, original):
    tensors = theirs("BertForPreTraining")
    tensors[f"{DECODER}.{copy}"] = tensors[original] + np.float32(1e-6)
    said = f"{DECODER}.{copy} differs from {original}"
    refuses(tensors, "BertForPreTraining", said)


def test_a_missing_pooler_is_said():
    ours, said = read(theirs("BertForMaskedLM"), "BertForMaskedLM")
    assert ours.keys() == {"encoder", "mlm_head"}
    assert said == [UNTOLD, "there is no pooler: the run has none"]


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_numbers_that_old_versions_saved_are_ignored(prefix):
    tensors = theirs("BertForPreTraining")
    numbers = np.arange(5, dtype=np.int64)[None]
    buffers = {
        f"{prefix}embeddings.{name}": numbers
        for name in ("position_ids", "token_type_ids")
    }
    ours, _ = read(tensors | buffers, "BertForPreTraining")
    assert bits(of_ours(ours)[1]) == bits(tensors)


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("BertForPreTraining", TOKENS),
        ("BertForPreTraining", "bert.encoder.layer.1.attention.self.key.bias"),
        ("BertForPreTraining", "bert.pooler.dense.weight"),
        ("BertForPreTraining", "cls.predictions.transform.LayerNorm.weight"),
        ("BertForPreTraining", "cls.predictions.bias"),
        ("BertForPreTraining", "cls.seq_relationship.bias"),
        ("BertForSequenceClassification", "classifier.bias"),
        ("BertForTokenClassification", "classifier.weight"),
        ("BertForMultipleChoice", "classifier.bias"),
        ("BertForQuestionAnswering", "qa_outputs.weight"),
    ],
)
def test_a_missing_tensor_and_half_a_head_are_named(name, lost):
    tensors = theirs(name)
    del tensors[lost]
    refuses(tensors, name, f"the tensor {lost} is missing")


def test_tensors_that_nobody_knows_are_named():
    tensors = theirs("BertForPreTraining")
    tensors["bert.encoder.layer.2.output.dense.bias"] = np.zeros(4, np.float32)
    said = "bert.encoder.layer.2.output.dense.bias: no tensor of a BERT that is known"
    refuses(tensors, "BertForPreTraining", said)
    tensors["lstm.weight"] = np.zeros(4, np.float32)
    said = "bert.encoder.layer.2.output.dense.bias and 1 more: no tensor"
    refuses(tensors, "BertForPreTraining", said)


@pytest.mark.parametrize("lost", [TOKENS, "bert.pooler.dense.bias", "classifier.bias"])
def test_a_tensor_without_dimensions_is_named(lost):
    tensors = theirs("BertForSequenceClassification")
    tensors[lost] = np.float32(1) * np.ones(())
    refuses(tensors, "BertForSequenceClassification", f"the tensor {lost} has shape ()")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("BertForSequenceClassification", "classify_head"),
        ("BertForTokenClassification", "tag_head"),
        ("BertForMultipleChoice", "choice_head"),
    ],
)
def test_the_class_says_what_a_classifier_classifies(name, head):
    assert head in read(theirs(name), name)[0]


@pytest.mark.parametrize("named", [None, [], ["BertModel"], ["MyBert"], [5], 5])
def test_a_classifier_of_no_known_class_is_refused(named):
    tensors = theirs("BertForTokenClassification")
    with pytest.raises(UsageError, match="which does not say what its tensor class"):
        read(tensors, "", architectures=named)


def test_every_note_is_a_line_of_its_own():
    tensors = theirs("BertForMaskedLM")
    tensors[f"{DECODER}.weight"] = tensors[TOKENS]
    old = {
        name.replace("LayerNorm.bias", "LayerNorm.beta").removeprefix("bert."): array
        for name, array in tensors.items()
    }
    _, said = read(old, "BertForMaskedLM")
    assert [line.split()[0] for line in said] == [
        "6",
        "37",
        f"{DECODER}.weight:",
        "there",
    ]
    assert not any("\n" in line for line in said)


def test_heads_that_no_class_of_theirs_has_are_named():
    with pytest.raises(UsageError, match="no BERT with just mlm_head, span_head on"):
        of_ours(params("span_head", "mlm_head"))
    assert of_ours(params())[0] == "BertModel"


def test_a_pooler_is_left_out_where_their_class_has_none():
    name, tensors = of_ours(params("pooler", "mlm_head"))
    assert (name, tensors.keys()) == to_theirs_keys("mlm_head")


def to_theirs_keys(*heads: str):
    name, tensors = of_ours(params(*heads))
    return name, tensors.keys()
