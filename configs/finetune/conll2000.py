r"""Chunks of sentences (CoNLL-2000, Tjong Kim Sang & Buchholz 2000), or parts of speech.

  python launch.py train --config=configs/finetune/conll2000.py \
    --config.init_from=RUN --config.task.train=train.txt --config.task.test=test.txt \
    --workdir=runs/conll2000

A word, its part of speech and its chunk tag a line. There is no validation file: a
tenth of the training sentences is held out. With `--config=...:pos` the tags are the
parts of speech, scored by accuracy.
"""

from configs.finetune import recipe


def get_config(tags="chunks"):
    config = recipe.get_config()
    config.objective.kind = "tag"
    config.task.update(format="conll", separator=" ", text="0")
    config.task.update(train="train.txt", test="test.txt")
    config.optim.learning_rate = 1e-4
    config.train.update(epochs=2.0, batch=16)
    if tags == "chunks":
        config.task.label = "2"
        return config
    if tags == "pos":
        config.task.update(label="1", metric="accuracy")
        return config
    raise ValueError(f"there are no tags {tags!r}: they are chunks or pos")
