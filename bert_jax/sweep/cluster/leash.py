"""Process wrapper of local runs: python leash.py LAUNCHER CORES COMMAND...

Replaces itself by the command. The process gets SIGTERM when the launcher (a process
id) dies for any reason, and is pinned to CORES, numbers separated by commas. Run as a
file: it imports nothing of the package and starts at once.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; it outlives the exec
SAVED = 75  # exit code: nothing was begun, so nothing is lost


def main(launcher: str, cores: str, *command: str) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(launcher):  # the launcher died in between
            sys.exit(SAVED)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
