"""Configs and files of labelled data for tests of their reading."""

import json

from configs import base

CONTEXT = "The king found a red stone."
QA = {
    "id": "1",
    "question": "Who found it?",
    "answers": [{"text": "king", "answer_start": 4}],
}


def config(kind: str, **changes):
    made = base.get_config()
    made.objective.kind = kind
    made.data.valid_share = 0.25
    made.task.update(changes)
    return made


def write(path, content: str | dict):
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return str(path)


def squad(*qas: dict, context=CONTEXT) -> dict:
    return {"data": [{"paragraphs": [{"context": context, "qas": list(qas)}]}]}


def answer(name: str, start: int) -> dict:
    return QA | {"id": name, "answers": [{"text": "king", "answer_start": start}]}
