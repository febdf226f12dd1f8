import io
import itertools
import json
import math
import os
import sys
import time

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from bert_jax.run import rundir
from bert_jax.run.config import UsageError
from bert_jax.train import sinks, writer


class Device:
    """Metrics of a step, still on a device."""

    def __init__(self, step, **values):
        loss = values.get("loss", 7.0 - step / 10)
        ends = {"finite": math.isfinite(loss), "targets": 1}
        self.step, self.values = step, {"loss": loss, **ends, **values}


def fetch(metrics):
    return {f"train/{name}": float(value) for name, value in metrics.values.items()}


def make(workdir, **changes):
    settings = {
        "primary": True,
        "fetch": fetch,
        "name": "",
        "now": time.perf_counter,
        "elapsed": dict,
        "start": 0,
        "steps": 100,
        "every": 10,
        "warmup": 0,
        "tokens_per_step": 1000,
        "ideal_seconds": 0.0,
        "batch": 8,
        "examples": 24,
        "untaught": "no word can be masked",
    }
    history = rundir.read_metrics(workdir)
    return writer.Writer(workdir, history, **(settings | changes))


def losses(workdir):
    metrics = rundir.read_metrics(workdir)
    return {step: values["train/loss"] for step, values in metrics.items()}


def test_values_are_written_one_log_behind_and_flushed(tmp_path):
    with make(tmp_path) as out:
        for step in range(25):
            out.later(step, Device(step))
            if step == 19:
                assert list(losses(tmp_path)) == [0]
        assert losses(tmp_path) == {0: 7.0, 10: 6.0}
        out.flush()
        assert losses(tmp_path) == {0: 7.0, 10: 6.0, 20: 5.0}


def test_the_device_is_waited_for_only_at_logs_and_never_for_the_newest_step(tmp_path):
    fetched = []

    def recorded(metrics):
        fetched.append(metrics.step)
        return fetch(metrics)

    with make(tmp_path, fetch=recorded) as out:
        for step in range(31):
            out.later(step, Device(step))
    # The first step, for the clock and its targets; then the one before each log, and
    # the log before.
    assert fetched == [0, 0, 9, 0, 19, 10, 29, 20]


def test_written_values_stand_there_at_once(tmp_path):
    with make(tmp_path) as out:
        out.write(5, {"valid/mlm_loss": 4.5})
        assert rundir.read_metrics(tmp_path) == {5: {"valid/mlm_loss": 4.5}}


def test_a_resumed_run_writes_the_same_steps(tmp_path):
    for name, stops in (("a", [0, 50]), ("b", [0, 13, 27, 50])):
        (tmp_path / name).mkdir()
        for start, end in itertools.pairwise(stops):
            with make(tmp_path / name, start=start) as out:
                for step in range(start, end):
                    out.later(step, Device(step))
                out.flush()
    assert losses(tmp_path / "a") == losses(tmp_path / "b")
    assert list(losses(tmp_path / "a")) == [0, 10, 20, 30, 40]


def test_other_hosts_write_nothing_but_diverge_all_the_same(tmp_path):
    with make(tmp_path, primary=False) as out:
        for step in range(11):
            out.later(step, Device(step))
        out.write(11, {"valid/mlm_loss": 4.5})
        out.later(11, Device(11, loss=math.nan))
        with pytest.raises(writer.Diverged):
            out.flush()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_written_and_then_raised(tmp_path, bad):
    with make(tmp_path) as out:
        for step in range(20):
            out.later(step, Device(step, loss=bad if step == 19 else 1.0))
        with pytest.raises(writer.Diverged, match=r"at step 19: lower optim.learning"):
            out.later(20, Device(20, loss=bad))
    written = losses(tmp_path)
    assert list(written) == [0, 10, 19]
    assert not math.isfinite(written[19])


def test_a_state_that_is_not_finite_ends_whatever_the_loss(tmp_path):
    """FAULTS 4, 37: the loss is that of the state before."""
    with make(tmp_path) as out:
        out.later(0, Device(0))
        out.later(1, Device(1, finite=False))
        with pytest.raises(
            writer.Diverged, match=r"update is not finite \(train/loss 6"
        ):
            out.flush()


def test_a_number_that_is_not_finite_is_null_in_metrics(tmp_path):
    line = rundir.metrics_line(3, {"train/loss": math.nan, "train/lr": 1.0})
    assert json.loads(line) == {"step": 3, "train/loss": None, "train/lr": 1.0}
    (tmp_path / rundir.METRICS).write_text(line)
    assert math.isnan(rundir.read_metrics(tmp_path)[3]["train/loss"])


