"""Devices that are not here, as JAX describes them to the compilers that are."""

from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import topologies

from bert_jax.run import hardware
from bert_jax.run.config import UsageError

HOST = 8  # GPUs of one machine

# What XLA asks an H100 SXM; the same text that a process beside one would get.
H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
runtime_version { major: 12 minor: 9 }
dnn_version_info { major: 9 minor: 10 }
gpu_device_info {
  cuda_compute_capability { major: 9 }
  core_count: 132
  fpus_per_core: 128
  clock_rate_ghz: 1.98
  device_memory_size: 84929347584
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  shared_memory_per_core: 233472
  shared_memory_per_block: 49152
  shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
  threads_per_warp: 32
  threads_per_core_limit: 2048
  threads_per_block_limit: 1024
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
}
"""


def devices(topology: str) -> Sequence[Any]:
    """Devices of `v5e:4x4`, `h100:8` or `cpu:8`, to compile for. Raises UsageError.

    The environment must be as `hardware.environment` has it.
    """
    name, _, shape = topology.partition(":")
    if hardware.chip(topology) is None:
        if int(shape) > jax.device_count():
            raise UsageError(f"only {jax.device_count()} devices are simulated here")
        return jax.devices()[: int(shape)]
    try:
        if name == "h100":
            return _gpus(int(shape))
        return topologies.get_topology_desc(topology, platform="tpu").devices
    except jax.errors.JaxRuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"the compiler does not take the topology {topology}: {reason}"
        )


def _gpus(count: int) -> Sequence[Any]:
    hosts, left = divmod(count, HOST)
    if hosts and left:
        raise UsageError(f"{count} H100 are no whole machines of {HOST}")
    shape = f"1x{hosts}x{HOST}" if hosts else f"1x1x{count}"
    return topologies.get_topology_desc(
        platform="cuda", target_config=H100, topology=shape
    ).devices
