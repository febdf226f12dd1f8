"""A run, opened for use: encode texts, fill masks, read vectors and attention."""

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import FrozenConfigDict

from bert_jax import checkpoint, rundir, setup, tokenizer
from bert_jax.config import UsageError
from bert_jax.models import network as networks
from bert_jax.models.encoder import EncoderConfig
from bert_jax.models.network import Network
from bert_jax.tokenizer import Tokenizer

BATCH = 32  # sequences in one call of the model


class Filled(NamedTuple):
    """What the model expects in place of one [MASK], the likeliest first."""

    mask: int  # which [MASK] of the text, from 0
    candidates: list[tuple[str, float]]  # piece, probability


class Model:
    """The model of a run at one step, on one device.

    Texts may hold a literal [MASK]. Methods take any number of texts, pad and batch
    them, and cut those that are longer than `max_length` tokens.
    """

    def __init__(
        self,
        config: FrozenConfigDict,
        tokenizer: Tokenizer,
        network: Network,
        params: Any,
        step: int,
    ):
        self.config, self.tokenizer, self.step = config, tokenizer, step
        self.network, self.params = network, params
        self.max_length = config.model.max_length
        self._predict = jax.jit(partial(_outputs, network), static_argnums=0)

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None
    ) -> dict[str, Any]:
        """ids and types (B, T), lengths (B,), and character offsets of each token."""
        if isinstance(texts, str):
            raise TypeError("give a list of texts, not one text")
        return self.tokenizer.encode_inputs(texts, pairs, self.max_length, pad=False)

    def fill_masks(self, texts: Sequence[str], top: int = 5) -> list[list[Filled]]:
        """For each text and each [MASK] in it, the `top` likeliest pieces.

        Raises UsageError for a text without [MASK], and for a run that was not
        trained to fill masks.
        """
        if self.config.model.attention == "causal":
            raise UsageError("this run is a causal LM: it cannot fill masks")
        if "mlm_head" not in self.network.heads:
            raise UsageError("this run has no masked-LM head: it cannot fill masks")
        inputs = self.encode(texts)
        masked = inputs["ids"] == self.tokenizer.mask_id
        for text, row in zip(texts, masked):
            if not row.any():
                within = f" within {self.max_length} tokens" if "[MASK]" in text else ""
                raise UsageError(f"there is no [MASK]{within} in {_short(text)!r}")
        width = int(masked.sum(1).max())
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
        words = self.tokenizer.vocabulary
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

    def _run(self, inputs: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        count, width = inputs["ids"].shape
        seen = self.config.data.length
        if width > seen:
            print(
                f"warning: {width} tokens, but the run saw no position beyond {seen}",
                file=sys.stderr,
            )
        arrays = {k: v for k, v in inputs.items() if isinstance(v, np.ndarray)}
        padded = min(_power(width), self.max_length)
        parts = []
        for begin in range(0, count, BATCH):
            part = {k: v[begin : begin + BATCH] for k, v in arrays.items()}
            rows = len(part["ids"])
            part = _pad(part, min(_power(count), BATCH), padded, self.tokenizer.pad_id)
            outputs = jax.device_get(self._predict(names, self.params, part))
            parts.append(_cut(outputs, rows, width))
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _outputs(network: Network, names: tuple[str, ...], params, batch):
    outputs = networks.predict(network, params, batch)
    return {name: outputs[name] for name in names}


def _power(size: int) -> int:
    """The next power of two: few shapes, few compilations."""
    return 1 << max(size - 1, 0).bit_length()


def _pad(batch: dict, rows: int, width: int, pad_id: int) -> dict:
    def pad(name, array):
        more = [(0, rows - len(array))] + [(0, 0)] * (array.ndim - 1)
        if name in ("ids", "types"):
            more[1] = (0, width - array.shape[1])
        return np.pad(array, more, constant_values=pad_id if name == "ids" else 0)

    return {name: pad(name, array) for name, array in batch.items()}


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
    config = setup.read_config(run)
    words = tokenizer.load(run / rundir.TOKENIZER, config.tokenizer.lowercase)
    config = setup.resolved(config, words.vocab_size)
    step = checkpoint.chosen(run, step)
    saved = checkpoint.param_shapes(run, step)
    network = networks.of_params(EncoderConfig(**config.model), saved)
    wanted = checkpoint.on_one_device(networks.shapes(network))
    params = checkpoint.restore_params(run, step, wanted)
    return Model(config, words, network, params, step)


def main(workdir: Path, step: int | None, texts: list[str], as_json: bool) -> int:
    """Fill the masks of the texts, or of the lines of standard input."""
    model = load(workdir, step)
    for batch in _batches(texts or (line.rstrip("\n") for line in sys.stdin)):
        for text, filled in zip(batch, model.fill_masks(batch)):
            print(_as_json(text, filled) if as_json else _as_table(text, filled))
    return 0


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for line in lines:
        if line.strip():
            batch.append(line)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _as_json(text: str, filled: list[Filled]) -> str:
    masks = [
        [{"token": token, "probability": chance} for token, chance in mask.candidates]
        for mask in filled
    ]
    return json.dumps({"text": text, "masks": masks}, ensure_ascii=False)


def _as_table(text: str, filled: list[Filled]) -> str:
    lines = [text]
    for mask in filled:
        words = [f"{token} {100 * chance:.1f} %" for token, chance in mask.candidates]
        lines.append(f"  {mask.mask + 1}. " + "   ".join(words))
    return "\n".join(lines)
