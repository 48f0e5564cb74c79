"""What the service's process really holds, told from inside.

Python imports a module of this name by itself before anything else; the soak puts this folder on the service's
path, so the service needs no door for it. Whoever connects to the Unix socket named in `SOAK_SOCKET` gets two
numbers: Python's blocks, and the bytes that were taken from malloc by the rest (large objects, gRPC, TLS). Both
are counted when garbage is gone, and neither knows the holes that an allocator keeps, as resident memory does.
"""

import ctypes
import gc
import os
import socket
import sys
import threading


class Mallinfo2(ctypes.Structure):
    """glibc's `struct mallinfo2` (malloc.h, from 2.33): all arenas together, in bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def answer(path: str) -> None:
    """Answers for ever."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Mallinfo2
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()
        while True:
            with listening.accept()[0] as asked:
                gc.collect()
                blocks, malloc = sys.getallocatedblocks(), mallinfo2()
                asked.sendall(f"{blocks} {malloc.uordblks + malloc.hblkhd}".encode())


if "SOAK_SOCKET" in os.environ:
    threading.Thread(target=answer, args=(os.environ["SOAK_SOCKET"],), daemon=True).start()
