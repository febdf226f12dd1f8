"""config.json of Hugging Face's families and ours, each way, by tables of their keys.

The tables know the keys of transformers 5.23 and of the versions before it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bert_jax.huggingface import families, keys, names, tokenizer_keys
from bert_jax.huggingface.families import NAME
from bert_jax.huggingface.family.base import Family
from bert_jax.huggingface.keys import CODE, Keys, Only, Say
from bert_jax.run.config import UsageError

PLAIN = "save the weights of a plain model in floating point"
ONLY = {
    "is_decoder": Only((False,)),
    "is_encoder_decoder": Only((False,)),
    "add_cross_attention": Only((False,)),
    "tie_encoder_decoder": Only((False,)),
    "tie_word_embeddings": Only((True, False)),
    "tokenizer_class": tokenizer_keys.ONLY["tokenizer_class"],
    "auto_map": CODE,
    "custom_pipelines": CODE,
    "quantization_config": Only((), PLAIN),
    "pruned_heads": Only((), PLAIN),
    "per_layer_config": Only((), "every layer is alike here"),
    "problem_type": Only(tuple(names.PROBLEMS)),
    "num_key_value_heads": Only((), "heads do not share keys and values here"),
}
USED = {"architectures", "id2label", "label2id", "model_type", "num_labels"}
USED |= {"pad_token_id"}
# Of execution, of old versions, and of generation: no output of a network depends on
# them.
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
    output_attentions output_hidden_states output_past return_dict torch_dtype torchscript
    transformers_version use_bfloat16 use_cache
"""
# What was true of their files alone.
NOT_KEPT = (
    "_commit_hash",
    "_name_or_path",
    "_num_labels",
    "name_or_path",
    "num_labels",
)
NOT_KEPT += ("torch_dtype", "transformers_version")
# The dropout before a classifier, by the names of several families.
BEFORE = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout")


class SpecialIds(NamedTuple):
    """Ids of the padding, and of the first and the last special token of a row."""

    pad: int
    first: int
    last: int


def keys_of(family: Family) -> Keys:
    """The keys of the config.json of a family."""
    fields = {theirs for _, theirs, _ in family.fields}
    idle = [*GENERATION.split(), *IDLE.split(), *family.idle.split()]
    return Keys(
        used=frozenset({*USED, *fields, *family.used, family.activations[0]}),
        only={**ONLY, **family.only},
        idle=frozenset(idle),
    )


def settings(card: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """Dotted keys of our config, of a Hugging Face config.json. Raises UsageError."""
    family = families.of_card(card)
    keys.check(keys_of(family), card, NAME, say)
    fields = {}
    for ours, theirs, silent in family.fields:
        if isinstance(silent, float):
            fields[f"model.{ours}"] = keys.number(NAME, card, theirs, silent)
        else:
            fields[f"model.{ours}"] = keys.integer(NAME, card, theirs, silent)
    if family.offset:
        fields["model.max_length"] -= families.padding(card) + 1
    _check_dropout(card, fields["model.dropout"], say)
    key, known = family.activations
    chosen = card.get(key, next(iter(known)))
    if not isinstance(chosen, str) or chosen not in known:
        keys.refuse(NAME, key, chosen, tuple(known))
    return {
        **{key: value for key, (value, _) in family.fixed.items()},
        **fields,
        **family.read(card),
        "model.activation": known[chosen],
        "objective.pooler": family.pooler or "tanh",
    }


def _check_dropout(card: Mapping[str, Any], dropout: float, say: Say) -> None:
    """The dropout before a classifier; here it is that of the whole model."""
    for key in BEFORE:
        before = card.get(key)
        if before is None:
            continue
        if not (_is_number(before) and 0 <= before < 1):
            raise UsageError(f"{NAME}: {key} must be a share, not {before!r}")
        if before != dropout:
            say(
                f"{NAME}: {key} {before} is kept for exports; training from this run "
                f"has model.dropout before a classifier too, here {dropout}"
            )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def problem_of(family: Family, config: Any) -> str:
    """Name what of our config a family does not have, "" if it can express all."""
    flat = config.to_dict()
    for key, (wanted, meaning) in family.fixed.items():
        group, _, field = key.partition(".")
        if flat[group][field] != wanted:
            return f"{meaning} ({key}={flat[group][field]})"
    activation = config.model.activation
    if activation not in family.activations[1].values():
        return f"such activation (model.activation={activation})"
    typed = any(ours == "num_types" for ours, *_ in family.fields)
    if typed and not config.model.num_types:
        return "model without token types (model.num_types=0)"
    return family.problem(config)


def chosen_family(wanted: str, imported: str, config: Any) -> Family:
    """The family of an export: `wanted`, or that of the import, or else the first that
    can express our config. Raises UsageError."""
    known = {kind: each for each in families.FAMILIES for kind in each.model_types}
    if wanted and wanted not in known:
        raise UsageError(f"--as={wanted}: it must be one of {', '.join(known)}")
    fits = [each for each in families.FAMILIES if not problem_of(each, config)]
    named = known.get(wanted or imported)
    if named and named in fits:
        return named
    if fits and not wanted:
        return fits[0]
    nearest = named or min(families.FAMILIES, key=lambda each: _distance(each, config))
    others = ", ".join(each.model_types[0] for each in fits)
    raise UsageError(
        f"their {nearest.name} has no {problem_of(nearest, config)}: it cannot be "
        "exported" + (f" as one: --as={others}" if others else "")
    )


def _distance(family: Family, config: Any) -> int:
    flat = config.to_dict()
    pairs = ((key.split("."), value) for key, (value, _) in family.fixed.items())
    return sum(flat[group][field] != value for (group, field), value in pairs)


def kept(card: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Keys of a Hugging Face config.json that a run keeps for its export."""
    known = keys.kept(keys_of(family), card)
    return {key: value for key, value in known.items() if key not in NOT_KEPT}


def their_config(
    config: Any,
    family: Family,
    name: str,
    labels: Sequence[str],
    special: SpecialIds,
    kept: Mapping[str, Any],
) -> dict[str, Any]:
    """Our config, a family, its class, the labels of the head, and what was kept of the
    config.json that the run was imported from -> their config.json."""
    key, known = family.activations
    activations = {ours: theirs for theirs, ours in reversed(list(known.items()))}
    activation = activations[config.model.activation]
    if known.get(kept.get(key, "")) == config.model.activation:
        activation = kept[key]
    fields = {theirs: config.model[ours] for ours, theirs, _ in family.fields}
    if family.offset:
        fields["max_position_embeddings"] += special.pad + 1
    named = {
        "id2label": {str(i): label for i, label in enumerate(labels)},
        "label2id": {label: i for i, label in enumerate(labels)},
    }
    absolute = "position_embedding_type" in family.only
    return {
        **({"position_embedding_type": "absolute"} if absolute else {}),
        **{key: special.first for key, _ in family.ends},
        **{key: special.last for _, key in family.ends},
        "is_decoder": False,
        "add_cross_attention": False,
        **kept,
        "model_type": family.model_types[0],
        "tie_word_embeddings": True,
        "architectures": [name],
        **fields,
        key: activation,
        **family.write(config),
        **(named if labels else {}),
        "pad_token_id": special.pad,
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
