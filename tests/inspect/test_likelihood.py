"""Log-probabilities of batches equal those of a loop of single, unpadded rows."""

import copy

import numpy as np
import pytest

from bert_jax.inspect.score import likelihood
from bert_jax.run.config import UsageError
from tests import running

TEXTS = [
    "My aunt found the quiet house.",
    "bread",
    "The king wanted bread unwantedly.",
]
CAUSAL = {
    "model.attention": "causal",
    "objective.kind": "clm",
    "objective.pair": "none",
    "data.pairs": "single",
}


UNKNOWN = ["the king", "the ☃ king", "☃ ☃"]
SPECIAL = "the [MASK] king [SEP]"


@pytest.fixture(scope="module")
def masked(tiny, straight):
    return running.untrained(tiny, straight, "mlm_head", 0, {})


@pytest.fixture(scope="module")
def causal(tiny, straight):
    return running.untrained(tiny, straight, "mlm_head", 0, CAUSAL)


@pytest.fixture(scope="module")
def found(masked):
    """Of all texts by `within`: rows of several batches, the last not full."""
    patch = pytest.MonkeyPatch()
    patch.setattr(likelihood, "TOKENS", 256)
    texts = [*TEXTS, *UNKNOWN, SPECIAL, "BREAD", *TEXTS]
    numbers = {
        within: dict(enumerate(likelihood.of_texts(masked, texts, within)))
        for within in likelihood.WITHIN
    }
    patch.undo()
    return numbers


def logs_of(model, ids: list[int], positions: list[int]) -> np.ndarray:
    """(P, V) float64: log-probabilities at places of one row."""
    row = np.array([ids], np.int32)
    batch = {"ids": row, "types": np.zeros_like(row), "lengths": np.array([len(ids)])}
    batch["positions"] = np.array([positions], np.int32)
    logits = model.outputs(("logits",), batch)["logits"][0].astype(np.float64)
    logits -= logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def one_by_one(model, text: str, within: str) -> list[float]:
    words = model.tokenizer
    ids = [words.cls_id, *words.encode(text).ids, words.sep_id]
    found = []
    for place in range(1, len(ids) - 1):
        hidden, after = list(ids), place + 1
        hidden[place] = words.mask_id
        while within == "word" and words.continuation[ids[after]]:
            hidden[after] = words.mask_id
            after += 1
        found.append(logs_of(model, hidden, [place])[0, ids[place]])
    return found


@pytest.mark.parametrize("within", likelihood.WITHIN)
def test_a_masked_lm_equals_a_loop(masked, found, within):
    for number, text in enumerate(TEXTS):
        each, expected = found[within][number], one_by_one(masked, text, within)
        assert each.pieces == masked.tokenizer.encode(text).tokens
        np.testing.assert_allclose(each.logs, expected, atol=1e-5)


def test_later_tokens_of_a_word_are_masked(found):
    alone, within = (found[how][2] for how in likelihood.WITHIN)
    starts = [not piece.startswith("##") for piece in [*alone.pieces, "."]]
    last = np.array(starts[1:])
    assert not last.all()
    np.testing.assert_allclose(alone.logs[last], within.logs[last], atol=1e-6)
    assert (np.abs(alone.logs - within.logs)[~last] > 1e-4).all()


def test_a_causal_lm_needs_one_row(causal):
    words = causal.tokenizer
    for text, each in zip(TEXTS[1:], likelihood.of_texts(causal, TEXTS[1:], "piece")):
        ids = [words.cls_id, *words.encode(text).ids]
        count = len(ids) - 1
        logs = logs_of(causal, ids[:-1], list(range(count)))  # without the last
        np.testing.assert_allclose(each.logs, logs[range(count), ids[1:]], atol=1e-5)


def test_equal_pieces_get_equal_numbers_bit_for_bit(found):
    for one, other in [(1, 7), (0, 8), (2, 10)]:
        own = found["piece"]
        np.testing.assert_array_equal(own[one].logs, own[other].logs)


def test_sums_are_over_the_scored_tokens(found):
    known, partly, none = (found["piece"][number] for number in (3, 4, 5))
    assert known.count == len(known.pieces) == len(partly.pieces) - 1
    assert np.isnan(partly.logs).tolist() == [p == "[UNK]" for p in partly.pieces]
    assert partly.total == pytest.approx(np.nansum(partly.logs))
    assert partly.mean == pytest.approx(partly.total / partly.count)
    assert none.count == 0 and none.total == 0 and np.isnan(none.mean)


def test_a_mask_in_a_text_has_no_number(found):
    """As a door for a text alone has it; [SEP] is three words."""
    mask = found["piece"][6]
    assert [piece == "[MASK]" for piece in mask.pieces] == [False, True, *[False] * 4]
    assert np.isnan(mask.logs[1]) and "[SEP]" not in mask.pieces


def test_what_does_not_fit_is_cut_and_counted(masked, monkeypatch):
    def of_rows(model, rows, within):
        assert [len(row) for row in rows] == [model.max_length]  # both are the same
        assert (rows[0][0], rows[0][-1]) == (model.tokenizer.cls_id, words.sep_id)
        return [np.zeros(model.max_length)]

    words, room = masked.tokenizer, masked.max_length - 2
    monkeypatch.setattr(likelihood, "of_rows", of_rows)
    texts = [" ".join(["the"] * count) for count in (room, room + 3)]
    fits, cut = likelihood.of_texts(masked, texts, "piece")
    assert (fits.cut, cut.cut) == (0, 3)
    assert len(cut.pieces) == len(cut.logs) == len(cut.offsets) == room


def test_no_texts_have_no_numbers(masked, causal):
    assert likelihood.of_texts(masked, [], "piece") == []
    assert likelihood.of_texts(causal, [], "piece") == []


def test_what_cannot_be_asked_is_refused(masked, causal):
    classifier = copy.copy(masked)
    classifier.network = masked.network.clone(heads=("classify_head",))
    with pytest.raises(UsageError, match="no masked-LM or causal-LM head"):
        likelihood.of_texts(classifier, TEXTS, "piece")
    with pytest.raises(UsageError, match="--within=word is for masked LMs"):
        likelihood.of_texts(causal, TEXTS, "word")
    with pytest.raises(UsageError, match="neither of piece and word"):
        likelihood.of_texts(masked, TEXTS, "letter")
