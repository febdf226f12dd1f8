"""Special tokens of a tokenizer by their roles, and how they frame a row."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bert_jax.run.exits import UsageError

# The names by which files of BERT and of RoBERTa call a role.
NAMES = {
    "pad": ("[PAD]", "<pad>"),
    "unk": ("[UNK]", "<unk>"),
    "cls": ("[CLS]", "<s>"),
    "sep": ("[SEP]", "</s>"),
    "mask": ("[MASK]", "<mask>"),
}
END = "<|endoftext|>"  # GPT-2's one special token, which has every role but the mask's
PROCESSORS = {
    "BertProcessing": {"sep", "cls"},
    "RobertaProcessing": {"sep", "cls", "trim_offsets", "add_prefix_space"},
    "TemplateProcessing": {"single", "pair", "special_tokens"},
    "ByteLevel": {"add_prefix_space", "trim_offsets", "use_regex"},
    "Sequence": {"processors"},
}


class Frame(NamedTuple):
    """A row CLS A SEP, or CLS A SEP B SEP with so many SEP between A and B."""

    cls: str
    sep: str
    separators: int  # 1 or 2
    pair_type: int  # the type of the tokens of B and of the SEP after it


class Roles(NamedTuple):
    """The special tokens of a tokenizer; mask is "" where there is none."""

    pad: str
    unk: str
    frame: Frame
    mask: str

    @property
    def tokens(self) -> list[str]:
        """The special tokens, each once."""
        named = [self.pad, self.unk, self.frame.cls, self.frame.sep, self.mask]
        return list(dict.fromkeys(filter(None, named)))


def roles(content: Mapping[str, Any], ids: Mapping[str, int], name: str) -> Roles:
    """The roles of the special tokens of a tokenizer.json, whose tokens have these ids.

    The post-processor names CLS and SEP, and the model the unknown token. A role that
    neither names is that of the token that usually has it. Raises UsageError for a
    missing token other than the mask, and for another frame.
    """
    known = {role: _first(names, ids) for role, names in NAMES.items()}
    stated = _unknown(content["model"])
    known["unk"] = known["unk"] if stated is None else stated
    framing = frame(content.get("post_processor"), ids, name)
    if framing is not None:
        known |= {"cls": framing.cls, "sep": framing.sep}
    end = END if END in ids else ""
    known |= {role: known[role] or end for role in ("pad", "unk", "cls", "sep")}
    if missing := [r for r in NAMES if r != "mask" and known[r] not in ids]:
        wanted = [repr(known[role] or NAMES[role][0])[1:-1] for role in missing]
        raise UsageError(f"{name} lacks the special tokens {' '.join(wanted)}")
    framing = framing or Frame(known["cls"], known["sep"], 1, 1)
    return Roles(known["pad"], known["unk"], framing, known["mask"])


def _first(names: tuple[str, ...], ids: Mapping[str, int]) -> str:
    return next((name for name in names if name in ids), "")


def _unknown(model: Mapping[str, Any]) -> str | None:
    """The unknown token that a model names. BPE of bytes needs none."""
    if "unk_id" in model:  # of Unigram, a place in its list
        return "".join(token for token, _ in model["vocab"][model["unk_id"] :][:1])
    token = model.get("unk_token")
    return None if "merges" in model and not token else token


def frame(part: Any, ids: Mapping[str, int], name: str) -> Frame | None:
    """The frame that a post-processor gives a row; None where it adds no token."""
    if part is None:
        return None
    steps = part.get("processors") if part.get("type") == "Sequence" else [part]
    steps = steps if isinstance(steps, list) and all(map(_is_known, steps)) else [{}]
    framing = [step for step in steps if step.get("type") != "ByteLevel"]
    if not framing:
        return None
    found = _processing(framing[0]) or _template(framing[0])
    if len(framing) > 1 or not found or not _has_ids(found, framing[0], ids):
        raise UsageError(
            f"{name}: the post_processor {part.get('type')!r} frames rows otherwise than "
            "CLS A SEP and CLS A SEP B SEP, one SEP or two between A and B, the only "
            "frames known here"
        )
    return found


def _is_known(step: Any) -> bool:
    """Whether a step of a post-processor has a known type, and only its settings."""
    if not isinstance(step, Mapping) or not isinstance(kind := step.get("type"), str):
        return False
    return step.keys() <= {"type", *PROCESSORS.get(kind, ())}


def _processing(part: Mapping[str, Any]) -> Frame | None:
    kinds = {"BertProcessing": (1, 1), "RobertaProcessing": (2, 0)}
    try:
        separators, pair_type = kinds[part["type"]]
        return Frame(part["cls"][0], part["sep"][0], separators, pair_type)
    except (KeyError, TypeError, IndexError):
        return None


def _template(part: Mapping[str, Any]) -> Frame | None:
    """The frame of a template with one or two SEP between A and B."""
    single, pair = (_template_items(part, place) for place in ("single", "pair"))
    if len(single) != 3 or len(pair) not in (5, 6):
        return None
    (cls, _), _, (sep, _) = single
    separators, pair_type = len(pair) - 4, pair[-1][1]
    first = ((cls, 0), ("A", 0), (sep, 0))
    second = ((sep, 0),) * (separators - 1) + (("B", pair_type), (sep, pair_type))
    if single != first or pair != first + second or pair_type not in (0, 1):
        return None
    return Frame(cls, sep, separators, pair_type)


def _template_items(part: Mapping[str, Any], place: str) -> tuple[Any, ...]:
    """The names in a template with their types; () if it is no template."""
    try:
        items = [next(iter(item.values())) for item in part[place]]
        return tuple((item["id"], item["type_id"]) for item in items)
    except (KeyError, TypeError, AttributeError, StopIteration):
        return ()


def _has_ids(found: Frame, part: Mapping[str, Any], ids: Mapping[str, int]) -> bool:
    """Whether a post-processor gives its special tokens the ids of the vocabulary."""
    try:
        if part["type"] == "TemplateProcessing":
            stated = {k: tuple(v["ids"]) for k, v in part["special_tokens"].items()}
        else:
            stated = {part[place][0]: (part[place][1],) for place in ("cls", "sep")}
        return stated == {name: (ids[name],) for name in (found.cls, found.sep)}
    except (KeyError, TypeError, AttributeError, IndexError):
        return False
