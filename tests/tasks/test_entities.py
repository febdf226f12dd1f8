"""Entities of tags, against the rules of conlleval and cases by hand."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.tasks import entities
from bert_jax.tasks.entities import Entity

# Every prefix after every other, in sequence legal or not.
TAGS = st.lists(
    st.sampled_from(["O"] + [f"{prefix}-{kind}" for prefix in "BIES" for kind in "XY"]),
    max_size=12,
)
PAIR = TAGS.flatmap(
    lambda gold: st.tuples(
        st.just(gold), TAGS.map(lambda tags: (tags + ["O"] * len(gold))[: len(gold)])
    )
)
PAIRS = st.lists(PAIR, min_size=1, max_size=6)


def found(tags: str) -> list[tuple[str, int, int]]:
    return [tuple(entity) for entity in entities.from_tags(tags.split())]


def iob2(spans: list[Entity], length: int) -> list[str]:
    tags = ["O"] * length
    for kind, start, end in spans:
        tags[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    return tags


@pytest.mark.parametrize(
    ("tags", "want"),
    [
        ("", []),
        ("O O", []),
        ("B-X I-X O B-Y", [("X", 0, 2), ("Y", 3, 4)]),
        ("B-X I-X I-X", [("X", 0, 3)]),  # to the end of the sentence
        ("B-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),  # neighbours of one type
        ("B-X B-Y", [("X", 0, 1), ("Y", 1, 2)]),
        # IOB1: B- only between neighbours of one type
        ("I-X I-X O I-X", [("X", 0, 2), ("X", 3, 4)]),
        ("I-X B-X I-X", [("X", 0, 1), ("X", 1, 3)]),
        ("I-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),
        # illegal in IOB2
        ("O I-X I-X", [("X", 1, 3)]),
        ("B-X I-Y I-Y", [("X", 0, 1), ("Y", 1, 3)]),
        ("B-X I-Y I-X", [("X", 0, 1), ("Y", 1, 2), ("X", 2, 3)]),
        # BIOES
        ("S-X B-X E-X S-X", [("X", 0, 1), ("X", 1, 3), ("X", 3, 4)]),
        ("B-X I-X E-X O S-Y", [("X", 0, 3), ("Y", 4, 5)]),
        # illegal in BIOES
        ("E-X I-X E-X", [("X", 0, 1), ("X", 1, 3)]),
        ("S-X I-X", [("X", 0, 1), ("X", 1, 2)]),
        ("S-X E-X", [("X", 0, 1), ("X", 1, 2)]),
        ("E-X E-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X E-Y", [("X", 0, 1), ("Y", 1, 2)]),
        ("B-X S-X I-X", [("X", 0, 1), ("X", 1, 2), ("X", 2, 3)]),
        ("B-X O E-X", [("X", 0, 1), ("X", 2, 3)]),
        # types with hyphens, or that look like prefixes
        ("B-creative-work I-creative-work", [("creative-work", 0, 2)]),
        (
            "B-creative-work I-creative-box",
            [("creative-work", 0, 1), ("creative-box", 1, 2)],
        ),
        ("B-O I-O O", [("O", 0, 2)]),
    ],
)
def test_tags_are_read_as_conlleval_reads_them(tags, want):
    assert found(tags) == want


# As in the script, with S- as in its successors: one table of ends, one of starts.
def conlleval_ends(before: str, kind_before: str, prefix: str, kind: str) -> bool:
    if before in ("E", "S"):
        return True
    if before in ("B", "I") and prefix in ("B", "S", "O"):
        return True
    return before != "O" and kind_before != kind


def conlleval_starts(before: str, kind_before: str, prefix: str, kind: str) -> bool:
    if prefix in ("B", "S"):
        return True
    if before in ("E", "S", "O") and prefix in ("E", "I"):
        return True
    return prefix != "O" and kind_before != kind


@given(TAGS)
def test_one_rule_is_the_table_of_starts_and_ends(tags):
    before, kind_before, start, want = "O", "", 0, []
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, kind = tag.partition("-")
        if conlleval_ends(before, kind_before, prefix, kind):
            want.append((kind_before, start, position))
        if conlleval_starts(before, kind_before, prefix, kind):
            start = position
        before, kind_before = prefix, kind
    assert entities.from_tags(tags) == want


@given(TAGS)
def test_legal_tags_of_entities_are_read_back(tags):
    spans = entities.from_tags(tags)
    assert entities.from_tags(iob2(spans, len(tags))) == spans


@given(TAGS)
def test_entities_follow_each_other_and_cover_all_but_o(tags):
    spans = entities.from_tags(tags)
    covered = [place for _, start, end in spans for place in range(start, end)]
    assert covered == [place for place, tag in enumerate(tags) if tag != "O"]


def test_tags_of_another_form_are_named():
    tags = ["O", "PER", "o", "B-", "-X", "O-X", "PER", "Q"]
    with pytest.raises(ValueError, match="^tags '-X', 'B-', 'O-X', 'PER', 'Q', 'o': "):
        entities.from_tags(tags, ["O", "B-X", "I-X"])


@pytest.mark.parametrize(
    ("labels", "tags", "want"),
    [
        ("O B I", "I B I I B O", [("", 0, 1), ("", 1, 4), ("", 4, 5)]),
        ("B I E S", "S B I E B", [("", 0, 1), ("", 1, 4), ("", 4, 5)]),
        ("B M E W O", "W B M E O", [("", 0, 1), ("", 1, 4)]),
        ("O B-X I-X L-X U-X", "U-X B-X L-X B-X I-X L-X", [("X", i, j) for i, j in ((0, 1), (1, 3), (3, 6))]),
        ("O B_X I_X", "B_X I_X O", [("X", 0, 2)]),
        ("O PER LOC", "PER PER O PER LOC", [("PER", 0, 2), ("PER", 3, 4), ("LOC", 4, 5)]),
        ("O PER X [CLS]", "[CLS] PER X PER", [("PER", 1, 2), ("PER", 3, 4)]),
        ("X O", "X X O X", [("X", 0, 2), ("X", 3, 4)]),
        ("O B-X I-X X [CLS] [SEP] [PAD]", "[CLS] B-X X I-X [SEP]", [("X", 1, 2), ("X", 3, 4)]),
    ],
)  # fmt: skip
def test_sets_of_labels_are_known_by_their_form(labels, tags, want):
    """FAULTS 22"""
    assert [tuple(x) for x in entities.from_tags(tags.split(), labels.split())] == want


@pytest.mark.parametrize(
    "labels",
    ["PER LOC", "O PER S", "NOUN VERB X", "O B-X PER", "O B PER", "O B B-X", "b-x i-x"],
)
def test_other_sets_mark_no_entities(labels):
    assert entities.marks(labels.split()) is None


@given(TAGS)
def test_bilou_is_bioes(tags):
    """FAULTS 22"""
    other = [tag.replace("E-", "L-").replace("S-", "U-") for tag in tags]
    assert entities.from_tags(other) == entities.from_tags(tags)


def test_entities_without_a_type_are_scored():
    """FAULTS 22"""
    gold, said = (
        [list("OBIO"), list("BO"), list("OO")],
        [list("OBIO"), *[list("OO")] * 2],
    )
    total, by_type = entities.score(gold, said)
    assert total[:3] == pytest.approx((1, 1 / 2, 2 / 3))
    assert by_type == {"": total}


def test_scores_by_hand():
    gold = ["B-X I-X O B-Y", "B-X B-X O"]
    # one X right, one with another end, the Y with another type, one X too many
    predicted = ["B-X I-X O B-X", "B-X I-X B-X"]
    total, by_type = entities.score(
        [tags.split() for tags in gold], [tags.split() for tags in predicted]
    )
    assert total == pytest.approx((1 / 4, 1 / 4, 1 / 4, 1, 4, 4))
    assert list(by_type) == ["X", "Y"]
    assert by_type["X"] == pytest.approx((1 / 4, 1 / 3, 2 / 7, 1, 4, 3))
    assert by_type["Y"] == (0, 0, 0, 0, 0, 1)


def test_a_sentence_ends_its_entities():
    apart = entities.score([["B-X"], ["I-X"]], [["B-X"], ["B-X"]])[0]
    assert (apart.f1, apart.gold) == (1, 2)
    together = entities.score([["B-X", "I-X"]], [["B-X", "B-X"]])[0]
    assert (together.f1, together.gold, together.predicted) == (0, 1, 2)


def test_schemes_may_differ():
    gold = ["I-X", "I-X", "B-X", "O"]
    assert entities.score([gold], [["B-X", "E-X", "S-X", "O"]])[0].f1 == 1
    assert entities.score([gold], [["B-X", "I-X", "B-X", "O"]])[0].f1 == 1


def test_no_entities_score_nothing():
    total, by_type = entities.score([["O", "O"], []], [["O", "O"], []])
    assert total == (0, 0, 0, 0, 0, 0)
    assert by_type == {}
    assert entities.score([["O"]], [["B-X"]])[0] == (0, 0, 0, 0, 1, 0)
    assert entities.score([["B-X"]], [["O"]])[0] == (0, 0, 0, 0, 0, 1)


def test_lengths_that_differ_are_named():
    with pytest.raises(ValueError, match="sentence 2: 1 tags predicted of 2"):
        entities.score([["O"], ["O", "O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="1 sentences predicted of 2"):
        entities.score([["O"], ["O"]], [["O"]])
    with pytest.raises(ValueError, match="no sentences"):
        entities.score([], [])


@given(PAIRS)
def test_scores_agree_with_matching_one_by_one(case):
    gold, predicted = map(list, zip(*case, strict=True))
    total, by_type = entities.score(gold, predicted)
    correct = 0
    for here, there in case:
        for entity in entities.from_tags(here):
            correct += any(entity == other for other in entities.from_tags(there))
    wanted = sum(len(entities.from_tags(tags)) for tags in gold)
    offered = sum(len(entities.from_tags(tags)) for tags in predicted)
    precision = correct / offered if offered else 0
    recall = correct / wanted if wanted else 0
    f1 = 2 * precision * recall / (precision + recall) if correct else 0
    assert total == pytest.approx((precision, recall, f1, correct, offered, wanted))
    counts = [row[3:] for row in by_type.values()]
    assert tuple(map(sum, zip(*counts, strict=True))) == (total[3:] if counts else ())


@given(PAIRS, st.integers(0, 99))
def test_order_of_sentences_changes_nothing(case, seed):
    shuffled = random.Random(seed).sample(case, len(case))
    want = entities.score(*zip(*case, strict=True))
    assert entities.score(*zip(*shuffled, strict=True)) == want


@given(PAIRS)
def test_gold_and_predicted_change_places_as_precision_and_recall_do(case):
    gold, predicted = zip(*case, strict=True)
    one, other = entities.score(gold, predicted)[0], entities.score(predicted, gold)[0]
    assert (one.precision, one.recall, one.f1) == (
        other.recall,
        other.precision,
        other.f1,
    )


@given(st.lists(TAGS, min_size=1))
def test_perfect_predictions_score_one(gold):
    total, by_type = entities.score(gold, gold)
    assert total[:3] == (1, 1, 1) if by_type else (0, 0, 0)
    assert {row.f1 for row in by_type.values()} <= {1}
