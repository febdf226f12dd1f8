"""Event loops for orbax, whose failed saves else end in tracebacks of its threads."""

import asyncio

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
