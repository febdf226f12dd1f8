"""Likelihoods of sentences, token by token, and preferences between two sentences."""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bert_jax.inspect.draw.finding import Finding, Part, Picture, Pictures
from bert_jax.inspect.score import likelihood, minimal_pairs, shading
from bert_jax.inspect.score.likelihood import Likelihood
from bert_jax.inspect.score.minimal_pairs import Pair
from bert_jax.predict.model import Model
from bert_jax.render.document import Grid
from bert_jax.run.config import UsageError
from bert_jax.tasks import records

DRAWN = 12  # texts whose tokens the page shows
LISTED = 500  # texts in the table of the page
SHOWN = 60  # characters of a text
SHADES = (
    "Below each token is its probability in percent; the less likely it is, the darker."
)
PSEUDO = (
    "A masked LM gives no probability of a sentence: the pseudo-log-likelihood adds up "
    "the logarithms of what each token gets when it alone is masked and all others are "
    "seen (Salazar et al. 2020, equation 1). It orders sentences under one run; it is "
    "no likelihood, and not to be compared with one, nor between vocabularies."
)
CAUSAL = (
    "The run reads left to right: the log-likelihood of a text adds up the logarithms "
    "of what each token gets after those before it. Runs with unlike vocabularies "
    "cannot be compared token by token."
)
ABOUT = (
    "Logarithms are natural. A longer text is less likely in all, so texts of unlike "
    "lengths are compared per token; rare words weigh as much as wrong ones. Tokens "
    "outside the vocabulary, which training never predicts, have no number and count "
    "for nothing."
)
PIECES = (
    "The tokens of a split word give each other away, which flatters rare words; "
    "`--within=word` masks the rest of the word too (Kauf & Ivanova 2023)."
)
WORDS = (
    "With a token those that follow in its word are masked too, lest they give it "
    "away (PLL-word-l2r of Kauf & Ivanova 2023)."
)


class ScoredText(NamedTuple):
    where: str  # "TEXT 2" or "FILE, line N"
    text: str


class ScoreRequest(NamedTuple):
    """A request for scores. within: "piece" or "word", as in likelihood.of_texts."""

    texts: list[ScoredText]
    pairs: list[Pair]
    within: str


def request(args: argparse.Namespace, overrides: Mapping[str, str]) -> ScoreRequest:
    """Read the texts of the command line and of --file, and the pairs. UsageError where
    there is nothing to score, and for an empty text."""
    texts = list(_texts(args.texts, args.file))
    pairs = [
        pair for path in args.pairs for pair in minimal_pairs.read(Path(path), args.by)
    ]
    if args.by and not args.pairs:
        raise UsageError(f"--by={args.by} names a key of --pairs: give these too")
    if not texts and not pairs:
        raise UsageError("nothing to score: give TEXT, --file=FILE or --pairs FILE")
    return ScoreRequest(texts, pairs, args.within)


def _texts(texts: Sequence[str], file: str) -> Iterator[ScoredText]:
    given = [ScoredText(f"TEXT {i}", text) for i, text in enumerate(texts, 1)]
    if file:
        lines = enumerate(records.lines(Path(file), "utf-8"), 1)
        given += [ScoredText(f"{file}, line {i}", line) for i, line in lines]
    for where, text in given:
        if not text.strip():
            raise UsageError(f"{where}: no text to score")
        yield ScoredText(where, records.encodable(where, text))


def find(model: Model, request: ScoreRequest) -> Finding:
    """Score texts and pairs. UsageError for a run that predicts no tokens, and for a
    text without a known token."""
    likelihood.check(model, request.within)
    pairs, count = request.pairs, len(request.pairs)
    texts = [
        *(ScoredText(pair.where, pair.good) for pair in pairs),
        *(ScoredText(pair.where, pair.bad) for pair in pairs),
        *request.texts,
    ]
    likelihoods = likelihood.of_texts(
        model, [each.text for each in texts], request.within
    )
    for (where, text), each in zip(texts, likelihoods, strict=True):
        if not each.count:
            raise UsageError(f"{where}: the run knows no token of {_short(text)!r}")
    good, bad, single = (
        likelihoods[:count],
        likelihoods[count : 2 * count],
        likelihoods[2 * count :],
    )
    findings = []
    if pairs:
        unread = np.array([g.unread + b.unread for g, b in zip(good, bad, strict=True)])
        totals = _totals(good), _totals(bad)
        findings.append(minimal_pairs.readable_finding(pairs, *totals, unread))
    if single:
        findings.append(
            _text_finding(request.texts, single, likelihood.is_causal(model))
        )
    return Finding(
        " ".join(each.question for each in findings),
        " ".join([*(each.answer for each in findings), *_caveats(model, likelihoods)]),
        [*_about(model, request.within), *(x for each in findings for x in each.about)],
        [fact for each in findings for fact in each.facts],
        [part for each in findings for part in each.parts],
        {k: v for each in findings for k, v in each.arrays.items()},
        {k: v for each in findings for k, v in each.scores.items()},
    )


def _about(model: Model, within: str) -> list[str]:
    if likelihood.is_causal(model):
        return [CAUSAL, ABOUT]
    return [PSEUDO, WORDS if within == "word" else PIECES, ABOUT]


def _caveats(model: Model, likelihoods: Sequence[Likelihood]) -> list[str]:
    """Notes on cut, long or unknown texts, one for each kind that occurs."""
    seen, most = model.config.data.length, model.max_length
    counts = {
        f"Texts cut to the {most} positions of the run": [
            x.cut > 0 for x in likelihoods
        ],
        f"Texts longer than the {seen} tokens that it was trained on": [
            len(each.pieces) + 2 > seen for each in likelihoods
        ],
        "Tokens outside the vocabulary, which count for nothing": [
            len(each.logs) - each.count for each in likelihoods
        ],
    }
    return [f"{note}: {sum(n):,}." for note, n in counts.items() if any(n)]


