"""A checkout whose launch.py trains nothing: it counts to train.steps as a run would.

A step takes train.log_every milliseconds and is saved at once. What it did is written to
`work` beside the run: each step of each run must be there once, whatever was killed.
"""

import shutil
from pathlib import Path

LAUNCH = """\
import json, os, signal, sys, time
from pathlib import Path
sys.path.insert(0, {root!r})
from bert_jax.run import config as configs, files, record, rundir

def train(config, workdir):
    config, workdir = configs.load(config, {{}}), Path(workdir)
    parent = ""
    if config.init_from:
        result = rundir.read(Path(config.init_from), rundir.RESULT)
        parent = f"{{result['fingerprint']}}/{{result['steps']}}"
    identity = configs.fingerprint(config, parent)
    rundir.create(workdir)
    with rundir.lease(workdir, "--workdir"):
        if record.is_done(workdir, identity):
            return
        stopped = []
        signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
        if not rundir.is_run(workdir):
            files.write_text(workdir / "tokenizer.json", "")
            record.write_began(workdir, config, {{
                "fingerprint": identity, "parent": parent, "seed": config.seed,
                "versions": {{"commit": ""}}, "devices": ["cpu"],
                "tokenizer": "t", "data": "d"}})
        steps = int(config.train.steps)
        work = workdir.with_name(workdir.name + ".work")
        first = len(work.read_text()) if work.exists() else 0
        for step in range(first, steps):
            if stopped:
                sys.exit(75)
            time.sleep(config.train.log_every / 1000)
            with rundir.append_metrics(workdir) as file:
                file.write(rundir.metrics_line(step, {{"train/loss": 3.0}}))
            with work.open("a") as file:
                file.write(".")
        record.write_result(workdir, {{
            "fingerprint": identity, "steps": steps, "tokens": 1, "seconds": 1.0,
            "flops": 1.0, "metrics": {{"valid/mlm_loss": 3.0, "test/accuracy": 0.5}}}})

given = [argument.partition("=")[2] for argument in sys.argv[2:]]
with Path(given[1] + ".lanes").open("a") as file:
    file.write(f"{{len(given) // 2}}\\n")
for config, workdir in zip(given[::2], given[1::2]):  # one after the other will do
    train(config, workdir)
"""


def write(folder: Path, root: Path) -> Path:
    """What snapshot.ROOT is to be, for a real checkout at `root`."""
    checkout = folder / "checkout"
    for name in ("bert_jax", "configs"):
        (checkout / name).mkdir(parents=True)
    (checkout / "launch.py").write_text(LAUNCH.format(root=str(root)))
    shutil.copy(root / "configs" / "base.py", checkout / "configs")
    return checkout
