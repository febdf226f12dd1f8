"""Makes the golden run directories beside this file with the code of an old checkout.

  git worktree add ../old 9e18c17
  python tests/golden/make.py ../old

It was run once, by hand, and is kept to say what the archives hold. All paths in them
are relative to the folder into which they are unpacked together:

  pretrained.tar.xz  corpus.txt, the experiment masks.py with its plan and the
                     pretraining runs, of which few/seed_0 has the checkpoints of
                     steps 4 and 8, and the others none
  finetuned.tar.xz   labelled/, and the runs of the task, which start from those;
                     few/seed_0 has the checkpoints of steps 6 and 12
  imported.tar.xz    theirs/, a Hugging Face directory, and the run that was made of it

Each has what the old code printed of its run: `expected/*.json`, which hold the
arguments of launch.py and its lines of JSON. Pictures, TensorBoard, logs, locks, compiled
programs and the copy of the code are left out; the plan names an empty copy instead.
"""

import argparse
import json
import random
import re
import string
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
PEOPLE = ["the king", "a farmer", "my aunt", "the old dog", "her brother"]
DEEDS = ["saw", "took", "lost", "found"]
THINGS = {"stone": "a red stone", "road": "the long road", "bread": "some bread"}
SIZES = {"train": 24, "valid": 9, "test": 9}
DIM, WIDE, POSITIONS = 8, 16, 32

PRETRAIN = '''"""One layer of width 8."""

from configs import base


def get_config():
    config = base.get_config()
    config.data.update(corpus="files", files="corpus.txt", documents="blank_line")
    config.data.update(valid_share=0.2, length=32)
    config.tokenizer.vocab_size = 64
    config.model.update(num_layers=1, model_dim=8, num_heads=2, mlp_dim=16)
    config.model.update(max_length=32, dropout=0.0, attention_dropout=0.0)
    config.optim.update(learning_rate=1e-2, warmup_steps=2)
    config.train.update(steps=8, batch=4, log_every=1)
    config.train.update(save_every=4, keep_last=1, keep_every=4)
    config.eval.update(every=4, batch=8)
    config.parallel.mesh = "1x1x1"
    return config
'''
CLASSIFY = '''"""What was found, of three things."""

from configs import base


def get_config():
    config = base.get_config()
    config.objective.kind = "classify"
    config.task.update(train="labelled/train.tsv", valid="labelled/valid.tsv")
    config.task.test = "labelled/test.tsv"
    config.data.length = 32
    config.model.update(dropout=0.0, attention_dropout=0.0)
    config.optim.update(learning_rate=1e-2, warmup_steps=2)
    config.train.update(steps=12, batch=4, log_every=1)
    config.train.update(save_every=6, keep_last=1, keep_every=6)
    config.eval.update(every=6, batch=8)
    config.parallel.mesh = "1x1x1"
    return config
'''
EXPERIMENT = '''"""Is it better to mask more?"""

BASE = "pretrain.py"
METRIC = "valid/mlm_loss"
ALSO = ["classify/test/accuracy"]
BASELINE = "few"
SEEDS = 2
CLAIM = "Nothing was published of models of this size."
EXPECT = {"valid/mlm_loss": {"many": "lower"}}
THEN = {"classify": "classify.py"}


def arms():
    yield "few", {}
    yield "many", {"objective.mask_rate": 0.4}
'''
# Beside its runs a sweep keeps the code that they use; that of the archives is this.
STUB = "# The code of these runs is that of the commit in their run.json.\n"
FREEZE = """
import shutil, sys
from pathlib import Path
from bert_jax.sweep import plan, snapshot
folder = Path("runs/masks")
frozen = plan.read(folder)
for part in ("bert_jax", "configs"):
    shutil.rmtree(folder / "code" / part)
(folder / "code" / "launch.py").write_text(sys.argv[1])
code = frozen.code | {"digest": snapshot.digest(folder)}
(folder / "plan.json").write_text(plan._written(frozen._replace(code=code)))
"""

MASKED = ["the king [MASK] a red stone .", "my aunt found [MASK] bread ."]
FOUND = ["a farmer took some bread", "the old dog lost the long road", "a red stone"]
FEW = "runs/masks/few/seed_0"
ASKED = {
    "pretrained": [
        ["predict", f"--workdir={FEW}/pretrain", "--json", *MASKED],
        ["predict", f"--workdir={FEW}/pretrain", "--step=4", "--json", *MASKED],
        ["predict", f"--workdir={FEW}/pretrain", "--vectors", "--json", *FOUND],
    ],
    "finetuned": [
        ["predict", f"--workdir={FEW}/classify", "--json", *FOUND],
        ["predict", f"--workdir={FEW}/classify", "--step=6", "--json", *FOUND],
    ],
    "imported": [
        ["predict", "--workdir=runs/imported", "--json", *MASKED],
        ["predict", "--workdir=runs/imported", "--vectors", "--json", *FOUND],
    ],
}
PARTS = {
    "pretrained": ["corpus.txt", "pretrain.py", "masks.py", "runs/masks/plan.json"]
    + ["runs/masks/code", "data_cache", "runs/masks/*/*/pretrain"],
    "finetuned": ["labelled", "classify.py", "runs/masks/*/*/classify"],
    "imported": ["theirs", "runs/imported"],
}
LEFT_OUT = re.compile(
    r"(^|/)(lease|curve\.png|tensorboard|__pycache__|[^/]*\.lock)$"
    r"|(seed_1|many/seed_0)/(classify|pretrain)/checkpoints$"
)