def _text_finding(
    texts: Sequence[ScoredText], likelihoods: Sequence[Likelihood], causal: bool
) -> Finding:
    pseudo = "" if causal else "pseudo-"
    table = [*_omission_note(LISTED, len(texts)), _table(texts, likelihoods, pseudo)]
    drawn = Pictures(_pictures(texts[:DRAWN], likelihoods[:DRAWN]))
    return Finding(
        "How likely are these texts?" if len(texts) > 1 else "How likely is this text?",
        _answer(texts, likelihoods, pseudo),
        [],
        [f"texts: {len(texts):,}"],
        [
            Part("Texts" if len(texts) > 1 else "The text", [SHADES, drawn, *table]),
            Part("The numbers of every token", _token_table(likelihoods)),
        ],
        arrays(texts, likelihoods),
        {"log-likelihood per token/mean": mean(likelihoods)},
    )


def mean(found: Sequence[Likelihood]) -> float:
    """The mean log-probability of a token, over the tokens of all texts.

    exp(-mean) is the perplexity, or of a masked LM the pseudo-perplexity of a corpus
    (Salazar et al. 2020).
    """
    return sum(each.total for each in found) / sum(each.count for each in found)


def _totals(likelihoods: Sequence[Likelihood]) -> np.ndarray:
    return np.array([each.total for each in likelihoods], np.float64)


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= SHOWN else flat[: SHOWN - 1] + "…"


def _answer(
    texts: Sequence[ScoredText], likelihoods: Sequence[Likelihood], pseudo: str
) -> str:
    tokens = sum(each.count for each in likelihoods)
    average = (
        f"A token gets {nats(mean(likelihoods))} nats on average, a {pseudo}perplexity "
        f"of {np.exp(-mean(likelihoods)):,.1f} over {tokens:,} tokens."
    )
    if len(likelihoods) == 1:
        return f"{average} In all it is {nats(likelihoods[0].total)}."
    best = max(range(len(likelihoods)), key=lambda number: likelihoods[number].mean)
    worst = min(range(len(likelihoods)), key=lambda number: likelihoods[number].mean)
    return (
        f"{average} Per token the likeliest of {len(likelihoods):,} texts is “"
        f"{_short(texts[best].text)}” ({nats(likelihoods[best].mean)}), the least "
        f"likely “{_short(texts[worst].text)}” ({nats(likelihoods[worst].mean)})."
    )


def _table(
    texts: Sequence[ScoredText], likelihoods: Sequence[Likelihood], pseudo: str
) -> Grid:
    rows = [
        (
            str(number),
            _short(text),
            _count(each),
            nats(each.total),
            nats(each.mean),
            f"{np.exp(-each.mean):,.1f}",
        )
        for number, ((_, text), each) in enumerate(
            zip(texts, likelihoods, strict=True), 1
        )
    ]
    names = f"{pseudo}log-likelihood", "per token", f"{pseudo}perplexity"
    return Grid(("", "text", "tokens", *names), "rlrrrr", rows[:LISTED], -1)


def _count(likelihood: Likelihood) -> str:
    """The number of scored tokens, and of all tokens if it is larger."""
    return (
        f"{likelihood.count} of {likelihood.count + likelihood.unread}"
        if likelihood.unread
        else f"{likelihood.count}"
    )


def _pictures(
    texts: Sequence[ScoredText], likelihoods: Sequence[Likelihood]
) -> list[Picture]:
    """The shaded texts, and the log-probabilities of a single text."""
    pictures = [
        shading.shaded_text(f"text_{number}", text, each, f"{number}. {_numbers(each)}")
        for number, ((_, text), each) in enumerate(
            zip(texts, likelihoods, strict=True), 1
        )
    ]
    if len(likelihoods) == 1:
        pictures.append(shading.course("course", likelihoods[0]))
    return pictures


def _numbers(likelihood: Likelihood) -> str:
    total, mean = nats(likelihood.total), nats(likelihood.mean)
    return f"{total} nats in {likelihood.count} tokens, {mean} a token"


def _token_table(likelihoods: Sequence[Likelihood]) -> list[Any]:
    """The table of tokens, after a note on the texts that it omits."""
    rows = [
        (str(number), token, *_token_cells(log))
        for number, each in enumerate(likelihoods[:DRAWN], 1)
        for token, log in zip(each.pieces, each.logs, strict=True)
    ]
    header = ("text", "token", "probability", "log-probability")
    return [*_omission_note(DRAWN, len(likelihoods)), Grid(header, "rlrr", rows, -1)]


def _omission_note(shown: int, count: int) -> list[str]:
    """A note on the texts that the page omits, if any."""
    left = f"The first {shown} of {count:,} texts; score.npz has all."
    return [left] if count > shown else []


def nats(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _token_cells(log: float) -> tuple[str, str]:
    if np.isnan(log):
        return "unknown", ""
    return f"{100 * np.exp(log):.3g} %", nats(log)


def arrays(
    texts: Sequence[ScoredText], found: Sequence[Likelihood]
) -> dict[str, np.ndarray]:
    """The arrays of the .npz: texts, totals and counts (n,) of n texts.

    tokens and logs are those of all texts, concatenated; text i has the slice from
    starts[i] to starts[i + 1] of them, with starts (n + 1,).
    """
    return {
        "texts": np.array([each.text for each in texts]),
        "totals": _totals(found),
        "counts": np.array([each.count for each in found]),
        "logs": np.concatenate([each.logs for each in found]),
        "starts": np.cumsum([0, *(len(each.logs) for each in found)]),
        "tokens": np.array([token for each in found for token in each.pieces]),
    }
