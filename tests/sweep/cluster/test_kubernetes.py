"""The JobSets, field by field; no cluster has seen them here."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bert_jax.run import exits
from bert_jax.run.config import UsageError
from bert_jax.sweep.cluster import chain, kubernetes, profiles
from bert_jax.sweep.cluster.task import RunTask
from tests.running import ROOT

LABEL = r"[a-z]([a-z0-9-]*[a-z0-9])?"  # RFC 1035
EXAMPLE = profiles.load(ROOT / profiles.EXAMPLE)
GPU = {"topology": "", "accelerator": "nvidia-h100-80gb", "devices_per_host": 8}


@pytest.fixture
def mounted(tmp_path, monkeypatch) -> Path:
    """Called in a volume, which pods see under the same path."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tasks(folder: Path, name: str) -> list[RunTask]:
    first = RunTask(f"{name}/pretrain", folder / name / "pretrain", "")
    return [first, RunTask(f"{name}/sst2", folder / name / "sst2", first.name)]


def text(mount: Path, names: list[str], root="runs", **changes) -> str:
    assert EXAMPLE.kubernetes is not None
    table = EXAMPLE.kubernetes._replace(**{"mount_path": str(mount), **changes})
    profile = EXAMPLE._replace(kubernetes=table)
    folder = Path(root) / "X"
    chains = [tasks(folder, name) for name in names]
    return kubernetes.manifest(chains, folder / "code", folder, profile, "X")


def one(mount: Path, **changes) -> dict[str, Any]:
    [document] = yaml.safe_load_all(text(mount, ["a/seed_0"], **changes))
    return document


def job(document: dict[str, Any]) -> dict[str, Any]:
    [replicated] = document["spec"]["replicatedJobs"]
    assert replicated["name"] == "run"
    assert replicated["replicas"] == 1
    return replicated["template"]["spec"]


def pod(document: dict[str, Any]) -> dict[str, Any]:
    return job(document)["template"]["spec"]


def container(document: dict[str, Any]) -> dict[str, Any]:
    [only] = pod(document)["containers"]
    return only


def test_each_chain_is_one_jobset(mounted):
    documents = list(yaml.safe_load_all(text(mounted, ["a/seed_0", "b/seed_1"])))
    assert len(documents) == 2
    for document in documents:
        assert document["apiVersion"] == "jobset.x-k8s.io/v1alpha2"
        assert document["kind"] == "JobSet"
        assert document["metadata"]["namespace"] == "default"
    names = [document["metadata"]["name"] for document in documents]
    assert re.fullmatch(r"x-a-seed-0-[0-9a-f]{8}", names[0])
    assert re.fullmatch(r"x-b-seed-1-[0-9a-f]{8}", names[1])


def test_one_indexed_pod_per_host(mounted):
    found = job(one(mounted))
    assert found["completionMode"] == "Indexed"
    assert (found["completions"], found["parallelism"]) == (2, 2)


