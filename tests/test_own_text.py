"""One's own small text: `configs/pretrain/own_text.py` as it is, on one file."""

import random

import pytest

import bert_jax
import launch
from bert_jax.run import rundir
from bert_jax.train import session

CHINESE = "山水日月風雨春夏秋冬老人小子大路家門花草鳥魚來去見聞說笑行坐"


def story(kind: str) -> str:
    """About 2,300 words (or as many Chinese characters) in some fifty paragraphs."""
    draw = random.Random(0)
    words = [
        "the",
        "old",
        "man",
        "went",
        "down",
        "to",
        "a",
        "river",
        "and",
        "saw",
        "his",
        "boat",
        "was",
        "gone",
        "again",
    ]
    paragraphs = []
    for _ in range(50):
        if kind == "chinese":
            sentences = ["".join(draw.choices(CHINESE, k=11)) + "。" for _ in range(4)]
            paragraphs.append("".join(sentences))
        else:
            sentences = [" ".join(draw.choices(words, k=11)) + "." for _ in range(4)]
            paragraphs.append(" ".join(s.capitalize() for s in sentences))
    return {"chinese": "\n\n", "one line": " "}[kind].join(paragraphs) + "\n"


# tests/data/test_corpus.py has the other ways that a story may be broken into lines.
@pytest.mark.parametrize("kind", ["one line", "chinese"])
def test_one_short_story_is_enough(kind, tmp_path, capsys):
    path, workdir = tmp_path / "story.txt", tmp_path / "run"
    path.write_text(story(kind), encoding="utf-8")
    command = ["train", "--config=configs/pretrain/own_text.py"]
    command += [f"--config.data.files={path}", f"--workdir={workdir}"]
    command += [f"--config.data.cache={tmp_path / 'cache'}"]
    command += ["--config.train.steps=4", "--config.parallel.mesh=1x1x1"]
    command += ["--config.optim.warmup_steps=1"]
    assert launch.main(command) == 0
    said = capsys.readouterr().out
    assert "story.txt" in said
    assert "make a document" in said or "document" in said.splitlines()[0]
    parts = session.reopen(workdir)
    assert len(parts.data.valid.documents) - 1 >= 2
    assert len(parts.data.train.documents) - 1 >= 8
    assert parts.train.num_examples >= parts.config.train.batch
    assert rundir.read_metrics(workdir)[4]["valid/mlm_loss"] > 0
    unknown = parts.data.train.counts[parts.data.tokenizer.unk_id]
    assert unknown == 0
    text = "山水[MASK]月。" if kind == "chinese" else "the old [MASK] went down."
    [[filled]] = bert_jax.load(workdir).fill_masks([text])
    assert len(filled.candidates) == 5
