"""A launcher's hold on its run: python leash.py LAUNCHER CORES COMMAND...

Becomes the command, in a process that is asked to stop (SIGTERM) when the launcher, a
process id, dies, however it does, and that keeps to its cores, numbers parted by
commas. Run as a file: it imports nothing of the package and starts at once.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>; it outlives the exec
SAVED = 75  # nothing was begun, so nothing is lost


def main(launcher: str, cores: str, *command: str) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(launcher):  # it died in between
            sys.exit(SAVED)
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, map(int, cores.split(",")))
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
