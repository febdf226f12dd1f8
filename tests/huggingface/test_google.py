"""Google's releases: names, configs, what is left out and what is refused."""

import re

import numpy as np
import pytest

from bert_jax.huggingface import card as cards
from bert_jax.huggingface import files, google, names
from bert_jax.huggingface.family.bert import BERT as BERT_FAMILY
from bert_jax.run.config import UsageError
from configs import base
from tests import bundling

DRAWN = np.random.default_rng(0)
SHAPES = {"V": 11, "T": 7, "E": 6, "D": 64, "F": 10, "2": 2, "1": 1, "3": 3}
CARD = {
    "vocab_size": 11,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 10,
    "max_position_embeddings": 7,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
}


def config_of(card):
    """Our config of a config.json."""
    config = base.get_config()
    config.update_from_flattened_dict(cards.settings(card, print))
    return config


def arrays(*lines: str) -> dict[str, np.ndarray]:
    """Arrays by lines of a name and axes; `name *DF` is a kernel and its bias."""
    made = {}
    for line in lines:
        name, axes = line.split()
        if axes.startswith("*"):
            made |= arrays(f"{name}/kernel {axes[1:]}", f"{name}/bias {axes[-1]}")
        elif axes.startswith("~"):
            made |= arrays(f"{name}/gamma {axes[1:]}", f"{name}/beta {axes[1:]}")
        else:
            made[name] = DRAWN.random([SHAPES[axis] for axis in axes], dtype="f4")
    return made


def embeddings(name: str, size: str) -> dict[str, np.ndarray]:
    inner = f"{name}/embeddings"
    return arrays(
        f"{inner}/word_embeddings V{size}",
        f"{inner}/position_embeddings T{size}",
        f"{inner}/token_type_embeddings 2{size}",
        f"{inner}/LayerNorm ~{size}",
    )


def layer(name: str) -> dict[str, np.ndarray]:
    dense = [f"{name}/attention/self/{part} *DD" for part in ("query", "key", "value")]
    dense += [f"{name}/attention/output/dense *DD", f"{name}/intermediate/dense *DF"]
    dense += [f"{name}/output/dense *FD"]
    norms = [f"{name}/attention/output/LayerNorm ~D", f"{name}/output/LayerNorm ~D"]
    return arrays(*dense, *norms)


def masked_lm(size: str) -> dict[str, np.ndarray]:
    return arrays(
        f"cls/predictions/transform/dense *D{size}",
        f"cls/predictions/transform/LayerNorm ~{size}",
        "cls/predictions/output_bias V",
    )


PAIR = arrays(
    "cls/seq_relationship/output_weights 2D", "cls/seq_relationship/output_bias 2"
)
BARE = (
    embeddings("bert", "D")
    | layer("bert/encoder/layer_0")
    | layer("bert/encoder/layer_1")
)
POOLED = BARE | arrays("bert/pooler/dense *DD")
BERT = POOLED | masked_lm("D") | PAIR
GROUP = "bert/encoder/transformer/group_0/inner_group_0"
ALBERT = {
    **embeddings("bert", "E"),
    **arrays(
        "bert/encoder/embedding_hidden_mapping_in *ED",
        f"{GROUP}/attention_1/self/query *DD",
        f"{GROUP}/attention_1/self/key *DD",
        f"{GROUP}/attention_1/self/value *DD",
        f"{GROUP}/attention_1/output/dense *DD",
        f"{GROUP}/LayerNorm ~D",
        f"{GROUP}/ffn_1/intermediate/dense *DF",
        f"{GROUP}/ffn_1/intermediate/output/dense *FD",
        f"{GROUP}/LayerNorm_1 ~D",
        "bert/pooler/dense *DD",
    ),
    **masked_lm("E"),
    **PAIR,
}
ELECTRA = {
    **embeddings("electra", "E"),
    **arrays("electra/embeddings_project *ED"),
    **layer("electra/encoder/layer_0"),
    **arrays("discriminator_predictions/dense *DD"),
    **arrays("discriminator_predictions/dense_1 *D1"),
}
GENERATOR = {
    **layer("generator/encoder/layer_0"),
    **arrays("generator/embeddings_project *ED", "generator_predictions/output_bias V"),
}
SLOTS = {
    **arrays(
        "bert/pooler/dense/kernel/adam_m DD", "bert/pooler/dense/kernel/adam_v DD"
    ),
    "global_step": np.int64(9).reshape(()),
}


