r"""Names of persons, places and organisations (Tjong Kim Sang & De Meulder 2003), by TFDS.

  python launch.py train --config=configs/finetune/conll2003.py \
    --config.init_from=RUN --workdir=runs/conll2003

BERT's own numbers (Devlin et al. 2019, section 5.3) are of a cased vocabulary.
`--config=...:features` is their feature-based use: the encoder stays as it is, and the
tags are read from its last four layers side by side.
"""

from configs.finetune import recipe


def get_config(use="finetune"):
    config = recipe.get_config()
    config.objective.kind = "tag"
    config.task.update(format="tfds", tfds_name="conll2003", text="tokens", label="ner")
    config.task.update(train="train", valid="dev", test="test")
    if use not in ("finetune", "features"):
        raise ValueError(f"there is no use {use!r}: it is finetune or features")
    if use == "features":
        config.objective.layers = "last_4"
        config.model.update(dropout=0.0, attention_dropout=0.0)
        config.optim.update(freeze="^encoder", learning_rate=1e-3)
    return config
