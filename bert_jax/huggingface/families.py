"""The families of Hugging Face's models that are configs of our encoder."""

from collections.abc import Mapping
from typing import Any

from bert_jax.huggingface import keys
from bert_jax.huggingface.family.albert import ALBERT
from bert_jax.huggingface.family.base import NAME, Family
from bert_jax.huggingface.family.bert import BERT, ELECTRA, MEGATRON, ROBERTA
from bert_jax.huggingface.family.distilbert import DISTILBERT
from bert_jax.huggingface.family.gpt2 import GPT2
from bert_jax.huggingface.family.modernbert import MODERNBERT
from bert_jax.run.config import UsageError

FAMILIES = (BERT, MEGATRON, DISTILBERT, MODERNBERT, GPT2, ALBERT, ELECTRA, ROBERTA)


def padding(card: Mapping[str, Any]) -> int:
    """The padding's id of a config.json whose positions begin after it."""
    return keys.integer(NAME, card, "pad_token_id", 1, least=0)


def of_card(card: Mapping[str, Any]) -> Family:
    """The family of a config.json. Raises UsageError for one that is not known."""
    known = {kind: family for family in FAMILIES for kind in family.model_types}
    if "model_type" not in card:
        raise UsageError(
            f"{NAME}: model_type is missing: add one of {', '.join(known)}"
        )
    kind = card["model_type"]
    if not isinstance(kind, str) or kind not in known:
        keys.refuse(NAME, "model_type", kind, tuple(known))
    return known[kind]
