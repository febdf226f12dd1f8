"""Forms of config.json and of tensors that older files of each family have."""

import re

import numpy as np
import pytest

from bert_jax.huggingface import card as cards
from bert_jax.huggingface import families, names, old_names
from bert_jax.run.config import UsageError
from configs import base
from tests.huggingface.test_names import of_ours, params, shaped_as

BY_NAME = {family.name: family for family in families.FAMILIES}
MODERN = {
    "model_type": "modernbert",
    "vocab_size": 11,
    "hidden_size": 8,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "intermediate_size": 12,
    "max_position_embeddings": 32,
}
GPT2 = {
    "model_type": "gpt2",
    "vocab_size": 11,
    "n_embd": 8,
    "n_layer": 2,
    "n_head": 2,
    "n_positions": 16,
}
LIKE_BERT = {**MODERN, "num_hidden_layers": 2}
ALBERT = {**LIKE_BERT, "model_type": "albert", "embedding_size": 4}
LOCAL = ["full_attention", "sliding_attention", "sliding_attention", "full_attention"]


def config_of(card):
    """Our config of a config.json."""
    config = base.get_config()
    config.update_from_flattened_dict(cards.settings(card, print))
    return config


def test_modernbert_has_two_forms_of_rotary_bases_and_windows():
    old = {"global_rope_theta": 5e4, "local_rope_theta": 1e4}
    old |= {"global_attn_every_n_layers": 3, "local_attention": 16}
    kinds = {"full_attention": 5e4, "sliding_attention": 1e4}
    new = {
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": theta}
            for kind, theta in kinds.items()
        },
        "layer_types": LOCAL,
        "local_attention": 16,
    }
    one, two = config_of(MODERN | old), config_of(MODERN | new)
    assert one == two
    assert (one.model.rotary_base, one.model.window) == (5e4, 16)
    assert config_of(MODERN).model.rotary_base == 160_000
    everywhere = {"layer_types": ["full_attention"] * 4}
    assert config_of(MODERN | everywhere).model.window == 0


@pytest.mark.parametrize("pooling, pool", [("cls", "pooler"), ("mean", "mean")])
def test_modernbert_says_how_a_text_is_pooled(pooling, pool):
    assert config_of(MODERN | {"classifier_pooling": pooling}).objective.pool == pool


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (MODERN | {"rope_scaling": {"factor": 2}}, "rope_scaling"),
        (MODERN | {"layer_types": LOCAL[::-1][1:] + LOCAL[:1]}, "layer_types"),
        (MODERN | {"global_attn_every_n_layers": 2}, "layer_types"),
        (MODERN | {"local_rope_theta": 5.0}, "local_rope_theta"),
        (MODERN | {"norm_bias": True}, "norm_bias"),
        (MODERN | {"decoder_bias": False}, "decoder_bias"),
        (MODERN | {"sparse_prediction": True}, "sparse_prediction"),
        (MODERN | {"embedding_dropout": 0.5}, "embedding_dropout"),
        (MODERN | {"classifier_activation": "relu"}, "classifier_activation"),
        (MODERN | {"num_key_value_heads": 1}, "num_key_value_heads"),
        (MODERN | {"hidden_activation": "relu"}, "hidden_activation"),
        (GPT2 | {"embd_pdrop": 0.5}, "embd_pdrop"),
        (GPT2 | {"scale_attn_weights": False}, "scale_attn_weights"),
        (GPT2 | {"reorder_and_upcast_attn": True}, "reorder_and_upcast_attn"),
        (ALBERT | {"num_hidden_groups": 2}, "num_hidden_groups"),
        (ALBERT | {"inner_group_num": 2}, "inner_group_num"),
        (ALBERT | {"embedding_size": 8}, "embedding_size"),
        (LIKE_BERT | {"model_type": "roberta", "hidden_act": "relu"}, "hidden_act"),
        (LIKE_BERT | {"model_type": "electra", "summary_type": "mean"}, "summary_type"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_field_says_is_refused_by_its_key(card, said):
    with pytest.raises(UsageError, match=rf"config.json: {said} is ") as refused:
        config_of(card)
    assert "\n" not in str(refused.value)


def test_albert_has_the_tanh_form_by_the_name_of_gelu_new():
    assert (
        config_of(ALBERT | {"hidden_act": "gelu_new"}).model.activation == "gelu_tanh"
    )


def test_gpt2_has_four_times_its_width_where_it_is_silent():
    assert config_of(GPT2).model.mlp_dim == 32
    assert config_of(GPT2 | {"n_inner": 20}).model.mlp_dim == 20


def test_buffers_of_old_gpt2_files_are_skipped():
    gpt2 = BY_NAME["GPT-2"]
    config = shaped_as(gpt2)
    ours = params(config=config)
    _, tensors = of_ours(ours, gpt2)
    for layer in range(4):
        tensors[f"h.{layer}.attn.bias"] = np.ones((1, 1, 5, 5), np.float32)
        tensors[f"h.{layer}.attn.masked_bias"] = np.float32(-1e4)
    assert not old_names.is_buffer("h.0.attn.c_attn.bias", gpt2)
    given = {"model_type": "gpt2", "architectures": ["GPT2Model"]}
    again = names.to_ours(tensors, given, config, print)
    assert again["encoder"].keys() == ours["encoder"].keys()


@pytest.mark.parametrize("pad", [0, 1])
def test_positions_of_roberta_begin_after_the_padding(pad):
    card = LIKE_BERT | {"model_type": "roberta", "pad_token_id": pad}
    assert config_of(card).model.max_length == 32 - pad - 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("xlm-roberta", "XLMRobertaForTokenClassification"),
        ("camembert", "CamembertForTokenClassification"),
    ],
)
def test_families_named_otherwise_are_read_as_roberta(kind, name):
    roberta = BY_NAME["RoBERTa"]
    config = shaped_as(roberta)
    ours = params("tag_head", config=config)
    _, tensors = of_ours(ours, roberta)
    given = {"model_type": kind, "architectures": [name], "pad_token_id": 1}
    assert "tag_head" in names.to_ours(tensors, given, config, print)


@pytest.mark.parametrize("family", families.FAMILIES, ids=lambda family: family.name)
def test_a_card_of_ours_says_all_that_it_was_made_of(family):
    config = shaped_as(family)
    config.model.max_length = 24
    name = next(iter(family.classes))
    special = cards.SpecialIds(1, 2, 3)
    made = cards.their_config(config, family, name, [], special, {})
    for first, last in family.ends:
        assert (made[first], made[last]) == (2, 3)
    again = config_of(made)
    fields = {key: value for key, value in config.model.to_dict().items()}
    kept = again.model.to_dict()
    if config.model.positions != "rotary":
        kept.pop("rotary_base"), fields.pop("rotary_base")
    assert kept == fields
    assert again.objective.head == config.objective.head


def test_every_refusal_is_one_line():
    with pytest.raises(UsageError) as refused:
        families.of_card({"model_type": "deberta-v2"})
    assert re.fullmatch(
        r"config.json: model_type is .*only 'bert' .*", str(refused.value)
    )
