"""A service's life as a process: who it is, how it is found, started and ended.

A serving process holds an exclusive `flock` on `<state>/run/<port>.lock` for as long as it lives; the kernel lets
go of it however the process ends. The file says who that is, and what is there after the process is only paper. So
a process is the service of a port when the lock is held *and* the process named inside has the start time named
inside: a number that went to another process since is never taken for it, nor signalled.

    run/3456.lock      held, exclusive, by the service; holds its `Info` as JSON
    run/3456.starting  held, exclusive, by who starts the service, or ends it because nobody uses it
    run/3456.users     held, shared, by each `ccproxy code`
    run/3456.keep      the token of a service that stays although `ccproxy code` started it

Lock files are never removed: a lock on a file that is gone excludes nobody.

`lock` is who a service is, `life` its start and its end.
"""

from ccproxy.daemon.life import Start, StartError, keep, reload, start, stop, tail, using
from ccproxy.daemon.lock import (
    AlreadyRunningError,
    Held,
    Info,
    NotProvenError,
    Owner,
    Plan,
    State,
    describe,
    find,
    find_all,
    hold,
    last,
    reachable,
    started,
)

__all__ = [
    "AlreadyRunningError",
    "Held",
    "Info",
    "NotProvenError",
    "Owner",
    "Plan",
    "Start",
    "StartError",
    "State",
    "describe",
    "find",
    "find_all",
    "hold",
    "keep",
    "last",
    "reachable",
    "reload",
    "start",
    "started",
    "stop",
    "tail",
    "using",
]