def main(checkout: Path) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_texts(folder)
        write_theirs(folder / "theirs")
        launch = [sys.executable, str(checkout.resolve() / "launch.py")]

        def run(*arguments: str) -> str:
            command = [*launch, *arguments]
            done = subprocess.run(
                command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True
            )
            return done.stdout

        run("sweep", "masks.py", "--root=runs")
        run("import", "--from=theirs", "--workdir=runs/imported")
        stub(checkout, folder)
        for name, questions in ASKED.items():
            answers = [
                {"arguments": asked, "lines": read_lines(run(*asked))}
                for asked in questions
            ]
            text = json.dumps(answers, indent=1, ensure_ascii=False) + "\n"
            (folder / "expected").mkdir(exist_ok=True)
            (folder / "expected" / f"{name}.json").write_text(text)
            pack(folder, name, [*PARTS[name], f"expected/{name}.json"])


def read_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def write_texts(folder: Path) -> None:
    draw = random.Random(0)

    def sentence() -> str:
        who, did = draw.choice(PEOPLE), draw.choice(DEEDS)
        return f"{who} {did} {draw.choice(list(THINGS.values()))}"

    documents = [
        "\n".join(
            f"{sentence()}. {sentence()}.".capitalize()
            for _ in range(draw.randint(3, 6))
        )
        for _ in range(20)
    ]
    (folder / "corpus.txt").write_text("\n\n".join(documents) + "\n")
    (folder / "labelled").mkdir()
    for split, size in SIZES.items():
        rows = [
            f"{label}\t{draw.choice(PEOPLE)} {draw.choice(DEEDS)} {what}\n"
            for label, what in list(THINGS.items()) * (size // len(THINGS))
        ]
        path = folder / "labelled" / f"{split}.tsv"
        path.write_text("label\ttext\n" + "".join(rows))
    (folder / "pretrain.py").write_text(PRETRAIN)
    (folder / "classify.py").write_text(CLASSIFY)
    (folder / "masks.py").write_text(EXPERIMENT)


def write_theirs(folder: Path) -> None:
    """BertForPreTraining of random weights."""
    letters = list(string.ascii_lowercase)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = ["the", "king", "stone", "bread", "road"]
    vocabulary = [*specials, ".", *letters, *(f"##{x}" for x in letters), *words]
    draw = np.random.default_rng(0)
    tensors = {
        name: draw.normal(0, 0.3, shape).astype(np.float32)
        for name, shape in shapes(len(vocabulary)).items()
    }
    config = {
        "architectures": ["BertForPreTraining"],
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "hidden_size": DIM,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": WIDE,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
    }
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "tokenizer_config.json").write_text('{"do_lower_case": true}\n')
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def shapes(words: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one layer, the pooler and both heads."""
    found = {
        "bert.embeddings.word_embeddings.weight": (words, DIM),
        "bert.embeddings.position_embeddings.weight": (POSITIONS, DIM),
        "bert.embeddings.token_type_embeddings.weight": (2, DIM),
        "cls.predictions.bias": (words,),
    }
    block = "bert.encoder.layer.0"
    dense = {
        "bert.pooler.dense": (DIM, DIM),
        "cls.predictions.transform.dense": (DIM, DIM),
        "cls.seq_relationship": (2, DIM),
        f"{block}.attention.self.query": (DIM, DIM),
        f"{block}.attention.self.key": (DIM, DIM),
        f"{block}.attention.self.value": (DIM, DIM),
        f"{block}.attention.output.dense": (DIM, DIM),
        f"{block}.intermediate.dense": (WIDE, DIM),
        f"{block}.output.dense": (DIM, WIDE),
    }
    norms = ["bert.embeddings", "cls.predictions.transform"]
    norms += [f"{block}.attention.output", f"{block}.output"]
    for name, shape in dense.items():
        found |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    for name in norms:
        found |= {f"{name}.LayerNorm.{each}": (DIM,) for each in ("weight", "bias")}
    return found


def stub(checkout: Path, folder: Path) -> None:
    """Replaces the sweep's copy of the code, which is large, and freezes the plan anew."""
    subprocess.run(
        [sys.executable, "-c", FREEZE, STUB],
        cwd=folder,
        env={"PYTHONPATH": str(checkout.resolve()), "JAX_PLATFORMS": "cpu"},
        check=True,
    )


def pack(folder: Path, name: str, patterns: Iterable[str]) -> None:
    def kept(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if LEFT_OUT.search(entry.name):
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        return entry

    paths = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    with tarfile.open(HERE / f"{name}.tar.xz", "w:xz", preset=9) as archive:
        for path in paths:
            archive.add(path, path.relative_to(folder).as_posix(), filter=kept)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    main(parser.parse_args().checkout)