def read(folder):
    told: list[str] = []
    return *google.read(folder, told.append), told


def refuses(folder, reason: str):
    with pytest.raises(UsageError, match=re.escape(reason)) as refused:
        google.read(folder, print)
    assert "\n" not in str(refused.value)


def test_a_bert_becomes_the_tensors_of_hugging_face(tmp_path):
    card, tensors, told = read(
        bundling.release(tmp_path, BERT | SLOTS, "bert_config.json", **CARD)
    )
    assert told == ["3 tensors of the optimizer: left out"]
    assert card == CARD | {
        "model_type": "bert",
        "architectures": ["BertForPreTraining"],
        "layer_norm_eps": 1e-12,
    }
    up = tensors["bert.encoder.layer.1.intermediate.dense.weight"]
    assert (
        up.tobytes()
        == BERT["bert/encoder/layer_1/intermediate/dense/kernel"].T.tobytes()
    )
    pair = tensors["cls.seq_relationship.weight"]
    assert (pair == BERT["cls/seq_relationship/output_weights"]).all()
    assert (
        tensors["cls.predictions.bias"] == BERT["cls/predictions/output_bias"]
    ).all()
    params = names.to_ours(tensors, card, config_of(card), told.append)
    assert set(params) == {"encoder", "pooler", "mlm_head", "pair_head"}
    kernel = params["encoder"]["block_00"]["attention"]["query"]["kernel"]
    assert (kernel == BERT["bert/encoder/layer_0/attention/self/query/kernel"]).all()


def classifier(classes: str) -> dict[str, np.ndarray]:
    return arrays(f"output_weights {classes}D", f"output_bias {classes}")


SQUAD = arrays("cls/squad/output_weights 2D", "cls/squad/output_bias 2")
BERTS = {
    "BertForMaskedLM": BARE | masked_lm("D"),
    "BertForNextSentencePrediction": POOLED | PAIR,
    "BertForSequenceClassification": POOLED | classifier("3"),
    "BertForQuestionAnswering": BARE | SQUAD,
    "BertModel": POOLED,
}


@pytest.mark.parametrize("name, tensors", BERTS.items(), ids=BERTS)
def test_the_class_is_that_of_the_heads_there(tmp_path, name, tensors):
    card, found, _ = read(
        bundling.release(tmp_path, tensors, "bert_config.json", **CARD)
    )
    assert card["architectures"] == [name]
    assert len(found) == len(tensors)
    params = names.to_ours(found, card, config_of(card), print)
    assert names.to_theirs(params, BERT_FAMILY, set(params) - {"encoder"}, 0)[0] == name


THEIR_ALBERT = """
    albert.embeddings.LayerNorm.bias albert.embeddings.LayerNorm.weight
    albert.embeddings.position_embeddings.weight
    albert.embeddings.token_type_embeddings.weight albert.embeddings.word_embeddings.weight
    albert.encoder.embedding_hidden_mapping_in.bias
    albert.encoder.embedding_hidden_mapping_in.weight
    *attention.LayerNorm.bias *attention.LayerNorm.weight *attention.dense.bias
    *attention.dense.weight *attention.key.bias *attention.key.weight *attention.query.bias
    *attention.query.weight *attention.value.bias *attention.value.weight *ffn.bias
    *ffn.weight *ffn_output.bias *ffn_output.weight *full_layer_layer_norm.bias
    *full_layer_layer_norm.weight albert.pooler.bias albert.pooler.weight
    predictions.LayerNorm.bias predictions.LayerNorm.weight predictions.bias
    predictions.dense.bias predictions.dense.weight sop_classifier.classifier.bias
    sop_classifier.classifier.weight
""".replace("*", "albert.encoder.albert_layer_groups.0.albert_layers.0.").split()


