"""What a fine-tuned run says of texts, and that evaluation says the same."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import bert_jax
from bert_jax.run.config import UsageError
from bert_jax.tasks import kinds
from bert_jax.tasks.words import Passage, entities, rows_of, split_words
from bert_jax.train import checkpoint, evaluate, session
from tests.running import untrained


def evaluated(workdir: Path) -> tuple[list[Any], list[Any]]:
    """The held-out records of a run, and what evaluation reads of them."""
    parts = session.reopen(workdir)
    step = checkpoint.chosen(workdir, None)
    params = checkpoint.restore_params(workdir, step, parts.param_shapes())
    batches = evaluate.batches(parts, "valid")
    found = evaluate.total(evaluate.compiled(parts), params, batches, lambda: False)
    assert found is not None
    task = kinds.of_config(parts.config, parts.data.labels)
    valid: Any = parts.valid
    said = task.predictions(valid.records, valid.features, found.outputs)
    return valid.records, said


def test_texts_are_classified_as_in_evaluation(classifier):
    records, rows = evaluated(classifier)
    model = bert_jax.load(classifier)
    found = model.classify([record.text for record in records])
    for one, row in zip(found, rows, strict=True):
        by_label = dict(zip(model.reader.labels, row, strict=True))
        assert one.probabilities == pytest.approx(by_label, abs=1e-5)
        chances = list(one.probabilities.values())
        assert chances == sorted(chances, reverse=True)
        assert one.probability == one.probabilities[one.label] == chances[0]


def test_words_are_tagged_as_in_evaluation(tagger):
    records, tags = evaluated(tagger)
    model = bert_jax.load(tagger)
    texts = [" ".join(record.words) for record in records]
    found = model.entities(texts)
    assert any(found)
    for text, here, row in zip(texts, found, tags, strict=True):
        labels = model.reader.labels
        names = [labels[tag] for tag in row.tags]
        spans = split_words(text)
        wanted = entities(text, spans, names, row.probabilities, labels)
        assert [each[:4] for each in here] == [each[:4] for each in wanted]
        np.testing.assert_allclose(
            [each.probability for each in here],
            [each.probability for each in wanted],
            atol=1e-5,
        )


def test_questions_are_answered_as_in_evaluation(answerer):
    records, answers = evaluated(answerer)
    model = bert_jax.load(answerer)
    found = model.answer(
        [record.question for record in records], [record.context for record in records]
    )
    for record, here, wanted in zip(records, found, answers, strict=True):
        assert here[3:] == pytest.approx(wanted[3:], abs=1e-5)
        if wanted.no_answer > 0.5:
            assert here[:3] == ("", -1, -1)
        else:
            assert here[:3] == wanted[:3]
            assert record.context[here.start : here.end] == here.text


def test_a_result_does_not_depend_on_the_company(classifier, tagger, answerer):
    longer = ["the old dog took the long road . " * 3] * 40
    text, context = "My aunt took some bread .", "a farmer took a red stone . " * 4
    model = bert_jax.load(classifier)
    alone, among = (model.classify(x)[0] for x in ([text], [text, *longer]))
    assert alone.probabilities == pytest.approx(among.probabilities, abs=1e-5)
    model = bert_jax.load(tagger)
    [alone], [among, *_] = model.entities([text]), model.entities([text, *longer])
    assert [each[:4] for each in alone] == [each[:4] for each in among]
    assert alone[0].probability == pytest.approx(among[0].probability, abs=1e-5)
    model = bert_jax.load(answerer)
    [alone] = model.answer(["what was taken ?"], [context])
    among = model.answer(["what was taken ?"] * 41, [context, *longer])[0]
    assert alone[:3] == among[:3]
    assert alone[3:] == pytest.approx(among[3:], abs=1e-5)


def test_entities_stand_at_their_characters(tagger):
    texts = [
        "  My aunt\ttook some bread\u00a0.",
        "\U0001f600 (THE KING) saw a red stone!",
    ]
    for text, found in zip(texts, bert_jax.load(tagger).entities(texts), strict=True):
        assert found
        for each in found:
            assert text[each.start : each.end] == each.text == each.text.strip()


def test_a_text_longer_than_a_row_is_read_to_its_end(tagger, capsys):
    model = bert_jax.load(tagger)
    text = "my aunt took some bread . " * 20
    passage = Passage(text, split_words(text))
    rows = rows_of(passage, model.tokenizer, 32)
    assert [word for row in rows for word in row.words] == text.split()
    features = model.reader.features(rows)
    assert features.lost["words cut"] == 0
    assert features.widths.max() <= 32
    assert len(rows) == 4  # of 30 tokens: 5 sentences of 6
    [found] = model.entities([text])
    assert found[-1].end > len(text) - 30
    assert not capsys.readouterr().err


def test_a_row_holds_whole_words_and_at_least_one(tagger):
    model = bert_jax.load(tagger)
    text = "aunt " + "q" * 90 + " dog"
    rows = rows_of(Passage(text, split_words(text)), model.tokenizer, 32)
    assert [row.words for row in rows] in (
        [("aunt", "q" * 90, "dog")],  # one unknown token
        [("aunt",), ("q" * 90,), ("dog",)],
    )
    assert model.entities([text])[0] is not None


def test_no_text_is_no_result_and_an_empty_one_is_one(classifier, tagger, answerer):
    model = bert_jax.load(classifier)
    assert model.classify([]) == []
    assert model.sentence_vectors([]).shape == (0, 16)
    assert model.classify([""])[0].label in model.reader.labels
    model = bert_jax.load(tagger)
    assert model.entities([]) == []
    assert model.entities(["", " "]) == [[], []]
    model = bert_jax.load(answerer)
    assert model.answer([], []) == []
    assert model.answer([""], [""])[0].text == ""


def test_what_is_cut_is_said_once(classifier, capsys):
    model = bert_jax.load(classifier)
    model.classify(["the old dog " * 20, "the king", "a farmer " * 30])
    error = capsys.readouterr().err
    assert error == "warning: texts cut to the 32 tokens of training: 2\n"
    model.classify(["the king"])
    assert not capsys.readouterr().err


def test_another_task_is_refused_by_name(straight, classifier):
    with pytest.raises(UsageError, match="objective.kind=mlm, and .* of classify"):
        bert_jax.load(straight).classify(["The old dog."])
    fine = bert_jax.load(classifier)
    with pytest.raises(UsageError, match="objective.kind=classify, and .* of tag"):
        fine.entities(["The old dog."])
    with pytest.raises(UsageError, match="no masked-LM head"):
        fine.fill_masks(["The [MASK]."])
    with pytest.raises(TypeError, match="give a list of texts"):
        fine.classify("The old dog.")


def test_a_number_is_the_head_s(tiny, straight):
    task = {"objective.kind": "regress"}
    model = untrained(tiny, straight, "classify_head", 1, task)
    numbers = model.regress(["The old dog.", "My aunt."], ["A stone.", "The road."])
    head = model.params["classify_head"]
    pooled = model.pooled(["The old dog.", "My aunt."], ["A stone.", "The road."])
    leaves = {x.ndim: np.asarray(x) for x in jax.tree.leaves(head)}
    wanted = pooled @ leaves[2] + leaves[1]
    np.testing.assert_allclose(numbers, wanted[:, 0], atol=1e-5)
    assert numbers[0] != numbers[1]


def test_choices_are_weighed_whatever_their_order(tiny, straight):
    task = {"objective.kind": "choose", "task.choices": "a,b"}
    model = untrained(tiny, straight, "choice_head", 1, task)
    texts = ["The old dog", "my aunt"]
    choices = [["saw a stone.", "took it.", "lost."], ["found the road.", "a", "b"]]
    found = model.choose(texts, choices)
    again = model.choose(texts[::-1], [own[::-1] for own in choices[::-1]])[::-1]
    for one, other in zip(found, again, strict=True):
        assert sum(one.probabilities) == pytest.approx(1)
        assert (
            one.probability == one.probabilities[one.choice] == max(one.probabilities)
        )
        assert one.probabilities == pytest.approx(other.probabilities[::-1], abs=1e-5)
    with pytest.raises(UsageError, match=r"texts\[1\]: choices: 2, but 3 in the first"):
        model.choose(texts, [["a", "b", "c"], ["a", "b"]])
    with pytest.raises(UsageError, match="two or more"):
        model.choose(texts[:1], [["a"]])


def test_an_imported_model_does_what_its_head_does(tiny, straight):
    plain: dict[str, str] = {}
    model = untrained(tiny, straight, "classify_head", 2, plain)
    assert model.config.objective.kind == "mlm"
    [one] = model.classify(["The old dog."])
    assert set(one.probabilities) == {"a", "b"}
    model = untrained(tiny, straight, "classify_head", 1, plain)
    assert model.regress(["The old dog."]).shape == (1,)
