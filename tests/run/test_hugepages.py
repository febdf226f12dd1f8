"""Large pages are asked for once, and only where the kernel waits to be asked."""

import os
import subprocess
import sys

import pytest

from bert_jax.run import hugepages
from tests.running import ROOT


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Makes the kernel's file, on a glibc that knows the wish."""
    monkeypatch.setattr(hugepages, "_glibc", lambda: (2, 36))
    path = tmp_path / "enabled"

    def saying(text):
        path.write_text(text)
        return path

    return saying


def test_madvise_kernel_gets_setting(kernel):
    path = kernel("always [madvise] never\n")
    assert hugepages.environment({}, path) == {
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"
    }


@pytest.mark.parametrize(
    "text", ["[always] madvise never\n", "always madvise [never]\n"]
)
def test_where_it_changes_nothing_nothing_is_asked(kernel, text):
    assert hugepages.environment({}, kernel(text)) == {}


def test_what_the_user_tunes_is_left_alone(kernel):
    path = kernel("always [madvise] never\n")
    assert hugepages.environment({"GLIBC_TUNABLES": "glibc.malloc.check=1"}, path) == {}


def test_other_kernels_and_glibc_get_nothing(kernel, monkeypatch, tmp_path):
    assert hugepages.environment({}, tmp_path / "absent") == {}
    monkeypatch.setattr(hugepages, "_glibc", lambda: (2, 34))
    assert hugepages.environment({}, kernel("always [madvise] never\n")) == {}


@pytest.mark.skipif(
    not hugepages.environment({}, hugepages.KERNEL),
    reason="this machine has no use for it",
)
def test_restarted_process_keeps_pid_and_arguments():
    code = (
        "import os, sys; from bert_jax.run import hugepages as pages; print(os.getpid(), flush=True); "
        "pages.restart_process(); print(os.environ[pages.TUNABLES], sys.flags.utf8_mode, "
        "sys.argv, sys.prefix)"
    )
    command = [sys.executable, "-X", "utf8", "-c", code, "an argument"]
    clean = {k: v for k, v in os.environ.items() if k != hugepages.TUNABLES}
    done = subprocess.run(
        command, cwd=ROOT, env=clean, check=True, capture_output=True, text=True
    )
    first, second, last = done.stdout.splitlines()
    assert first == second
    message = f"{hugepages.SETTING} 1 {['-c', 'an argument']} {sys.prefix}"
    assert last == message
