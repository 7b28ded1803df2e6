"""A command as if nobody stood between it and its caller: files, environment, signals, job control, exit status.

Imported by `forwarder track`: see `forwarder_tool_usage.log`.
"""

from __future__ import annotations

import errno
import os
import signal

_STOPS = {signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_TERMINAL = {signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGWINCH, *_STOPS}
_OTHERS = {signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGCONT}
_WATCHED = {signal.SIGCHLD, *_TERMINAL, *_OTHERS}
_CHANGED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}  # ignored since the interpreter started


def start(command: list[str]) -> int:
    """Start the command; its process id. From here on signals wait for `wait`. Raises `OSError` if it cannot start."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored by some callers: then nobody would learn how it ended
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    environment = _environment()
    try:
        return os.posix_spawnp(command[0], command, environment, setsigmask=mask, setsigdef=_CHANGED_BY_PYTHON)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    script = [_found(command[0]), *command[1:]]  # without #!: shells run such a file themselves
    return os.posix_spawn("/bin/sh", ["sh", *script], environment, setsigmask=mask, setsigdef=_CHANGED_BY_PYTHON)


def wait(pid: int) -> int:
    """Pass signals on until the command is over; its wait status. Stops when the command is stopped."""
    while True:
        number, was_sent_to_us = _next_signal()
        if number == signal.SIGCHLD:
            status = _ended(pid)
            if status is not None:
                return status
        elif was_sent_to_us:
            os.kill(pid, number)


def exit_status(status: int) -> int:
    """A wait status as shells report it: 128 and the signal's number for a command that was killed."""
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _next_signal() -> tuple[int, bool]:
    """A signal, and whether it came to us alone: what the terminal sends, the command in our group has got as well."""
    if hasattr(signal, "sigwaitinfo"):
        info = signal.sigwaitinfo(_WATCHED)
        return info.si_signo, info.si_code <= 0 or info.si_signo not in _TERMINAL
    number = signal.sigwait(_WATCHED)  # macOS does not say where a signal comes from
    return number, number not in _TERMINAL


def _ended(pid: int) -> int | None:
    """The command's wait status if it is over. If it was stopped by job control, so are we, until we are continued."""
    while True:
        changed, status = os.waitpid(pid, os.WNOHANG | os.WUNTRACED)
        if not changed:
            return None
        if not os.WIFSTOPPED(status):
            return status
        if os.WSTOPSIG(status) in _STOPS:
            _stop(os.WSTOPSIG(status))


def _stop(number: int) -> None:
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    signal.pthread_sigmask(signal.SIG_BLOCK, {number})


def _environment() -> dict[bytes, bytes]:
    """As we were given it: in the C locale the interpreter has put an LC_CTYPE of its own into it (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            pairs = [entry.partition(b"=") for entry in file.read().split(b"\0")]
    except OSError:
        return dict(os.environb)
    return {name: value for name, equals, value in pairs if equals and name}


def _found(name: str) -> str:
    import shutil

    return name if "/" in name else shutil.which(name) or name
