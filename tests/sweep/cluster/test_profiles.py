"""What a person may write in a cluster profile, and what is said of mistakes."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run.config import UsageError
from bert_jax.sweep.cluster import profiles
from tests.running import ROOT

EXAMPLE = (ROOT / profiles.EXAMPLE).read_text()


def load(folder: Path, text: str) -> profiles.Profile:
    path = folder / "cluster.toml"
    path.write_text(text)
    return profiles.load(path)


def changed(key: str, value: str) -> str:
    """The example with another value of a key."""
    text, count = re.subn(rf"(?m)^{key} *= *(\[\]|\S+)", f"{key} = {value}", EXAMPLE)
    assert count == 1, key
    return text


def test_example_is_valid_and_commented():
    profile = profiles.load(ROOT / profiles.EXAMPLE)
    assert profile.slurm is not None
    assert profile.slurm.time_limit == 24 * 60
    assert profile.kubernetes is not None
    assert profile.kubernetes.topology == "2x4"
    lines = EXAMPLE.splitlines()
    for key in profiles.KINDS:
        name = key.rpartition(".")[2]
        [at] = [
            number
            for number, line in enumerate(lines)
            if re.match(rf"({name} *=|\[slurm\.{name}\])", line)
        ]
        assert "#" in lines[at] or lines[at - 1].startswith("#"), key


def test_tables_are_optional_but_keys_are_not(tmp_path):
    only = EXAMPLE[: EXAMPLE.index("[slurm]")]
    profile = load(tmp_path, only)
    assert (profile.slurm, profile.kubernetes) == (None, None)
    assert profile.flops_per_second == 4e14
    with pytest.raises(UsageError, match=r"lacks slurm\.retries"):
        load(tmp_path, re.sub(r"(?m)^retries.*$", "", EXAMPLE))
    with pytest.raises(UsageError, match="lacks flops_per_second"):
        load(tmp_path, EXAMPLE[EXAMPLE.index("[slurm]") :])


@pytest.mark.parametrize(
    ("written", "minutes"),
    [
        ("90", 90),
        ('"01:30:00"', 90),
        ('"00:00:01"', 1),
        ('"2-00:00:30"', 2881),
        ('"100:00:00"', 6000),
    ],
)
def test_a_time_limit_is_minutes_rounded_up(written, minutes, tmp_path):
    text = changed("signal_seconds", "30").replace('"24:00:00"', written)
    slurm = load(tmp_path, text).slurm
    assert slurm is not None
    assert slurm.time_limit == minutes


@given(days=st.integers(0, 9), seconds=st.integers(0, 86399))
def test_slurm_times_are_parsed(days, seconds):
    minute, second = divmod(seconds, 60)
    text = f"{days}-{minute // 60:02d}:{minute % 60:02d}:{second:02d}"
    found = profiles._minutes(text)
    assert isinstance(found, int)
    assert 0 <= 60 * found - (86400 * days + seconds) < 60


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("time_limit", '"1 day"', "must be minutes, or text HH:MM:SS, not '1 day'"),
        ("time_limit", "0", "slurm.time_limit must be at least 1"),
        ("nodes", "1.5", "slurm.nodes must be a whole number, not 1.5"),
        ("nodes", "true", "slurm.nodes must be a whole number, not True"),
        ("gpus_per_node", "-1", "slurm.gpus_per_node must be at least 0"),
        ("partition", "3", "slurm.partition must be text in quotes, not 3"),
        ("setup", '"module load"', "slurm.setup must be a list of texts"),
        ("setup", "[1]", "slurm.setup must be a list of texts, not 1"),
        ("signal_seconds", "90000", "must be below slurm.time_limit"),
        ("flops_per_second", "0", "must be a positive number, not 0"),
        ("flops_per_second", "inf", "must be a positive number, not inf"),
        ("flops_per_second", "true", "must be a number, not True"),
        ("topology", '"2by4"', "kubernetes.topology must be such as 2x4"),
        ("topology", '"4x4"', "topology 4x4 has 16 chips, but 2 hosts of 4 have 8"),
        ("accelerator", '""', "kubernetes.accelerator must name the kind of TPU"),
        ("mount_path", '"runs"', "kubernetes.mount_path must be a path from /"),
        ("namespace", '"My_Space"', "kubernetes.namespace must be a DNS label"),
        ("image", '""', "kubernetes.image must be the name of an image"),
    ],
)
def test_bad_values_are_named(key, value, message, tmp_path):
    with pytest.raises(UsageError, match=re.escape(message)):
        load(tmp_path, changed(key, value))


def test_unknown_key_suggests_nearest(tmp_path):
    text = EXAMPLE.replace("partition =", "partiton =")
    with pytest.raises(UsageError, match=r"slurm\.partiton; did you mean slurm\.part"):
        load(tmp_path, text)
    with pytest.raises(UsageError, match="no key colour; configs/cluster/example.toml"):
        load(tmp_path, "colour = 1\n" + EXAMPLE)


def test_all_mistakes_are_reported_with_file(tmp_path):
    text = changed("nodes", "0").replace("retries = 2", "retries = -1")
    with pytest.raises(UsageError) as caught:
        load(tmp_path, text)
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(str(tmp_path / "cluster.toml")) for line in lines)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ('array = "0-9"', "slurm.options.array is set by the sweep itself"),
        ('job_name = "x"', "slurm.options.job_name is set by the sweep itself"),
        ("exclusive = false", "must be text, a whole number or true, not False"),
    ],
)
def test_reserved_options_are_refused(option, message, tmp_path):
    with pytest.raises(UsageError, match=re.escape(message)):
        load(tmp_path, EXAMPLE.replace('# qos = "high"', option))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[slurm\n", "is not TOML"),
        (b"\xff\xfe", "is not TOML"),
        (b"", "lacks flops_per_second"),
    ],
)
def test_file_that_is_no_profile_is_refused(content, message, tmp_path):
    path = tmp_path / "cluster.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        profiles.load(path)


def test_missing_file_error_names_example(tmp_path):
    with pytest.raises(UsageError, match=r"does not exist; copy configs/cluster/exam"):
        profiles.load(tmp_path / "none.toml")
