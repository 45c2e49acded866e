"""How long a thread may run before one that wakes up takes its processor: its slice, as Linux 6.12 and later have it.

A thread with a shorter slice than the one that runs takes its place at once where it has a right to run; of two with
equal slices, the one that wakes waits for the other's slice, and that ends with a tick of up to 4 ms, whatever their
priorities. A call goes through a dozen threads: beside work that fills all processors it would wait a dozen times.

So threads that work behind the others have longer slices than the system's own, which is 1 to 3 ms, and processes that
decode longer ones still. A slice is no share: who has a longer one gets no more time, and who may hold Python's lock
has none that is longer than a tick. No right is needed for it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from contextlib import suppress

#: The shortest that Linux takes, and the longest, nanoseconds.
SHORT, LONG = 100_000, 100_000_000

#: Of threads that work behind the others, and of processes that decode.
BEHIND, DECODING = 4_000_000, 10_000_000

#: The system's own.
USUAL = 0

#: sched_setattr and sched_getattr by machine; elsewhere nothing is done.
_CALLS = {"x86_64": (314, 315), "aarch64": (274, 275)}

#: struct sched_attr in its first version: size, policy, flags, nice, priority, runtime, deadline, period.
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")

#: Policies that have a slice.
_NORMAL, _BATCH = 0, 3

#: The only flag that says what a thread is like, and not what is to be done.
_RESET_ON_FORK = 1


def set_slice(nanoseconds: int, thread: int = 0) -> bool:
    """Set the slice of a thread; threads and processes that it starts later begin with it.

    Args:
        nanoseconds: `SHORT` to `LONG`; `USUAL`: what the system gives.
        thread: its id in the system; 0: the calling one.

    Returns:
        Whether the system took it. Before Linux 6.12 it takes it and goes on as before.
    """
    with suppress(OSError, AttributeError, KeyError):
        fields = list(_attributes(thread))
        if fields[1] in (_NORMAL, _BATCH):  # another one is somebody's choice
            fields[2], fields[5] = fields[2] & _RESET_ON_FORK, nanoseconds
            _call(0, thread, ctypes.create_string_buffer(_ATTRIBUTES.pack(*fields), _ATTRIBUTES.size), 0)
            return True
    return False


def slice_of(thread: int = 0) -> int | None:
    """The slice of a thread, nanoseconds; None where the system does not say.

    Args:
        thread: as above.
    """
    with suppress(OSError, AttributeError, KeyError):
        return int(_attributes(thread)[5]) or None
    return None


def _attributes(thread: int) -> tuple[int, ...]:
    held = ctypes.create_string_buffer(_ATTRIBUTES.size)
    _call(1, thread, held, _ATTRIBUTES.size, 0)
    return _ATTRIBUTES.unpack(held.raw)


def _call(which: int, thread: int, held: ctypes.Array[ctypes.c_char], *more: int) -> None:
    """Call the system.

    Raises:
        OSError: it refused.
        KeyError: it is not known how to.
    """
    if os.name != "posix" or platform.system() != "Linux":
        raise KeyError(platform.system())
    number = _CALLS[platform.machine()][which]
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_long(number), ctypes.c_int(thread), held, *map(ctypes.c_uint, more))
    if libc.syscall(*arguments) != 0:
        raise OSError(ctypes.get_errno(), "the scheduler refused")