def test_the_exit_codes_decide_who_is_started_again(mounted):
    document = one(mounted)
    found = job(document)
    assert pod(document)["restartPolicy"] == "Never"  # podFailurePolicy wants it
    assert found["backoffLimit"] == 0  # any other failure fails the job ...
    assert found["podReplacementPolicy"] == "Failed"  # ... once its process is gone
    final, saved, disrupted = found["podFailurePolicy"]["rules"]
    codes = {"containerName": "run", "operator": "In"}
    assert final == {
        "action": "FailJob",
        "onExitCodes": {**codes, "values": [exits.USAGE, exits.DIVERGED]},
    }
    assert saved == {
        "action": "Ignore",
        "onExitCodes": {**codes, "values": [exits.PREEMPTED]},
    }
    condition = {"type": "DisruptionTarget", "status": "True"}
    assert disrupted == {"action": "Ignore", "onPodConditions": [condition]}
    policy = document["spec"]["failurePolicy"]
    assert policy["maxRestarts"] == 3  # ... and with it restarts the whole
    [rule] = policy["rules"]
    assert re.fullmatch(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?", rule.pop("name"))
    assert rule == {"action": "FailJobSet", "onJobFailureReasons": ["PodFailurePolicy"]}


def test_there_is_time_to_save(mounted):
    found = pod(one(mounted, grace_seconds=120))
    assert found["terminationGracePeriodSeconds"] == 120


def test_tpu_hosts_are_on_one_slice(mounted):
    document = one(mounted)
    assert document["metadata"]["annotations"] == {
        "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
    }
    assert pod(document)["nodeSelector"] == {
        "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
        "cloud.google.com/gke-tpu-topology": "2x4",
    }
    assert container(document)["resources"] == {"limits": {"google.com/tpu": 4}}
    [toleration] = pod(document)["tolerations"]
    assert toleration["key"] == "google.com/tpu"


def test_gpu_nodes_are_chosen_by_their_kind(mounted):
    document = one(mounted, **GPU)
    assert "annotations" not in document["metadata"]
    assert pod(document)["nodeSelector"] == {
        "cloud.google.com/gke-accelerator": "nvidia-h100-80gb"
    }
    assert container(document)["resources"] == {"limits": {"nvidia.com/gpu": 8}}
    [toleration] = pod(document)["tolerations"]
    assert toleration["key"] == "nvidia.com/gpu"
    anywhere = one(mounted, **{**GPU, "accelerator": ""})
    assert pod(anywhere)["nodeSelector"] == {}


def test_hosts_meet_at_the_name_of_pod_0(mounted):
    document = one(mounted)
    name = document["metadata"]["name"]
    assert document["spec"]["network"] == {
        "enableDNSHostnames": True,
        "subdomain": name,
        "publishNotReadyAddresses": True,
    }
    assert environment(document) == {
        "PYTHONPATH": f"{mounted}/runs/X/code",
        "JAX_COORDINATOR_ADDRESS": f"{name}-run-0-0.{name}:10000",
        "JAX_NUM_PROCESSES": "2",
    }


def test_a_single_host_meets_nobody(mounted):
    document = one(mounted, topology="2x4", hosts=1, devices_per_host=8)
    assert environment(document).keys() == {"PYTHONPATH"}
    assert "annotations" not in document["metadata"]


def environment(document: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container(document)["env"]}


def test_pod_runs_chain_from_volume(mounted):
    document = one(mounted, image="bert-jax:7")
    found = container(document)
    assert found["name"] == "run"
    assert found["image"] == "bert-jax:7"
    assert found["workingDir"] == str(mounted)
    assert found["command"] == ["python", "-P", "-m", "bert_jax.sweep.cluster.chain"]
    path, index = found["args"]
    assert Path(path).parent == mounted / "runs/X/kubernetes"
    code, folder, listed, retries = chain.load(Path(path), int(index))
    assert (code, folder) == (mounted / "runs/X/code", mounted / "runs/X")
    assert list(listed) == tasks(mounted / "runs/X", "a/seed_0")
    assert retries == 0  # the JobSet counts them


def test_the_volume_is_mounted_where_it_is_here(mounted):
    document = one(mounted)
    [mount] = container(document)["volumeMounts"]
    [volume] = pod(document)["volumes"]
    assert mount == {"name": volume["name"], "mountPath": str(mounted)}
    assert volume["persistentVolumeClaim"] == {"claimName": "bert-runs"}


def test_what_pods_could_not_see_is_refused(mounted):
    with pytest.raises(
        UsageError, match=r"is not in /elsewhere, where .*example\.toml"
    ):
        text(Path("/elsewhere"), ["a/seed_0"])
    assert not (mounted / "runs").exists()


def test_a_profile_without_kubernetes_is_refused(mounted):
    profile = EXAMPLE._replace(kubernetes=None)
    with pytest.raises(UsageError, match=r"has no table \[kubernetes\]"):
        kubernetes.manifest([], mounted, mounted, profile, "X")


def test_names_are_stable_and_head_has_commands(mounted):
    first = text(mounted, ["a/seed_0"])
    assert first == text(mounted, ["a/seed_0"])
    head = [line for line in first.splitlines() if line.startswith("#")]
    assert any("kubectl apply -f" in line for line in head)
    labels = one(mounted)["metadata"]["labels"]
    selector = ",".join(f"{key}={value}" for key, value in labels.items())
    assert any(f"-l {selector}" in line for line in head)


@given(
    names=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True),
    seed=st.integers(0, 10**9),
)
def test_names_become_unique_short_labels(names, seed):
    folder = Path("runs/X")
    chains = [tasks(folder, f"{name}/seed_{seed}") for name in names]
    made = [kubernetes._name(folder, names[0], each) for each in chains]
    assert made[0] != made[1]
    for name in made:
        assert re.fullmatch(LABEL, f"{name}-run-0-9999-abcde")
        assert len(f"{name}-run-0-9999-abcde") < 63
    assert re.fullmatch(LABEL, kubernetes._slug(names[0]))


def test_paths_are_no_variables_of_kubernetes(mounted):
    """FAULTS 51: in arguments and in the environment $(NAME) is one, unless doubled."""
    document = one(mounted, root="$(PYTHONPATH)")
    assert container(document)["args"][0].startswith(f"{mounted}/$$(PYTHONPATH)/X/kube")
    assert environment(document)["PYTHONPATH"] == f"{mounted}/$$(PYTHONPATH)/X/code"
