"""The script that Claude Code's hooks run: it puts one payload into the spool of its home, and can do no harm.

It exits with 0 and prints nothing whatever happens, reads no network, parses nothing, follows no symlink and stops at a
size limit. A hook is on the agent's critical path: where the shell itself can do a thing, no process is started for it.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from enum import StrEnum
from pathlib import Path

FOLDER = "forwarder"  # in Claude Code's home; `source.SPOOLS` looks for spools there
NAME = "hook.sh"
DROPPED = "dropped"  # beside it: a byte for each event that was not kept, because the spool was full

# File systems of this machine on which Linux serialises appends. NFS, SMB and FUSE do not promise it.
LOCAL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "overlay", "tmpfs", "xfs", "zfs"})


class Form(StrEnum):
    """How an event is kept: as a line of one file, by one write; or as a file of its own, by a rename."""

    LINE = "line"
    FILE = "file"


# The path begins with the system's folders, since the `cat` of a version manager may take 70 ms.
# `%N` is known to GNU and busybox; elsewhere the time is whole seconds, which name a file as milliseconds.
_BEGIN = r"""#!/bin/sh
# Keeps what a hook of Claude Code was told, for forwarder; written by `forwarder hook`.
exec >/dev/null 2>&1
PATH=/usr/bin:/bin:$PATH
umask 077
folder=@folder@
spool=$folder/@spool@
for path in "$folder" "$spool" "$folder/dropped" "$folder/full" "$folder/torn"; do
    [ -h "$path" ] && exit 0
done
[ -d "$folder" ] || mkdir "$folder"
drop() {
    printf . >>"$folder/dropped"
    exit 0
}
now() {
    time=$(exec date +%s%N)
    case $time in *[!0-9]*) time=${time%%[!0-9]*}000 ;; esac
}
"""

# The newline is part of the only argument, which makes dash write once. The position behind what was written is the
# file's size; where the kernel does not tell it, `wc` does. A file that is full is measured until someone emptied it.
_LINE = r"""[ -e "$spool" ] && [ ! -f "$spool" ] && exit 0
if [ -e "$folder/full" ]; then
    size=$(exec wc -c <"$spool")
    [ "${size:-0}" -ge @max_bytes@ ] && drop
    rm -f "$folder/full"
fi
payload=$(exec cat)
[ -n "$payload" ] || exit 0
newline='
'
case $payload in *"$newline"*) payload=$(printf %s "$payload" | tr '\n' ' ') ;; esac
before=
[ -e "$folder/torn" ] && before=$newline && rm -f "$folder/torn"
now
{
    printf %s "$before{\"v\":1,\"ts\":${time:-null},\"pid\":$$,\"payload\":$payload}$newline" >&3 || : >"$folder/torn"
    read -r label size </proc/$$/fdinfo/3 || size=$(exec wc -c <"$spool")
    [ "${size:-0}" -ge @max_bytes@ ] && : >"$folder/full"
} 3>>"$spool"
exit 0
"""

# To measure a folder takes a process that grows with it: one hook in eight does, picked by its time, and all once full.
_FILE = r"""[ -d "$spool" ] || mkdir "$spool"
now
if [ -e "$folder/full" ] || [ $((${time:-0} / 1000 % 8)) -eq 0 ]; then
    size=$(exec du -sk "$spool")
    size=${size%%[!0-9]*}
    if [ "${size:-0}" -ge @max_kib@ ]; then
        : >"$folder/full"
        drop
    fi
    [ -e "$folder/full" ] && rm -f "$folder/full"
fi
name=${time:-0}-$$
set -C
if cat >"$spool/.$name" && [ -s "$spool/.$name" ]; then
    mv -f "$spool/.$name" "$spool/$name.json"
else
    rm -f "$spool/.$name"
fi
exit 0
"""


def script(folder: Path, form: Form, *, max_bytes: int) -> str:
    """The writer for a spool in `folder`, an absolute path. Events beyond `max_bytes` are only counted."""
    values = {
        "folder": shlex.quote(str(folder)),
        "spool": "hooks.jsonl" if form is Form.LINE else "hooks",
        "max_bytes": str(max_bytes),
        "max_kib": str(-(-max_bytes // 1024)),
    }
    text = _BEGIN + (_LINE if form is Form.LINE else _FILE)
    return re.sub(r"@(folder|spool|max_bytes|max_kib)@", lambda found: values[found[1]], text)


def install(home: Path, text: str) -> Path:
    """Write the writer into `home`, in one step, for its owner alone; the path.

    Raises `OSError`, also where the folder is a symlink: whoever put it there could read what the hooks are told.
    """
    folder = home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(at, 0o700)
        new = f".{NAME}.{os.getpid()}"
        file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o700, dir_fd=at)
        with os.fdopen(file, "w", encoding="utf-8", errors="surrogateescape") as opened:
            os.fchmod(file, 0o700)
            opened.write(text)
            opened.flush()
            os.fsync(file)
        os.replace(new, NAME, src_dir_fd=at, dst_dir_fd=at)
    finally:
        os.close(at)
    return folder / NAME


def dropped(home: Path) -> int:
    """How many events the writer in `home` has dropped because its spool was full."""
    try:
        return (home / FOLDER / DROPPED).lstat().st_size
    except FileNotFoundError:
        return 0


def form_for(home: Path) -> Form:
    """Lines where one write is known to stay whole: dash, which writes once, on a local file system of Linux."""
    is_dash = sys.platform == "linux" and Path("/bin/sh").resolve().name == "dash"
    return Form.LINE if is_dash and _file_system(home) in LOCAL else Form.FILE


def _file_system(path: Path) -> str:
    """The type of the file system that holds `path`, on Linux."""
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    mounts = [(line.split()[4], line.partition(" - ")[2].split()[0]) for line in lines]
    above = [(len(point), at, kind) for at, (point, kind) in enumerate(mounts) if path.resolve().is_relative_to(point)]
    return max(above)[2]  # the deepest, and of several on one point the last
