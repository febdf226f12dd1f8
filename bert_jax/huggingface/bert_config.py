"""config.json of Hugging Face's BERT and ours, each way, by tables of their keys.

The tables know the keys of transformers 5.23 and of the versions before it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bert_jax.huggingface import keys, names
from bert_jax.huggingface.keys import Keys, Only, Say
from bert_jax.run.config import UsageError

NAME = "config.json"
ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
}
# Ours, theirs, and what they take when config.json is silent (None: it must speak).
FIELDS = (
    ("vocab_size", "vocab_size", None),
    ("num_layers", "num_hidden_layers", None),
    ("model_dim", "hidden_size", None),
    ("num_heads", "num_attention_heads", None),
    ("mlp_dim", "intermediate_size", None),
    ("max_length", "max_position_embeddings", None),
    ("num_types", "type_vocab_size", 2),
    ("norm_epsilon", "layer_norm_eps", 1e-12),
    ("dropout", "hidden_dropout_prob", 0.1),
    ("attention_dropout", "attention_probs_dropout_prob", 0.1),
    ("init_stddev", "initializer_range", 0.02),
)
# The classes of tokenizers that do as BERT's does.
TOKENIZERS = (
    "BertTokenizer",
    "BertTokenizerFast",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
)
PLAIN = "save the weights of a plain BERT in floating point"
ONLY = {
    "model_type": Only(("bert",)),
    "position_embedding_type": Only(("absolute",)),
    "is_decoder": Only((False,)),
    "is_encoder_decoder": Only((False,)),
    "add_cross_attention": Only((False,)),
    "tie_encoder_decoder": Only((False,)),
    "tie_word_embeddings": Only((True, False)),
    "directionality": Only(("bidi",)),
    "pooler_type": Only(("first_token_transform",)),
    "tokenizer_class": Only(TOKENIZERS, "save its tokenizer as one of these"),
    "auto_map": Only((), "it names code of its own, which is not run here: " + PLAIN),
    "custom_pipelines": Only((), "it names code of its own, which is not run here"),
    "quantization_config": Only((), PLAIN),
    "pruned_heads": Only((), PLAIN),
    "per_layer_config": Only((), "every layer is alike here"),
    "problem_type": Only(tuple(names.PROBLEMS)),
}
USED = {theirs for _, theirs, _ in FIELDS} | {
    "architectures",
    "classifier_dropout",
    "hidden_act",
    "id2label",
    "label2id",
    "num_labels",
    "pad_token_id",
}
# Of execution, of old versions, of generation, and of other classes: no output of a BERT
# depends on them.
GENERATION = """
    assistant_early_exit bad_words_ids begin_suppress_tokens bos_token_id
    cross_attention_hidden_size decoder_start_token_id diversity_penalty do_sample
    early_stopping encoder_no_repeat_ngram_size eos_token_id epsilon_cutoff eta_cutoff
    exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id
    length_penalty max_length max_new_tokens min_length no_repeat_ngram_size
    num_beam_groups num_beams num_return_sequences output_scores prefix
    remove_invalid_values repetition_penalty return_dict_in_generate sep_token_id
    suppress_tokens task_specific_params temperature tf_legacy_loss tie_last_hidden_states
    top_k top_p typical_p
"""
IDLE = """
    _attn_implementation _attn_implementation_autoset _attn_implementation_internal
    _commit_hash _experts_implementation_internal _name_or_path _num_labels
    attn_implementation chunk_size_feed_forward dtype experts_implementation
    finetuning_task gradient_checkpointing is_composition language name_or_path
    output_attentions output_hidden_states output_past pooler_fc_size
    pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head return_dict
    summary_activation summary_first_dropout summary_last_dropout
    summary_proj_to_labels summary_type summary_use_proj torch_dtype torchscript
    transformers_version use_bfloat16 use_cache
