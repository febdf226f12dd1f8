import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.data import sentences as module
from bert_jax.data.sentences import sentences


@pytest.mark.parametrize(
    "expected",
    [
        ["One came.", "Two left!", "Did three?", "Yes."],
        # Abbreviations and titles.
        ["Mr. Brown met Dr. A. Gray and Mrs. Hall.", "They spoke."],
        ["See fig. 3 and p. 12, e.g. This one.", "No. 5 is here."],
        ["I said no.", "Then I left."],
        ["It fell on Jan. 5 at St. Albans.", "It rained."],
        ["Apples, pears, etc. were sold."],
        # Initials and acronyms.
        ["J. K. Rowling and J.R.R. Tolkien wrote."],
        ["The U.S. Treasury paid.", "He lived in the U.S.", "The end came."],
        ["Two Ph.D. students met at 5 p.m. Monday.", "It was late."],
        # Quotes and brackets.
        ['He said "Go."', "Then he left."],
        ['"Why?" she asked.', '"Because!"', "'No.'"],
        ["“Come here,” said he.", "“Why?”", "‘Because.’", "(He left.)", "Then…"],
        ['"Stop!" cried the man.', "--Then he ran."],
        # Ellipses.
        ["Wait... what?", "He paused...", "Then he spoke."],
        ["And so … it went on."],
        # Numbers.
        ["It rose 3.5% to $1.13bn in 2004.", "It fell.", "7 men came."],
        # Runs of marks, and none.
        ["What?!", "Really!!!", "Without a mark"],
        ["Größe zählt.", "Élan too.", "Übrigens nicht."],
        # Chinese and Japanese, without spaces.
        ["今天天气很好。", "我们去公园吧！", "你觉得怎么样？", "好"],
        ["他说：“你好！”", "然后走了。"],
        ["「行こう。」", "彼は言った。"],
        ["是吗？！", "对。"],
    ],
    ids=lambda expected: expected[0],
)
def test_sentences_end_where_a_reader_would_end_them(expected):
    chinese = any("\u3000" <= character for character in "".join(expected))
    assert sentences(("" if chinese else " ").join(expected)) == expected


def test_paragraphs_end_sentences():
    assert sentences("A heading\nThe text. More\n\n text") == [
        "A heading",
        "The text.",
        "More",
        "text",
    ]


def test_text_without_capitals_ends_at_marks_alone():
    assert sentences("the cat sat. the dog ran.") == ["the cat sat.", "the dog ran."]


def test_no_text_is_no_sentence():
    assert sentences("") == sentences(" \n\t\n ") == []


def test_endless_sentence_is_cut_at_space():
    words = ["word"] * 3000
    cut = sentences(" ".join(words))
    assert " ".join(cut).split(" ") == words
    assert max(map(len, cut)) <= module.LONGEST
    assert len(cut) == -(-len(" ".join(words)) // module.LONGEST)


def test_a_run_without_a_space_is_cut_anywhere():
    assert list(map(len, sentences("x" * 4500))) == [2000, 2000, 500]


@given(st.text(alphabet=[*"aAb .!?\"'()\n\t", "…", "。", "”", "5", "今", "\u2028"]))
def test_nothing_but_space_is_lost(text):
    found = sentences(text)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(sentence and sentence == sentence.strip() for sentence in found)


@given(st.text(alphabet=[*"a .", "。"], min_size=20))
def test_nothing_is_lost_where_long_runs_are_cut(text):
    found = sentences((text + "b") * 200)
    assert "".join("".join(found).split()) == "".join((text + "b").split()) * 200
    assert all(len(sentence) <= module.LONGEST for sentence in found)
