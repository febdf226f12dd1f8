"""How long a save on several devices holds a run up: its first, and those after it.

  python -m benchmarks.saving --json=saving.json

The state of a model lies whole on eight simulated devices, as data parallelism has it.
It is saved as `launch.py train` does, and as orbax does when it is told nothing: then
each device writes a part of every array. A round is a new process of each side, for the
first save compiles what cuts the parts out.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import jax
import orbax.checkpoint as ocp
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from benchmarks import cases, ours, tables, worker
from benchmarks.cases import Case, Side
from benchmarks.worker import Stepper
from bert_jax.run import hardware
from bert_jax.train.checkpoint import Checkpoints
from bert_jax.train.parallel import placement

DEVICES = 8
SIDES = ("ours", "orbax")
PAUSE = 3  # seconds in which a save is finished in the background
LONGEST = 600  # seconds to build a state and save it
Times = dict[str, dict[str, list[float]]]  # "first" and "later", by side


def build(case: Case, side: str, folder: str) -> Stepper:
    """For a worker: each step is a save, timed until the run would go on."""
    if side == "orbax":
        handler = ocp.type_handlers.ArrayHandler()
        ocp.type_handlers.register_type_handler(jax.Array, handler, override=True)
    mesh = placement.grid(jax.devices(), (DEVICES, 1, 1))
    alone = ours.initial(ours.parts_of(case, Side("ours", "float32"), 0))
    state = jax.block_until_ready(jax.device_put(alone, NamedSharding(mesh, P())))
    checkpoints = Checkpoints(Path(folder), 1, 0, False)
    number = 0

    def run(steps: int) -> None:
        nonlocal number
        for _ in range(steps):
            checkpoints.save(number, state)
            number += 1

    about = {"device": jax.devices()[0].device_kind, "versions": versions()}
    return Stepper(run, ours.peak_bytes, about)


def versions() -> str:
    return f"jax {jax.__version__}, orbax {ocp.__version__}"


def measured(case: Case, rounds: int, saves: int) -> Times:
    times: Times = {side: {"first": [], "later": []} for side in SIDES}
    environment = hardware.environment(f"cpu:{DEVICES}")
    for number in range(rounds):
        for side in SIDES[:: -1 if number % 2 else 1]:
            with tempfile.TemporaryDirectory() as folder:
                arguments = case, side, folder
                log = Path(folder) / "log"
                given = sys.executable, "benchmarks.saving", arguments, log, environment
                with worker.running(*given) as process:
                    for save in range(saves):
                        found = worker.ask(process, 1, LONGEST)["seconds"]
                        times[side]["later" if save else "first"].append(found)
                        time.sleep(PAUSE)
            print(f"round {number + 1} of {rounds}, {side}", file=sys.stderr)
    return times


def report(case: Case, times: Times, saves: int) -> str:
    rows = [
        [
            f"{case.name.split(',')[0]}, {DEVICES} devices, {when} save",
            *(tables.spread([1e3 * s for s in times[side][when]]) for side in SIDES),
            tables.number(tables.ratio(times["orbax"][when], times["ours"][when])),
        ]
        for when in ("first", "later")
    ]
    header = [
        "the run waits, ms",
        "as launch.py train saves",
        "as orbax comes",
        "ratio",
    ]
    rounds = f"{len(times['ours']['first'])} rounds of {saves} saves"
    origin = tables.conditions([cases.processor()], [versions()])
    return f"{tables.markdown(header, rows)}\n\n{rounds}; {origin}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--row", choices=cases.BATCHES, default="small-128")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--saves", type=int, default=4)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    case = cases.case_of(given.row, DEVICES, 0.0)
    times = measured(case, given.rounds, given.saves)
    print(report(case, times, given.saves))
    tables.write(given.json, {"row": given.row, "seconds": times})


if __name__ == "__main__":
    main()
