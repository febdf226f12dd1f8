"""JobSet manifests of chains, for TPU slices and GPU nodes; kubectl applies them.

API: jobset.x-k8s.io/v1alpha2, and a Job's podFailurePolicy (Kubernetes 1.31). Pods see
the sweep under the same paths as this machine, on a volume that both mount.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from bert_jax.run import exits
from bert_jax.run.config import UsageError
from bert_jax.sweep.cluster import chain as chains_
from bert_jax.sweep.cluster.profiles import EXAMPLE, Kubernetes, Profile
from bert_jax.sweep.cluster.task import PYTHONPATH, RunTask, check_path

RECORDS = "kubernetes"
RUN = "run"  # name of the only replicated job and of its container
VOLUME = "runs"
SLUG = 36  # so that NAME-run-0-9999-abcde, a pod's longest name, stays below 63

# A slice's nodes belong to one JobSet: its hosts must be on one slice.
EXCLUSIVE = {
    "alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"
}

HEAD = """\
# {count} chains of runs of {name}, a JobSet each. Needs JobSet in the cluster and the
# volume claim {claim}.
#   kubectl apply -f FILE                        starts what is not there
#   kubectl replace --force -f FILE              starts all again; runs that are done end at once
#   kubectl delete jobset -n {namespace} -l {label}   cancels; the runs save
"""


def manifest(
    chains: Sequence[Sequence[RunTask]],
    code: Path,
    folder: Path,
    profile: Profile,
    name: str,
) -> str:
    """Return a YAML document for each chain, for kubectl.

    Writes SWEEP/kubernetes/NAME.json, which the pods of that name read. The names
    depend on folder and chain alone. Raises UsageError.
    """
    if profile.kubernetes is None:
        raise UsageError(f"{profile.path} has no table [kubernetes]; see {EXAMPLE}")
    check(folder)
    _check_mounted(profile, code, folder, Path.cwd())
    documents = []
    for chain in chains:
        jobset_name = _name(folder, name, chain)
        listed = folder / RECORDS / f"{jobset_name}.json"
        listed.parent.mkdir(parents=True, exist_ok=True)
        # No retries in place: the JobSet counts them.
        chains_.save(listed, code, folder, [chain], 0)
        documents.append(
            _jobset(jobset_name, _slug(name), listed, code, profile.kubernetes)
        )
    head = HEAD.format(
        count=len(chains),
        name=name,
        claim=profile.kubernetes.claim,
        namespace=profile.kubernetes.namespace,
        label=_selector(_labels(_slug(name))),
    )
    return head + yaml.safe_dump_all(documents, sort_keys=False, explicit_start=True)


def check(folder: Path) -> None:
    """Refuse a folder that a manifest cannot name. Raises UsageError."""
    check_path(folder, PYTHONPATH)


def _check_mounted(profile: Profile, *paths: Path) -> None:
    assert profile.kubernetes is not None
    mount = profile.kubernetes.mount_path
    outside = [path for path in paths if not path.absolute().is_relative_to(mount)]
    if outside:
        raise UsageError(
            f"{outside[0].absolute()} is not in {mount}, where {profile.path} mounts the "
            f"volume: pods could not see it. Mount the volume here at {mount} too, and "
            "call this in it, with --root in it"
        )


def _name(folder: Path, name: str, chain: Sequence[RunTask]) -> str:
    """A unique DNS label (RFC 1035) of a chain, short enough for its pods."""
    chain_name = chains_.name(chain)
    mark = hashlib.sha256(f"{folder.absolute()} {chain_name}".encode()).hexdigest()[:8]
    return f"{_slug(f'{name}-{chain_name}')}-{mark}"


def _slug(text: str) -> str:
    slug = re.sub("[^a-z0-9]+", "-", text.lower()).strip("-")
    slug = slug if slug[:1].isalpha() else f"s-{slug}"
    return slug[:SLUG].strip("-")


def _labels(sweep: str) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "bert-jax",
        "app.kubernetes.io/part-of": sweep,
    }


def _selector(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _jobset(
    name: str, sweep: str, listed: Path, code: Path, cluster: Kubernetes
) -> dict[str, Any]:
    on_slice = bool(cluster.topology) and cluster.hosts > 1
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {
            "name": name,
            "namespace": cluster.namespace,
            "labels": _labels(sweep),
            **({"annotations": EXCLUSIVE} if on_slice else {}),
        },
        "spec": {
            # Pod 0 is reachable as NAME-run-0-0.NAME before it is ready.
            "network": {
                "enableDNSHostnames": True,
                "subdomain": name,
                "publishNotReadyAddresses": True,
            },
            "failurePolicy": {
                "maxRestarts": cluster.max_restarts,
                "rules": [
                    {
                        "name": "wouldOnlyRepeatItself",
                        "action": "FailJobSet",
                        "onJobFailureReasons": ["PodFailurePolicy"],
                    }
                ],
            },
            "replicatedJobs": [
                {
                    "name": RUN,
                    "replicas": 1,
                    "template": {"spec": _job(name, listed, code, cluster)},
                }
            ],
        },
    }


def _job(name: str, listed: Path, code: Path, cluster: Kubernetes) -> dict[str, Any]:
    """The Job: one pod a host. If one crashes the job fails, and the JobSet
    restarts."""
    return {
        "completionMode": "Indexed",
        "completions": cluster.hosts,
        "parallelism": cluster.hosts,
        "backoffLimit": 0,
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                _on_codes("FailJob", exits.USAGE, exits.DIVERGED),
                _on_codes("Ignore", exits.PREEMPTED),
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                },
            ]
        },
        "template": {"spec": _pod(name, listed, code, cluster)},
    }


def _on_codes(action: str, *codes: int) -> dict[str, Any]:
    on = {"containerName": RUN, "operator": "In", "values": list(codes)}
    return {"action": action, "onExitCodes": on}


def _pod(name: str, listed: Path, code: Path, cluster: Kubernetes) -> dict[str, Any]:
    resource = "google.com/tpu" if cluster.topology else "nvidia.com/gpu"
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": cluster.grace_seconds,
        "nodeSelector": _nodes(cluster),
        "tolerations": [
            {"key": resource, "operator": "Exists", "effect": "NoSchedule"}
        ],
        "containers": [
            {
                "name": RUN,
                "image": cluster.image,
                "workingDir": str(Path.cwd()),
                # -P: see bert_jax/sweep/cluster/chain.py
                "command": ["python", "-P", "-m", "bert_jax.sweep.cluster.chain"],
                "args": [_literal(str(listed.absolute())), "0"],
                "env": _environment(name, code, cluster),
                "resources": {"limits": {resource: cluster.devices_per_host}},
                "volumeMounts": [{"name": VOLUME, "mountPath": cluster.mount_path}],
            }
        ],
        "volumes": [
            {"name": VOLUME, "persistentVolumeClaim": {"claimName": cluster.claim}}
        ],
    }


def _nodes(cluster: Kubernetes) -> dict[str, str]:
    if cluster.topology:
        return {
            "cloud.google.com/gke-tpu-accelerator": cluster.accelerator,
            "cloud.google.com/gke-tpu-topology": cluster.topology,
        }
    if cluster.accelerator:
        return {"cloud.google.com/gke-accelerator": cluster.accelerator}
    return {}


def _environment(name: str, code: Path, cluster: Kubernetes) -> list[dict[str, str]]:
    given = {"PYTHONPATH": str(code.absolute())}
    if cluster.hosts > 1:
        coordinator = f"{name}-{RUN}-0-0.{name}:{chains_.PORT}"
        given["JAX_COORDINATOR_ADDRESS"] = coordinator
        given["JAX_NUM_PROCESSES"] = str(cluster.hosts)
    return [{"name": key, "value": _literal(text)} for key, text in given.items()]


def _literal(text: str) -> str:
    """Escape $ in a text, since Kubernetes expands $(NAME)."""
    return text.replace("$", "$$")