def test_steps_without_any_target_end_the_run(tmp_path):
    """FAULTS 2: as soon as enough examples were seen; one target is enough."""
    with make(tmp_path, every=1) as out:
        for step in range(3):
            out.later(step, Device(step, targets=0))
        with pytest.raises(UsageError, match="no target in any step up to 2: no word"):
            out.flush()
    with make(tmp_path, every=1) as out:
        for step in range(6):
            out.later(step, Device(step, targets=int(step == 1)))
        out.flush()
    with make(tmp_path, steps=2) as out:
        out.later(0, Device(0, targets=0))
        out.later(1, Device(1, targets=0))
        with pytest.raises(UsageError, match="up to 1"):
            out.flush()


def test_nothing_is_saved_of_a_state_that_has_diverged(tmp_path):
    with make(tmp_path) as out:
        out.later(0, Device(0))
        out.later(1, Device(1, loss=math.nan))
        with pytest.raises(writer.Diverged):
            out.flush()  # comes before every save


def test_times_are_means_over_the_steps_between_two_waits():
    now = iter([10.0, 12.0, 12.0, 20.0, 20.0]).__next__
    clock = writer.Clock(now, tokens_per_step=1000, ideal_seconds=0.125)
    clock.start(4)
    expected = {"step_ms": 500.0, "tokens_per_s": 2000.0, "mfu": 0.25}
    assert clock.lap(8) == {f"time/{name}": value for name, value in expected.items()}
    assert clock.lap(8) == {}


def test_a_peak_that_is_not_known_gives_no_mfu():
    clock = writer.Clock(time.perf_counter, tokens_per_step=1000, ideal_seconds=0.0)
    clock.start(0)
    assert clock.lap(1).keys() == {"time/step_ms", "time/tokens_per_s"}


def test_what_is_slow_between_steps_is_in_no_time(tmp_path):
    clock = [0.0]
    with make(tmp_path, now=lambda: clock[0]) as out:
        for step in range(40):
            if step == 20:
                out.flush()
                clock[0] += 1e6
            clock[0] += 1.0
            out.later(step, Device(step))
        out.flush()
    times = [v["time/step_ms"] for v in rundir.read_metrics(tmp_path).values()]
    assert len(times) == 4
    assert np.allclose(times, 1000.0, rtol=0.12)  # a wait is off by one step at most


def events(workdir):
    (path,) = (workdir / rundir.TENSORBOARD).iterdir()
    data, found = io.BytesIO(path.read_bytes()), []
    while header := data.read(12):
        length = int.from_bytes(header[:8], "little")
        event = event_pb2.Event.FromString(data.read(length))
        data.read(4)
        found += [(event.step, v.tag, v.simple_value) for v in event.summary.value]
    return found


def _raises(*_, **__):
    raise RuntimeError("no room\nat all")


@pytest.mark.parametrize("at", ["", "add_scalar", "close", "__init__"])
def test_tensorboard_ends_no_run(at, tmp_path, monkeypatch, capsys):
    """FAULTS 47: its folder is a file, or its writer raises."""
    if at:
        monkeypatch.setattr(f"tensorboardX.SummaryWriter.{at}", _raises)
    else:
        (tmp_path / "tensorboard").write_text("a file")
    sink = sinks.TensorBoard(tmp_path, 0)
    for step in range(40):
        sink.write(step, {"train/loss": 1.0})
    sink.close()
    assert capsys.readouterr().err.count("warning: nothing more goes to Tensor") == 1


def test_a_full_disk_does_not_stop_tensorboard_s_thread(tmp_path, monkeypatch, capsys):
    """FAULTS 45: its queue filled up, and the run waited for ever."""
    records = "tensorboardX.event_file_writer.EventsWriter.write_event"
    sink = sinks.TensorBoard(tmp_path, 0)
    monkeypatch.setattr(records, _raises)
    for step in range(40):
        sink.write(step, {"train/loss": 1.0})
    sink.close()
    said = capsys.readouterr().err
    assert said.count("warning: nothing more goes to TensorBoard: no room") == 1
    assert "Traceback" not in said