"""
KEYS = Keys(
    used=frozenset(USED),
    only=ONLY,
    idle=frozenset([*GENERATION.split(), *IDLE.split()]),
)
# What was true of their files alone.
NOT_KEPT = (
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "name_or_path",
    "num_labels",
)
NOT_KEPT += ("torch_dtype", "transformers_version")
# What of ours is not theirs.
OURS_ONLY = {
    "norm": ("post", "pre-LayerNorm"),
    "positions": ("learned", "sinusoidal positions"),
    "attention": ("bidirectional", "causal attention"),
}


def model_fields(card: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """Fields of config.model from a Hugging Face config.json. Raises UsageError."""
    if "model_type" not in card:
        raise UsageError(f"{NAME}: model_type is missing; it must be 'bert'")
    keys.check(KEYS, card, NAME, say)
    fields = {ours: _number(card, theirs, silent) for ours, theirs, silent in FIELDS}
    _check_dropout(card, fields["dropout"], say)
    chosen = card.get("hidden_act", "gelu")
    if not isinstance(chosen, str) or chosen not in ACTIVATIONS:
        keys.refuse(NAME, "hidden_act", chosen, tuple(ACTIVATIONS))
    return {
        **fields,
        "activation": ACTIVATIONS[chosen],
        **{key: value for key, (value, _) in OURS_ONLY.items()},
    }


def _number(card: Mapping[str, Any], key: str, silent: float | None) -> float:
    value = card.get(key, silent)
    number = float if isinstance(silent, float) else int
    if isinstance(value, bool) or not isinstance(value, int | number):
        raise UsageError(f"{NAME}: {key} must be a number, not {value!r}")
    if number is int and value < 1:
        raise UsageError(f"{NAME}: {key} must be at least 1, not {value}")
    try:
        return number(value)
    except OverflowError:
        raise UsageError(f"{NAME}: {key} is a number that is too large") from None


def _check_dropout(card: Mapping[str, Any], dropout: float, say: Say) -> None:
    """The dropout before a classifier; here it is that of the whole model."""
    before = card.get("classifier_dropout")
    if before is None:
        return
    if not (_is_number(before) and 0 <= before < 1):
        raise UsageError(f"{NAME}: classifier_dropout must be a share, not {before!r}")
    if before != dropout:
        say(
            f"{NAME}: classifier_dropout {before} is kept for exports; training from "
            f"this run has model.dropout before a classifier too, here {dropout}"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_expressible(model: Mapping[str, Any]) -> None:
    """Raise UsageError for what of config.model their BERT does not have."""
    for key, (wanted, meaning) in OURS_ONLY.items():
        if model[key] != wanted:
            raise UsageError(
                f"their BERT has no {meaning} (model.{key}={model[key]}): it cannot be "
                "exported"
            )


def kept(card: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of a Hugging Face config.json that a run keeps for its export."""
    known = keys.kept(KEYS, card)
    return {key: value for key, value in known.items() if key not in NOT_KEPT}


def their_config(
    model: Mapping[str, Any],
    name: str,
    labels: Sequence[str],
    pad_id: int,
    kept: Mapping[str, Any],
) -> dict[str, Any]:
    """config.model, an architecture, its classes' labels, and what was kept of the
    config.json that the run was imported from -> their config.json."""
    activations = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    activation = activations[model["activation"]]
    if ACTIVATIONS.get(kept.get("hidden_act", "")) == model["activation"]:
        activation = kept["hidden_act"]
    named = {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    return {
        "position_embedding_type": "absolute",
        "is_decoder": False,
        "add_cross_attention": False,
        **kept,
        "model_type": "bert",
        "tie_word_embeddings": True,
        "architectures": [name],
        **{theirs: model[ours] for ours, theirs, _ in FIELDS},
        "hidden_act": activation,
        **(named if labels else {}),
        "pad_token_id": pad_id,
        "dtype": "float32",
    }


def check_problem(card: Mapping[str, Any], classes: int) -> None:
    """Refuse several numbers a text, of which a head of one class gives one."""
    if card.get("problem_type") == "regression" and classes > 1:
        raise UsageError(
            f"{NAME}: problem_type is 'regression' and the head has {classes} numbers; "
            "only one number a text is known here"
        )


def labels_of(card: Mapping[str, Any], count: int, say: Say) -> list[str]:
    """The names of a head's classes in their config.json, or theirs for unnamed ones.

    Raises UsageError for names that do not tell the classes apart.
    """
    named = _named(card, say) if count else {}
    if beyond := sorted(named.keys() - range(count)):
        raise UsageError(
            f"{NAME}: class {beyond[0]} has a name, but the head has {count} classes"
        )
    if named and (unnamed := count - len(named)):
        say(f"{NAME}: {unnamed} of {count} classes have no name: LABEL_0 and so on")
    labels = [named.get(number, f"LABEL_{number}") for number in range(count)]
    for number, label in enumerate(labels):
        if (first := labels.index(label)) != number:
            raise UsageError(
                f"{NAME}: the classes {first} and {number} are both called {label!r}: "
                "give each a name of its own in id2label"
            )
    return labels


def _named(card: Mapping[str, Any], say: Say) -> dict[int, str]:
    """The name of each class by id2label, or else by label2id."""
    by_name = _object(card, "label2id")
    turned = {_integer(number): label for label, number in by_name.items()}
    by_number = _object(card, "id2label")
    named = {_integer(number): label for number, label in by_number.items()} or turned
    if -1 in named or not all(isinstance(label, str) for label in named.values()):
        raise UsageError(f"{NAME}: id2label must be an object: {{number: name}}")
    if len(named) < len(by_number or by_name):
        raise UsageError(f"{NAME}: id2label or label2id names one class twice")
    if by_name and turned != named:
        say(f"{NAME}: label2id and id2label differ: the names are those of id2label")
    return named


def _integer(number: Any) -> int:
    """A class's number as JSON has it, -1 for what is none."""
    text = "" if isinstance(number, bool) else str(number)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else -1


def _object(card: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = card.get(key) or {}
    if not isinstance(value, Mapping):
        raise UsageError(f"{NAME}: {key} must be an object")
    return value