def test_an_albert_becomes_the_tensors_of_hugging_face(tmp_path):
    given = CARD | {
        "embedding_size": 6,
        "net_structure_type": 0,
        "num_hidden_groups": 1,
    }
    card, tensors, told = read(
        bundling.release(tmp_path, ALBERT, "albert_config.json", **given)
    )
    assert sorted(tensors) == sorted(THEIR_ALBERT)
    assert card == given | {
        "model_type": "albert",
        "architectures": ["AlbertForPreTraining"],
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-12,
    }
    assert told == [
        "albert_config.json: gelu is the tanh form in Google's ALBERT: read as gelu_new"
    ]
    last = tensors[
        "albert.encoder.albert_layer_groups.0.albert_layers.0.ffn_output.weight"
    ]
    assert (last.T == ALBERT[f"{GROUP}/ffn_1/intermediate/output/dense/kernel"]).all()
    norm = "albert.encoder.albert_layer_groups.0.albert_layers.0.full_layer_layer_norm.weight"
    assert (tensors[norm] == ALBERT[f"{GROUP}/LayerNorm_1/gamma"]).all()


def test_an_electra_is_its_discriminator_alone(tmp_path):
    card, tensors, told = read(bundling.release(tmp_path, ELECTRA | GENERATOR))
    assert told == [
        "19 tensors of ELECTRA's generator, which is a model of its own: left out",
        "no electra_config.json: heads of 64 and gelu, as Google's have",
    ]
    assert card == CARD | {
        "model_type": "electra",
        "architectures": ["ElectraForPreTraining"],
        "embedding_size": 6,
        "num_attention_heads": 1,
        "num_hidden_layers": 1,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "layer_norm_eps": 1e-12,
    }
    out = tensors["discriminator_predictions.dense_prediction.weight"]
    assert out.shape == (1, 64)
    assert (out.T == ELECTRA["discriminator_predictions/dense_1/kernel"]).all()
    assert tensors["electra.embeddings_project.weight"].shape == (64, 6)
    assert len(tensors) == len(ELECTRA)


def test_a_saved_model_is_read_with_its_assets(tmp_path):
    arrays = {f"module/{name}:0": array for name, array in BERT.items()}
    bundling.write(tmp_path, arrays, "variables/variables", shards=2)
    (tmp_path / "assets").mkdir()
    assert google.found(tmp_path)
    assert google.assets(tmp_path) == tmp_path / "assets"
    card, tensors, told = read(tmp_path)
    assert card["num_attention_heads"] == 1
    assert len(tensors) == len(BERT)
    assert told == ["no bert_config.json: heads of 64 and gelu, as Google's have"]


def test_a_saved_model_in_a_hub_cache_is_read(tmp_path):
    cached = tmp_path / "models--google--bert"
    snapshot, blobs = cached / "snapshots" / "abc", cached / "blobs"
    bundling.write(tmp_path / "there", BERT, "variables/variables")
    blobs.mkdir(parents=True)
    (snapshot / "variables").mkdir(parents=True)
    for path in (tmp_path / "there" / "variables").iterdir():
        path.rename(blobs / path.name)
        (snapshot / "variables" / path.name).symlink_to(blobs / path.name)
    assert len(read(snapshot)[1]) == len(BERT)


def test_only_a_checkpoint_without_their_weights_is_found(tmp_path):
    assert not google.found(tmp_path)
    assert not google.found(tmp_path / "nothing")
    bundling.write(tmp_path, BERT)
    assert google.found(tmp_path)
    assert not google.found(tmp_path / "bert_model.ckpt.index")
    (tmp_path / "model.safetensors").touch()
    assert not google.found(tmp_path)


