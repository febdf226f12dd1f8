"""The steps of a prediction, and that they lead to it."""

import re

import pytest

import bert_jax
from bert_jax.predict import explain
from bert_jax.tasks.records import Choice, Question, Sentence
from bert_jax.tasks.words import Passage, split_words
from tests.running import squad, untrained

TEXT = "My aunt took some bread ."


def steps(text: str) -> dict[str, list[str]]:
    """The lines of each step by its title, checked to be numbered from 1."""
    found: dict[str, list[str]] = {}
    for step in re.split(r"\n(?=\d)", text):
        head, *lines = step.split("\n")
        number, _, title = head.partition(". ")
        assert number == str(len(found) + 1)
        found[title] = [line.strip() for line in lines]
    return found


def sentence(text: str, pair: str = "") -> Sentence:
    return Sentence("", text, pair, "")


def test_a_label_is_reached_step_by_step(classifier):
    model = bert_jax.load(classifier)
    [one] = model.classify([TEXT])
    texts, pieces, rows, layers, head, logits, chances = steps(
        explain.explain(model, "classify", sentence(TEXT))
    ).values()
    assert texts == [TEXT]
    assert [line.split()[1] for line in pieces[1:]] == rows[0].split()
    assert rows == ["[CLS] my aunt took some bread . [SEP]"]
    assert pieces[2].split() == ["1", "my", pieces[2].split()[2], "0", "0:2", "My"]
    ids = model.encode([TEXT])["ids"][0]
    assert [int(line.split()[2]) for line in pieces[1:]] == ids.tolist()
    names = [line.split()[0] for line in layers]
    assert names == ["layer", "embeddings", "block_00", "block_01", "final_norm"]
    assert all("(1, 8, 16)" in line for line in layers[1:])
    assert "the pooler" in head[0]
    assert len(logits) == 3
    shown = [line.split()[:2] for line in chances[:3]]
    wanted = [[x, f"{100 * chance:.1f}"] for x, chance in one.probabilities.items()]
    assert shown == wanted
    assert chances[-1] == f"the likeliest is chosen: {one.label}"


def test_characters_are_those_of_either_text(classifier):
    model = bert_jax.load(classifier)
    pair = sentence("My aunt", "took  bread")
    [_, pieces, *_] = steps(explain.explain(model, "classify", pair)).values()
    cells = [line.split() for line in pieces[1:]]
    assert [row[3] for row in cells] == list("0000111")
    assert [row[4:] for row in cells] == [
        [],
        ["0:2", "My"],
        ["3:7", "aunt"],
        [],
        ["0:4", "took"],
        ["6:11", "bread"],
        [],
    ]


def test_tags_are_reached_word_by_word(tagger):
    model = bert_jax.load(tagger)
    text = "(My aunt)  took some bread."
    [found] = model.entities([text])
    passage = Passage(text, split_words(text))
    shown = steps(explain.explain(model, "tag", passage))
    table, marked = list(shown.values())[-2:]
    assert [line.split()[0] for line in table[1:]] == [
        *("(", "My", "aunt", ")", "took", "some", "bread", ".")
    ]
    assert [line.split("  ")[1:3] for line in marked] == [
        [each.text, f"[{each.start}:{each.end}]"] for each in found
    ]
    pieces = [line.split()[4:] for line in list(shown.values())[1][1:] if ":" in line]
    for place, characters in pieces:
        start, end = map(int, place.split(":"))
        assert text[start:end] == characters


def test_rows_of_a_long_text_are_all_shown(tagger):
    model = bert_jax.load(tagger)
    text = "my aunt took some bread . " * 6
    passage = Passage(text, split_words(text))
    shown = list(steps(explain.explain(model, "tag", passage)).values())
    assert shown[1][0].startswith("2 rows")
    assert sum(line.startswith("row ") for line in shown[1]) == 2
    last = [line for line in shown[1] if ":" in line][-1].split()
    start, end = map(int, last[4].split(":"))
    assert (text[start:end], end) == (".", len(text) - 1)
    assert len(shown[2]) == 2


@pytest.mark.parametrize("number", [0, 1])
def test_an_answer_is_the_best_of_spans(answerer, number):
    model = bert_jax.load(answerer)
    paragraph = squad()["data"][0]["paragraphs"][number]
    question, context = "what was taken ?", paragraph["context"]
    [one] = model.answer([question], [context])
    record = Question("", "", question, context, ())
    shown = list(steps(explain.explain(model, "span", record)).values())
    ends, chosen = shown[-2:]
    assert len(ends) == 1 + 5 + 1  # a head, the best, [CLS]
    starts = [float(line.split()[2]) for line in ends[1:6]]
    assert starts == sorted(starts, reverse=True)
    assert ends[-1].split()[0] == "[CLS]"
    assert f"{100 * one.probability:.1f} %" in chosen[0]
    assert f"{100 * one.no_answer:.1f} %" in chosen[1]
    assert ("none" in chosen[1]) == (one.text == "")
    assert shown[1][0].startswith("the context needs")


def test_masks_and_vectors_are_explained_too(straight):
    model = bert_jax.load(straight)
    text = "The king saw [MASK] bread."
    [[filled]] = model.fill_masks([text])
    shown = list(steps(explain.explain(model, "masks", sentence(text))).values())
    assert shown[2] == ["[CLS] the king saw [MASK] bread . [SEP]"]
    token, chance = filled.candidates[0]
    assert f"{token} {100 * chance:.1f} %" in shown[-1][0]
    assert shown[-2][0].startswith(f"at 4:   {token} ")
    [vector] = model.sentence_vectors([TEXT])
    shown = steps(explain.explain(model, "vectors", sentence(TEXT)))
    assert list(shown.values())[-1][0].startswith(f"{vector[0]:.4f} {vector[1]:.4f}")


def test_numbers_and_choices_are_explained_too(tiny, straight):
    task = {"objective.kind": "regress"}
    model = untrained(tiny, straight, "classify_head", 1, task)
    [number] = model.regress([TEXT])
    shown = list(steps(explain.explain(model, "regress", sentence(TEXT))).values())
    assert shown[-2] == [f"the number  {number:.4f}"]
    assert shown[-1] == [f"the number itself, {number:.4f}"]
    task = {"objective.kind": "choose", "task.choices": "a,b"}
    model = untrained(tiny, straight, "choice_head", 1, task)
    choices = ("took bread .", "a stone")
    [one] = model.choose(["My aunt"], [choices])
    record = Choice("", "My aunt", choices, "")
    shown = list(steps(explain.explain(model, "choose", record)).values())
    assert shown[0] == ["My aunt", *choices]
    assert shown[2][1] == "[CLS] my aunt [SEP] a stone [SEP] [PAD]"
    assert shown[-1][-1].endswith(f": {choices[one.choice]}")
    assert shown[-1][0].endswith(f"{100 * one.probability:.1f} %")
