import copy
import json
from pathlib import Path

import pytest

from bert_jax.run.config import UsageError
from bert_jax.tasks.formats.questions import questions
from bert_jax.tasks.records import Question

XQUAD = Path(__file__).parents[4] / "shared/data/xquad/xquad.en.json"
CONTEXT = "Ann saw a cat. The cat ran."
ONE = {
    "id": "q1",
    "question": "What did Ann see?",
    "answers": [
        {"text": "a cat", "answer_start": 8},
        {"text": "cat", "answer_start": 10},
    ],
}
TWO = {"id": "q2", "question": "Who sat?", "answers": [], "is_impossible": True}


def tree():
    paragraphs = [{"context": CONTEXT, "qas": [ONE, TWO]}]
    return copy.deepcopy({"version": "v2.0", "data": [{"paragraphs": paragraphs}]})


def read(folder, value, labelled=True):
    path = folder / "a.json"
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
    return list(questions(path, labelled))


def refused(folder, value, message):
    with pytest.raises(UsageError, match=message) as caught:
        read(folder, value)
    assert "\n" not in str(caught.value)
    assert str(folder / "a.json") in str(caught.value)


def test_questions_are_read_with_their_answers(tmp_path):
    where = f"{tmp_path / 'a.json'}, $.data[0].paragraphs[0].qas"
    answers = ((8, "a cat"), (10, "cat"))
    assert read(tmp_path, tree()) == [
        Question(f"{where}[0]", "q1", ONE["question"], CONTEXT, answers),
        Question(f"{where}[1]", "q2", TWO["question"], CONTEXT, ()),
    ]


def test_unlabelled_questions_have_no_answers(tmp_path):
    value = tree()
    del value["data"][0]["paragraphs"][0]["qas"][0]["answers"]
    assert [q.answers for q in read(tmp_path, value, labelled=False)] == [(), ()]


def test_offsets_count_characters_and_a_mark_is_no_json(tmp_path):
    value = tree()
    paragraph = value["data"][0]["paragraphs"][0]
    paragraph["context"] = "😀" + CONTEXT
    for answer in paragraph["qas"][0]["answers"]:
        answer["answer_start"] += 1
    content = json.dumps(value, ensure_ascii=False).encode("utf-8-sig")
    assert read(tmp_path, content)[0].answers == ((9, "a cat"), (11, "cat"))


def change(path, value):
    """A tree with one value, at a path of keys and numbers, replaced or deleted."""
    changed = node = tree()
    for key in path[:-1]:
        node = node[key]
    if value is None:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return changed


PARAGRAPH = ["data", 0, "paragraphs", 0]
QAS = [*PARAGRAPH, "qas"]
ANSWER = [*QAS, 0, "answers", 0]
AT = r"a.json, \$.data\[0\].paragraphs\[0\]"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["data"], None, r"a.json, \$: no key 'data'; it has 'version'$"),
        (["data"], {}, r"a.json, \$: 'data' holds no list$"),
        (["data"], [], "a.json holds no question$"),
        (["data", 0], [], r"a.json, \$.data\[0\]: no JSON object$"),
        (
            ["data", 0],
            {"title": "x"},
            r"data\[0\]: no key 'paragraphs'; it has 'title'$",
        ),
        (PARAGRAPH, "x", rf"{AT}: no JSON object$"),
        ([*PARAGRAPH, "context"], None, rf"{AT}: no key 'context'; it has 'qas'$"),
        ([*PARAGRAPH, "context"], " ", rf"{AT}.context: empty text$"),
        ([*PARAGRAPH, "context"], "\ud83d", rf"{AT}.context: badly encoded"),
        (QAS, {}, rf"{AT}: 'qas' holds no list$"),
        ([*QAS, 1, "id"], "q1", r"qas\[1\]: its id 'q1' is that of \$.data.*qas\[0\]$"),
        ([*QAS, 1, "id"], 7, r"qas\[1\]: 'id' holds no text$"),
        ([*QAS, 0, "question"], "", r"qas\[0\].question: empty text$"),
        ([*QAS, 0, "answers"], None, r"qas\[0\]: no key 'answers'; it has 'id', 'que"),
        ([*QAS, 0, "answers"], [], r"qas\[0\]: no answers, but is_impossible is not t"),
        ([*QAS, 0, "is_impossible"], True, r"qas\[0\]: answers, but is_impossible is"),
        ([*QAS, 1, "is_impossible"], False, r"qas\[1\]: no answers, but is_impossible"),
        ([*QAS, 1, "is_impossible"], "no", r"qas\[1\]: 'is_impossible' holds no truth"),
        ([*ANSWER, "text"], "", r"answers\[0\].text: empty text$"),
        ([*ANSWER, "answer_start"], "8", r"answers\[0\]: 'answer_start' holds no numb"),
        ([*ANSWER, "answer_start"], True, r"answers\[0\]: 'answer_start' holds no num"),
        ([*ANSWER, "answer_start"], 7, "'a cat' is not at character 7 of .* but at 8$"),
        ([*ANSWER, "answer_start"], 9, "'a cat' is not at character 9 of .* but at 8$"),
        ([*ANSWER, "answer_start"], -1, "not at character -1 of its context but at 8$"),
        ([*ANSWER, "answer_start"], 99, "not at character 99 of its context but at 8$"),
        ([*ANSWER, "text"], "a dog", r"\[0\].answers\[0\]: the .*but nowhere in it$"),
        (
            [*ANSWER, "text"],
            "\n" + "long " * 99,
            r"answer '\\nlong long .*\.\.\.' is not",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_path(tmp_path, path, value, message):
    refused(tmp_path, change(path, value), message)


def test_the_nearest_place_of_an_answer_is_named(tmp_path):
    value = change([*QAS, 0, "answers"], [{"text": "cat", "answer_start": 18}])
    refused(tmp_path, value, "'cat' is not at character 18 of its context but at 19$")
    value = change([*QAS, 0, "answers"], [{"text": "cat", "answer_start": 12}])
    refused(tmp_path, value, "'cat' is not at character 12 of its context but at 10$")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.json is empty$"),
        (b" \n", "a.json is empty$"),
        (b'{"data":\n [}', "a.json, line 2: no JSON .*column 3"),
        (b'{"data": "\xe9"}', "a.json: no JSON .*0xe9"),
        (b"[" * 100_000, "a.json: no JSON "),
        (b"[]", r"a.json, \$: no JSON object$"),
    ],
)
def test_what_is_no_json_is_refused(tmp_path, content, message):
    refused(tmp_path, content, message)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UsageError, match="none.json: No such file"):
        list(questions(tmp_path / "none.json", True))


@pytest.mark.skipif(not XQUAD.exists(), reason="no shared data")
def test_xquad_is_read_whole():
    found = list(questions(XQUAD, True))
    assert len(found) == 1190
    assert len({question.context for question in found}) == 240
    for question in found:
        for start, text in question.answers:
            assert question.context[start:].startswith(text)