def test_tensors_that_no_table_knows_are_refused(tmp_path):
    more = arrays("bert/encoder/layer_0/gate *DD", "cls/other *DD")
    refuses(
        bundling.release(tmp_path, BERT | more, "bert_config.json", **CARD),
        "'bert/encoder/layer_0/gate/bias' and 3 more: no tensor of Google's BERT",
    )


@pytest.mark.parametrize(
    "changes, reason",
    [
        (
            {"bert/encoder/layer_01/output/dense/bias": "D"},
            "no tensor of Google's BERT",
        ),
        (
            {"bert/encoder/layer_{}/output/dense/bias": "D"},
            "no tensor of Google's BERT",
        ),
        ({"module/bert/pooler/dense/bias": "D"}, "there under two names"),
        (
            {"bert/pooler/dense/kernel": "D"},
            "bert/pooler/dense/kernel has the shape (64,)",
        ),
    ],
)
def test_names_and_shapes_that_google_never_writes_are_refused(
    tmp_path, changes, reason
):
    odd = arrays(*(f"{name} {axes}" for name, axes in changes.items()))
    refuses(bundling.release(tmp_path, BERT | odd, "bert_config.json", **CARD), reason)


def test_other_checkpoints_of_tensorflow_are_refused(tmp_path):
    refuses(tmp_path, "has no checkpoint of TensorFlow")
    end = ".ATTRIBUTES/VARIABLE_VALUE"
    bundling.write(
        tmp_path, {f"variables/0/{end}": PAIR["cls/seq_relationship/output_bias"]}
    )
    refuses(tmp_path, "is of a Keras model of TensorFlow 2")
    bundling.write(tmp_path, arrays("resnet/dense *DD"))
    refuses(
        tmp_path, "holds no BERT, ALBERT or ELECTRA of Google: its first tensor is 'res"
    )
    bundling.write(tmp_path, BERT, "model.ckpt-100")
    refuses(
        tmp_path, "several checkpoints: leave one of bert_model.ckpt, model.ckpt-100"
    )


def test_a_config_that_no_shape_tells_must_be_there(tmp_path):
    refuses(bundling.release(tmp_path, ALBERT), "has no albert_config.json")
    odd = BERT | {"bert/embeddings/position_embeddings": np.float32(1).reshape(())}
    refuses(bundling.release(tmp_path, odd), "has no bert_config.json")
    bundling.release(tmp_path, ALBERT)
    refuses(
        bundling.release(tmp_path, ALBERT, "config.json", model_type="bert"),
        "config.json is no config of ALBERT",
    )


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    bias = np.array([1, np.inf], "f4")
    refuses(
        bundling.release(
            tmp_path,
            BERT | {"cls/seq_relationship/output_bias": bias},
            "bert_config.json",
            **CARD,
        ),
        "cls/seq_relationship/output_bias holds a number that is not finite, at [1]",
    )


def test_assets_may_not_lead_out_of_the_directory(tmp_path):
    model, outside = tmp_path / "model", tmp_path / "outside"
    bundling.write(model, BERT, "variables/variables")
    outside.mkdir()
    (model / "assets").symlink_to(outside)
    refuses(model, "leads out of")
    (model / "assets").unlink()
    (model / "variables").rename(outside / "variables")
    (model / "variables").symlink_to(outside / "variables")
    refuses(model, "leads out of")


def test_the_files_of_a_release_are_known(tmp_path):
    told: list[str] = []
    release = bundling.release(tmp_path, BERT, "bert_config.json", **CARD)
    for name in ("bert_model.ckpt.meta", "checkpoint", "graph.pbtxt", "saved_model.pb"):
        (release / name).touch()
    files.check_others(release, told.append)
    assert told == []
