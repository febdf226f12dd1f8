"""A run, opened for use: what its task says of texts, its masks, vectors, attention."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bert_jax.models import network as networks
from bert_jax.models.layers import EncoderConfig
from bert_jax.models.network import Readout
from bert_jax.predict import batches
from bert_jax.predict.batches import BATCH, filled, finite, power
from bert_jax.predict.reader import Reader
from bert_jax.run import record, rundir
from bert_jax.run.config import UsageError
from bert_jax.tasks import kinds
from bert_jax.tasks.choose import Choose, Chosen
from bert_jax.tasks.classify import Classify
from bert_jax.tasks.records import Choice, NotText, Question, Sentence, texts_of
from bert_jax.tasks.regress import Regress
from bert_jax.tasks.span import Span
from bert_jax.tasks.tag import Tag
from bert_jax.tasks.task import Task
from bert_jax.tasks.windows import Answer
from bert_jax.tasks.words import Found, passage_of
from bert_jax.train import checkpoint, setup


class Filled(NamedTuple):
    """Candidates for one mask, the likeliest first."""

    mask: int  # which mask of the text, from 0
    candidates: list[tuple[str, float]]  # token, probability


class Model:
    """The model of a run at one step, on one device.

    Methods take any number of texts, pad and batch them. Those of tasks, and
    `sentence_vectors`, cut texts to the `data.length` tokens of training; the others to
    the `max_length` positions that there are. A literal [MASK] of a text (or <mask>, as the tokenizer
    has it) is the mask.
    UsageError for what the run was not trained to do.
    """

    def __init__(self, reader: Reader):
        self.reader, self.network, self.params = reader, reader.network, reader.params
        self.config, self.tokenizer = reader.config, reader.tokenizer
        self.step = reader.step
        self.max_length = self.config.model.max_length
        # The widest row that was warned of.
        self._warned_width = self.config.data.length

    def classify(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> list[Any]:
        """The label of each text, or of each text and its pair; of a run of several
        labels a text, all that are likelier than not."""
        return self._read(Classify, _sentences(texts, pairs))

    def regress(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """(B,) float64: the number of each text, or of each text and its pair."""
        return np.array(self._read(Regress, _sentences(texts, pairs)), np.float64)

    def entities(self, texts: Sequence[str]) -> list[list[Found]]:
        """Named entities of each text; where tags mark no chunks, the tag of each word.

        Words are those of words.passage_of. A text that does not fit a row is read in
        several, so that none of it is cut.
        """
        given = texts_of("texts", texts)
        passages = [passage_of(text, self.tokenizer) for text in given]
        return self._read(Tag, passages)

    def answer(self, questions: Sequence[str], contexts: Sequence[str]) -> list[Answer]:
        """The answer to each question, a span of its context.

        If the run knows questions without answer (task.no_answer) and thinks this one
        likelier than not, text is "", start and end are -1; `probability` remains that
        of the best span.
        """
        asked = texts_of("questions", questions)
        pairs = zip(asked, _beside(asked, "contexts", contexts), strict=True)
        return self._read(Span, [Question("", "", *pair, ()) for pair in pairs])

    def choose(
        self, texts: Sequence[str], choices: Sequence[Sequence[str]]
    ) -> list[Chosen]:
        """The best of the choices of each text, as many for one as for another."""
        choice_texts = [
            texts_of(f"choices[{i}]", each) for i, each in enumerate(choices)
        ]
        both = zip(_beside(choice_texts, "texts", texts), choice_texts, strict=True)
        records = [
            Choice(f"texts[{number}]", text, tuple(options), "")
            for number, (text, options) in enumerate(both)
        ]
        return self._read(Choose, records)

    def sentence_vectors(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """(B, D) float32: the mean of the last layer's vectors over a text's tokens,
        special tokens included."""
        vectors = self.reader.means(_sentences(texts, pairs), 1)
        self.reader.warn()
        return vectors

    def _read(self, wanted: type[Task], records: Sequence[Any]) -> list[Any]:
        if not isinstance(self.reader.task, wanted):
            names = [name for name in kinds.KINDS if kinds.kind(name) is wanted]
            raise UsageError(
                f"this run is of objective.kind={self.reader.kind}, and this needs one "
                f"of {names[0]}: load another run"
            )
        results = self.reader.read(records, 1)
        self.reader.warn()
        return results

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """ids and types (B, T), lengths (B,), and character offsets of each token."""
        given = texts_of("texts", texts)
        seconds = None if pairs is None else _beside(given, "pairs", pairs)
        coded = self.tokenizer.encode_inputs(given, seconds, self.max_length, pad=False)
        if cut := sum(coded["cut"]):
            _warn(f"texts cut to the {self.max_length} positions of the run: {cut:,}")
        return coded

    def fill_masks(self, texts: Sequence[str], top: int = 5) -> list[list[Filled]]:
        """The `top` likeliest tokens for each mask of each text.

        Raises UsageError for a text without one, and for a run that was not trained to
        fill masks.
        """
        if self.config.model.attention == "causal":
            raise UsageError("this run is a causal LM: it cannot fill masks")
        if "mlm_head" not in self.network.heads:
            raise UsageError("this run has no masked-LM head: it cannot fill masks")
        if not isinstance(top, int) or top < 1:
            raise UsageError(f"top={top}: ask for one token or more")
        self.tokenizer.check_mask()
        texts = texts_of("texts", texts)
        if not texts:
            return []
        inputs, name = self.encode(texts), self.tokenizer.mask_token
        masked = inputs["ids"] == self.tokenizer.mask_id
        for text, row in zip(texts, masked):
            if not row.any():
                within = f" within {self.max_length} tokens" if name in text else ""
                raise UsageError(f"there is no {name}{within} in {_short(text)!r}")
        width = power(int(masked.sum(1).max(initial=1)))
        positions = np.argsort(~masked, axis=1, kind="stable")[:, :width]
        inputs["positions"] = positions.astype(np.int32)
        logits = self._run(inputs, ("logits",))["logits"]
        chances = np.asarray(jax.nn.softmax(jnp.asarray(logits), axis=-1))
        return [
            [self._filled(mask, chances[row, mask], top) for mask in range(count)]
            for row, count in enumerate(masked.sum(1))
        ]

    def _filled(self, mask: int, chances: np.ndarray, top: int) -> Filled:
        best = np.argsort(-chances, kind="stable")[:top]
        words = self.tokenizer.display_tokens
        return Filled(mask, [(words[i], float(chances[i])) for i in best])

    def hidden_states(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """(L + 1, B, T, D): the embeddings, then the output of each block.

        Positions at or after a row's length are padding and mean nothing.
        """
        return np.stack(self._run(self.encode(texts, pairs), ("states",))["states"])

    def vectors(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """(B, T, D): the encoder's output, the last norm included."""
        return self._run(self.encode(texts, pairs), ("hidden",))["hidden"]

    def pooled(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """(B, D): the pooler's vector of each text.

        Raises UsageError for a run that had no pair loss, and so no pooler.
        """
        if "pooler" not in self.network.heads:
            raise UsageError("this run trained no pooler (objective.pair=none)")
        return self._run(self.encode(texts, pairs), ("pooled",))["pooled"]

    def attention(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> np.ndarray:
        """(L, B, N, T, T): how much each token attends to each, rows summing to 1."""
        weights = self._run(self.encode(texts, pairs), ("attention",))["attention"]
        return np.stack(weights)

    def outputs(self, names: tuple[str, ...], batch: dict[str, Any]) -> dict[str, Any]:
        """The outputs of the network so named, of a batch of rows."""
        return finite(self._read_batch(names, batch), self.step)

    def _read_batch(self, names: tuple[str, ...], batch: dict[str, Any]) -> Any:
        reduce = batches.unreduced
        read = batches.read(self.network, names, reduce, self.params, batch)
        return jax.device_get(read)

    def _run(self, inputs: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        count, width = inputs["ids"].shape
        if width > self._warned_width:
            self._warned_width, seen = width, self.config.data.length
            _warn(f"{width} tokens, but the run saw no position beyond {seen}")
        arrays = {k: v for k, v in inputs.items() if isinstance(v, np.ndarray)}
        more = [(0, 0), (0, min(power(width), self.max_length) - width)]
        for name, filler in (("ids", self.tokenizer.pad_id), ("types", 0)):
            arrays[name] = np.pad(arrays[name], more, constant_values=filler)
        parts = []
        for begin in range(0, max(count, 1), BATCH):  # of no texts, shapes alone
            part = {k: v[begin : begin + BATCH] for k, v in arrays.items()}
            rows = len(part["ids"])
            part = {k: filled(v, min(power(count), BATCH)) for k, v in part.items()}
            outputs = self._read_batch(names, part)
            parts.append(finite(_cut(outputs, rows, width), self.step))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _sentences(texts: Sequence[str], pairs: Sequence[str] | None) -> list[Sentence]:
    firsts = texts_of("texts", texts)
    seconds = [""] * len(firsts) if pairs is None else _beside(firsts, "pairs", pairs)
    return [Sentence("", *both, "") for both in zip(firsts, seconds, strict=True)]


def _beside(others: Sequence[Any], name: str, given: Sequence[str]) -> list[str]:
    """The texts given, checked to be as many as the others."""
    found = texts_of(name, given)
    if len(found) != len(others):
        raise NotText(f"{name}: {len(found)}, but {len(others)} of what goes with them")
    return found


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)


def _cut(outputs: dict, rows: int, width: int) -> dict:
    def cut(name, array):
        array = array[:rows]
        if name in ("states", "hidden"):
            return array[:, :width]
        return array[..., :width, :width] if name == "attention" else array

    return {
        name: [cut(name, a) for a in value]
        if isinstance(value, list)
        else cut(name, value)
        for name, value in outputs.items()
    }


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def load(workdir: str | Path, step: int | None = None) -> Model:
    """The model of a run at a checkpoint, the newest that verifies by default.

    Raises UsageError if the directory holds no run, or no such step.
    """
    run = Path(workdir)
    config = record.read(run).config
    words = setup.read_tokenizer(run)
    config = setup.resolved(config, words.vocab_size)
    began = rundir.began(run)
    labels, kind = began.get("labels", []), began.get("task", "")
    step = checkpoint.chosen(run, step)
    saved = checkpoint.param_shapes(run, step)
    features = Readout.of(config.objective)
    network = networks.of_params(EncoderConfig(**config.model), saved, features)
    wanted = checkpoint.on_one_device(networks.shapes(network))
    params = checkpoint.restore_params(run, step, wanted)
    return Model(Reader(config, words, network, params, step, labels, kind))
