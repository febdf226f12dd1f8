"""The log-probability of every token of a text in its place, on the device.

A masked LM sees the whole text but for the token, which is masked: their sum is the
pseudo-log-likelihood, equation 1 of Salazar et al. 2020. A causal LM sees what stands
before the token: their sum is the log-likelihood of the text.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tqdm
from jaxtyping import Array, Float

from bert_jax.predict import batches
from bert_jax.predict.batches import filled, finite, power
from bert_jax.predict.model import Model
from bert_jax.run.config import UsageError
from bert_jax.tasks.examples import rounded
from bert_jax.tasks.features import padded

WITHIN = ("piece", "word")
TOKENS = 1024  # of a batch of masked rows, padding included
PREDICTED = 256  # positions of a batch of a causal run, each with its V logits


class Likelihood(NamedTuple):
    """The n tokens of a text that the model reads, and how likely each is.

    offsets: the characters [start, end) of each. logs: (n,) float64, natural; nan of
    what training never predicts, such as [UNK]. cut: tokens beyond what it can read.
    """

    pieces: list[str]
    offsets: list[tuple[int, int]]
    logs: np.ndarray
    cut: int

    @property
    def count(self) -> int:
        """Number of tokens that have a log-probability."""
        return int(np.isfinite(self.logs).sum())

    @property
    def unread(self) -> int:
        """Number of tokens that have none, or are cut: another text may owe them its lead."""
        return len(self.logs) - self.count + self.cut

    @property
    def total(self) -> float:
        return float(np.nansum(self.logs))

    @property
    def mean(self) -> float:
        """Mean over the tokens that have a log-probability, nan if none has."""
        return self.total / self.count if self.count else np.nan


class ScoringBatch(NamedTuple):
    """A batch, and where in the texts its numbers stand: text and place, (B, P), and
    whether that is wanted."""

    batch: dict[str, np.ndarray]
    text: np.ndarray
    place: np.ndarray
    wanted: np.ndarray


def of_texts(model: Model, texts: Sequence[str], within: str) -> list[Likelihood]:
    """Likelihood of each text, token by token, given the rest of it, or what precedes.

    Texts are read as CLS text SEP, cut to the positions that the model has; those
    of the same tokens get the same numbers, bit for bit. `within` of a masked LM:
    "piece" masks the token alone; "word" also those that follow in its word, lest they
    give it away (PLL-word-l2r of Kauf & Ivanova 2023). UsageError for a run that
    predicts no tokens, and for "word" of a causal run.
    """
    check(model, within)
    words, room = model.tokenizer, model.max_length - 2
    coded = words.encode_batch(texts)
    rows = [tuple(words.framed(each.ids[:room], None)) for each in coded]
    numbers = {row: number for number, row in enumerate(dict.fromkeys(rows))}
    logs = of_rows(model, list(numbers), within)
    return [
        Likelihood(
            [words.display_tokens[i] for i in each.ids[:room]],
            each.offsets[:room],
            logs[numbers[row]][1:-1],
            max(len(each.ids) - room, 0),
        )
        for each, row in zip(coded, rows, strict=True)
    ]


def check(model: Model, within: str) -> None:
    """UsageError for what `of_texts` cannot do with this model."""
    if within not in WITHIN:
        raise UsageError(f"within={within!r} is neither of {' and '.join(WITHIN)}")
    if "mlm_head" not in model.network.heads:
        raise UsageError(
            "this run has no masked-LM or causal-LM head: it gives no token a "
            "probability; name a run of objective.kind=mlm or clm"
        )
    if not is_causal(model):
        model.tokenizer.check_mask()
    if is_causal(model) and within == "word":
        raise UsageError(
            "--within=word is for masked LMs: a causal run sees no later token of a "
            "word; leave it out"
        )


def is_causal(model: Model) -> bool:
    return model.config.model.attention == "causal"


def of_rows(
    model: Model, rows: Sequence[Sequence[int]], within: str
) -> list[np.ndarray]:
    """(T,) float64 of each row of ids, special tokens included: natural logarithms,
    nan of the special tokens."""
    lengths = np.array([len(row) for row in rows], np.int32)
    width = min(rounded(int(lengths.max(initial=1))), model.max_length)
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    tokens = np.fromiter(chain.from_iterable(rows), np.int32)
    numbers = np.arange(len(rows))
    ids = padded(tokens, starts, numbers, width, model.tokenizer.pad_id)
    found = np.full(ids.shape, np.nan)
    wanted = ~model.tokenizer.special[ids]
    jobs = _left_to_right if is_causal(model) else partial(_masked, within=within)
    for job, logs in _run(model, jobs(model, ids, lengths, wanted), int(wanted.sum())):
        log_probs = finite(logs[job.wanted], model.step)
        found[job.text[job.wanted], job.place[job.wanted]] = log_probs
    return [line[:length] for line, length in zip(found, lengths, strict=True)]


def _run(
    model: Model, jobs: Iterator[ScoringBatch], pieces: int
) -> Iterator[tuple[ScoringBatch, np.ndarray]]:
    """The numbers of each job, fetched one late, so that the device need not wait."""
    before = None
    with tqdm.tqdm(
        total=pieces,
        unit="token",
        delay=2,
        mininterval=0.5 if sys.stderr.isatty() else 30,
        dynamic_ncols=True,
        leave=False,
    ) as bar:
        for job in jobs:
            read = batches.read(
                model.network, ("logits",), _log_probs, model.params, job.batch
            )
            after = job, read
            if before is not None:
                yield before[0], np.asarray(before[1])
                bar.update(int(before[0].wanted.sum()))
            before = after
        if before is not None:
            yield before[0], np.asarray(before[1])


def _masked(
    model: Model, ids: np.ndarray, lengths: np.ndarray, wanted: np.ndarray, within: str
) -> Iterator[ScoringBatch]:
    """A row for every token of every text, in which it is masked, from short to long."""
    texts, places = np.nonzero(wanted)
    order = np.argsort(lengths[texts], kind="stable")
    texts, places = texts[order], places[order]
    words = np.cumsum(~model.tokenizer.continuation[ids], axis=1)
    for chosen, width, rows in _batches(model, lengths[texts], TOKENS):
        text, place = filled(texts[chosen], rows), filled(places[chosen], rows)[:, None]
        row, column = ids[text, :width], np.arange(width)[None]
        targets = np.take_along_axis(row, place, axis=1)
        hidden = column == place
        if within == "word":
            in_word = words[text, :width] == words[text[:, None], place]
            hidden |= in_word & (column > place)
        row = np.where(hidden, np.int32(model.tokenizer.mask_id), row)
        batch = _batch(row, lengths[text], place, targets)
        real = np.arange(rows)[:, None] < len(texts[chosen])
        yield ScoringBatch(batch, text[:, None], place, real)


def _left_to_right(
    model: Model, ids: np.ndarray, lengths: np.ndarray, wanted: np.ndarray
) -> Iterator[ScoringBatch]:
    """A row for every text: position t tells the token at t + 1, as in training
    (objectives.pretrain.next_tokens)."""
    texts = np.argsort(lengths, kind="stable")
    for chosen, width, rows in _batches(model, lengths[texts], PREDICTED):
        text = filled(texts[chosen], rows)
        row = ids[text, :width]
        shape = rows, width - 1
        positions = np.broadcast_to(np.arange(width - 1, dtype=np.int32), shape)
        batch = _batch(row, lengths[text], positions, row[:, 1:])
        real = wanted[text, 1:width] & (np.arange(rows)[:, None] < len(texts[chosen]))
        yield ScoringBatch(
            batch, np.broadcast_to(text[:, None], shape), positions + 1, real
        )


def _batches(
    model: Model, lengths: np.ndarray, tokens: int
) -> Iterator[tuple[slice, int, int]]:
    """Rows, sorted by length, that go together, with their width, and to how many
    rows it is filled up: few shapes, as each is compiled."""

    def most(length: int) -> int:
        fit = max(1, tokens // rounded(length))
        return min(power(fit + 1) // 2, power(len(lengths)))

    for chosen in batches.slices(lengths, most):
        width = min(rounded(int(lengths[chosen][-1])), model.max_length)
        yield chosen, width, most(int(lengths[chosen.start]))


def _batch(
    ids: np.ndarray, lengths: np.ndarray, positions: np.ndarray, targets: np.ndarray
) -> dict[str, np.ndarray]:
    arrays = {"positions": positions, "targets": targets, "lengths": lengths}
    arrays |= {"ids": ids, "types": np.zeros_like(ids)}
    return {name: array.astype(np.int32) for name, array in arrays.items()}


def _log_probs(outputs: dict[str, Any], batch: Any) -> Float[Array, "B P"]:
    """Log-probabilities of the targets: no logits leave the device."""
    logs = jax.nn.log_softmax(outputs["logits"].astype(jnp.float32), axis=-1)
    return jnp.take_along_axis(logs, batch["targets"][..., None], axis=-1)[..., 0]