def test_tensorboard_closes_quietly_on_a_full_disk(tmp_path, monkeypatch, capsys):
    """FAULTS 45: as the process exited the library printed two tracebacks."""
    full = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb")
    monkeypatch.setattr("tensorboardX.record_writer.open_file", lambda path: full)
    sink = sinks.TensorBoard(tmp_path, 0)
    library = sink._events.file_writer.event_writer
    for step in range(40):
        sink.write(step, {"train/loss": 1.0})
    sink.close()
    library.close()  # as the library does at exit, whatever became of the sink
    said = capsys.readouterr().err
    assert said.count("warning: nothing more goes to TensorBoard: [Errno 28]") == 1
    assert "Traceback" not in said


def test_tensorboard_gets_the_same_values_and_no_tensorflow_is_loaded(tmp_path):
    with make(tmp_path) as out:
        out.write(5, {"valid/mlm_loss": 4.5, "valid/mlm_accuracy": 0.25})
    assert events(tmp_path) == [
        (5, "valid/mlm_loss", 4.5),
        (5, "valid/mlm_accuracy", 0.25),
    ]
    assert "tensorflow" not in sys.modules


def test_off_a_terminal_every_log_is_a_line(tmp_path, capsys):
    values = {"mlm_loss": 6.5, "unigram_loss": 6.75, "lr": 0.001}
    with make(tmp_path, every=1) as out:
        for step in range(3):
            out.later(step, Device(step, **values))
        out.write(3, {"valid/mlm_loss": 4.5})
        out.write(3, {"time/seconds": 12.0})
    first, second, valid = capsys.readouterr().err.splitlines()
    assert first == "step 0/100  loss 7.000  mlm 6.500  unigram 6.750"
    assert second.startswith("step 1/100  loss 6.900  mlm 6.500  unigram 6.750  ")
    assert second.endswith(" left")
    assert "k tokens/s" in second
    assert valid == "step 3/100  valid/mlm_loss 4.500"


def test_on_a_terminal_a_bar_starts_where_the_run_goes_on(tmp_path, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    with make(tmp_path, start=40, every=1) as out:
        for step in range(40, 44):
            out.later(step, Device(step, mlm_loss=6.5, unigram_loss=6.75))
    shown = terminal.getvalue().split("\r")
    assert "40/100" in shown[1]
    assert "44/100" in shown[-1]
    assert "mlm 6.500  unigram 6.750" in shown[-1]


def plateau(workdir, gaps, capsys, **changes):
    with make(workdir, every=1, **changes) as out:
        for step, gap in enumerate(gaps):
            out.later(step, Device(step, mlm_loss=6.5 - gap, unigram_loss=6.5))
        out.flush()
    said = capsys.readouterr().err
    return [line for line in said.splitlines() if line.startswith("plateau:")]


def test_a_loss_that_stays_at_the_unigram_loss_is_reported_once(tmp_path, capsys):
    said = plateau(tmp_path, [0.01, -0.02] * 60, capsys)
    assert len(said) == 1
    assert "(6.50) at step 39, 0.0 M" in said[0]


def test_a_loss_that_has_left_the_unigram_loss_is_no_plateau(tmp_path, capsys):
    assert not plateau(tmp_path, np.linspace(0, 0.4, 120), capsys)


def test_warm_up_is_no_plateau(tmp_path, capsys):
    assert not plateau(tmp_path, [0.0] * 120, capsys, warmup=100)


def test_a_plateau_is_seen_across_a_resume(tmp_path, capsys):
    with make(tmp_path) as out:
        for step in range(30):
            out.write(step, {"train/mlm_loss": 6.5, "train/unigram_loss": 6.5})
    with make(tmp_path, start=30) as out:
        for step in range(30, 40):
            out.write(step, {"train/mlm_loss": 6.5, "train/unigram_loss": 6.5})
    assert capsys.readouterr().err.count("plateau:") == 1


def test_a_plateau_that_was_left_before_a_resume_is_not_reported_again(
    tmp_path, capsys
):
    gaps = [0.0] * 60 + [1.0] * 40
    with make(tmp_path) as out:
        for step, gap in enumerate(gaps):
            metrics = {"train/mlm_loss": 6.5 - gap, "train/unigram_loss": 6.5}
            out.write(step, metrics)
    assert "plateau:" in capsys.readouterr().err
    with make(tmp_path, start=100) as out:
        out.write(100, {"train/mlm_loss": 5.5, "train/unigram_loss": 6.5})
    assert "plateau:" not in capsys.readouterr().err


def test_noise_alone_neither_hides_nor_makes_a_plateau():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.03, size=80)
    assert sinks.stays(list(noise))
    assert not sinks.stays(list(noise + 0.1))
    assert not sinks.stays([0.0] * (sinks.LOGS - 1))
