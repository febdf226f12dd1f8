"""The writer of orbax, and what of it must be set before it is made."""

import asyncio

import jax
import orbax.checkpoint as ocp

SHARED = 2**20  # bytes that a device has to write before it takes a share of the work
PATIENCE = 60  # seconds that a failed save is given to end what it began


class EventLoop(asyncio.SelectorEventLoop):
    """An event loop that lets its tasks end before it closes.

    Orbax writes arrays side by side and closes its loop at the first that fails; those
    that fail after it would each print a traceback, of a loop that is closed.
    """

    def close(self) -> None:
        if not self.is_closed() and (tasks := asyncio.all_tasks(self)):
            self.run_until_complete(asyncio.wait(tasks, timeout=PATIENCE))
        super().close()


class EventLoops(asyncio.DefaultEventLoopPolicy):
    """The policy by which a process that saves makes its event loops: the threads of
    orbax take theirs from nowhere else."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return EventLoop()


def make() -> ocp.AsyncCheckpointer:
    """A writer in the background, whose failures print nothing of their own."""
    asyncio.set_event_loop_policy(EventLoops())
    # Of an array that all devices hold each writes a part, which it cuts out by a
    # program of its own, compiled at the first save: that pays for large ones alone.
    types = ocp.type_handlers
    handler = types.ArrayHandler(min_slice_bytes_for_replica_parallel=SHARED)
    types.register_type_handler(jax.Array, handler, override=True)
    return ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler())
