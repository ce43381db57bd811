"""The order of work: queues, of which streams are handles, and what each is known to come after."""

Clock = dict[int, int]
"""How far each queue has come, by number of the queue: a vector clock."""


def merge(clock: Clock, other: Clock) -> None:
    """Move a clock on, so that it is not before another."""
    for number, position in other.items():
        if clock.get(number, 0) < position:
            clock[number] = position


def covers(clock: Clock, number: int, position: int) -> bool:
    """Tell whether what a queue did as its `position`-th piece of work is done by this clock."""
    return clock.get(number, 0) >= position


class Queue:
    """The work given to one stream, in its order; other queues and the host come in by waiting."""

    def __init__(self, machine, number: int) -> None:
        self.machine = machine
        self.number = number
        self.position = 0
        self.after: Clock = {}
        """What is done before the next piece of work starts."""

    def push(self) -> int:
        """Add a piece of work: it comes after all before it, and all that the host has waited for."""
        with self.machine.lock:
            merge(self.after, self.machine.host)
            self.position += 1
            self.after[self.number] = self.position
            return self.position

    def wait(self, clock: Clock) -> None:
        """What is pushed from now on comes after a clock."""
        with self.machine.lock:
            merge(self.after, clock)

    def clock(self) -> Clock:
        """What is done once the newest piece of work is."""
        with self.machine.lock:
            return dict(self.after)

    def synchronize(self) -> None:
        """The host waits for all work of this queue, and what that has waited for."""
        self.machine.wait(self.clock())

    def knows(self, number: int, position: int) -> bool:
        """Tell whether work of this queue comes after a piece of work of another."""
        return covers(self.after, number, position) or covers(self.machine.host, number, position)
