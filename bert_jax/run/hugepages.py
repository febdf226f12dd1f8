"""Memory in large pages, for a process that takes much at a time and gives it back.

XLA's CPU client asks for the temporaries of a step at every step. In pages of 4 kB each
of them is a fault: 147,000 for the 0.6 GB of BERT-small, a tenth of the processor's
time. In pages of 2 MB there are a few hundred.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

TUNABLES = "GLIBC_TUNABLES"
WISH = "glibc.malloc.hugetlb=1"  # its malloc asks the kernel by madvise
SINCE = (2, 35)
KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def start_again() -> None:
    """Replace this process by the same with the wish, if that changes anything: glibc
    reads it at the start alone."""
    if wish := environment(os.environ, KERNEL):
        command = [sys.executable, *sys.orig_argv[1:]]
        os.execve(sys.executable, command, {**os.environ, **wish})


def environment(given: Mapping[str, str], kernel: Path) -> dict[str, str]:
    """What is missing of the environment; nothing where large pages come unasked, or
    never, or where the user tunes malloc."""
    asked = kernel.is_file() and "[madvise]" in kernel.read_text()
    if TUNABLES in given or not asked or _glibc() < SINCE:
        return {}
    return {TUNABLES: WISH}


def _glibc() -> tuple[int, ...]:
    name = "CS_GNU_LIBC_VERSION"
    said = os.confstr(name) if name in os.confstr_names else None
    return tuple(map(int, said.split()[1].split("."))) if said else (0,)
