"""Whether the tables hold what a forwarder writes: SQLite takes any type in any column, and damage changes types.

Whoever reads the journal relies on these types. One look at opening, which reads no contents, stands for a check in
each of these places. What is in the texts and bodies is looked at by `forwarder journal verify`.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import get_args

from forwarder.errors import JournalDamaged
from forwarder.events import Activity

_ACTIVITIES = ", ".join(f"'{one}'" for one in get_args(Activity))
_REAL = "typeof({0}) IN ('real', 'integer')"
_KINDS = {
    "text": "typeof({0}) = 'text'",
    "blob": "typeof({0}) = 'blob'",
    "integer": "typeof({0}) = 'integer'",
    "count": "typeof({0}) = 'integer' AND {0} BETWEEN 0 AND 9007199254740992",  # sums stay below 64 bits
    "number": _REAL,
    "time": f"{_REAL} AND {{0}} BETWEEN -62135596800 AND 253402300799",  # the years 1 to 9999
    "activity": f"{{0}} IN ({_ACTIVITIES})",
    "note": """typeof({0}) = 'blob' AND
               (name <> 'last' OR (length({0}) BETWEEN 1 AND 18 AND CAST({0} AS TEXT) NOT GLOB '*[^0-9]*')) AND
               (name <> 'seen_since' OR ((CAST({0} AS TEXT) GLOB '[0-9]*' OR CAST({0} AS TEXT) GLOB '-[0-9]*')
               AND substr(CAST({0} AS TEXT), 2) NOT GLOB '*[^0-9.]*' AND CAST({0} AS TEXT) NOT GLOB '*.*.*'))""",
}
_TABLES = {
    "batches": "first count, count count, bytes count, time time, body blob",
    "streams": """id integer, source text, path text, device integer, inode integer, generation integer, offset integer,
                  skip_until integer, first_line blob, head_size integer, head blob, tail_size integer, tail blob,
                  state blob, time number, seen integer""",
    "cursors": "sink text, acked integer, in_flight integer",
    "dead_letters": """id integer, time time, source text?, sink text?, file text?, offset integer?, size integer?,
                       reason text, body blob, event integer?, attempts integer""",
    "notes": "name text, value note",
    "retries": "id integer, letter integer, time number",
    "acks": "sink text, second time, acked integer",
    "plugin_notes": "owner text, key text, body blob",
    "sessions": """agent text, session_id text, last time, said activity?, said_at time?, actor text?, alive time?,
                   ended time?, ended_reason text?, started time?, cwd text?, git_branch text?, model text?,
                   pid integer?, parent_session_id text?""",
}
_FACTS = (
    "SELECT fact, batch FROM seen_lately LIMIT 0",
    "SELECT fact FROM seen LIMIT 0",
    "SELECT fact FROM seen_before LIMIT 0",
)


def _query(table: str, columns: str) -> str:
    """Names the first column that holds what it must not; nothing when there is none."""
    cases: list[str] = []
    for column in columns.split(","):
        name, kind = column.split()
        condition = _KINDS[kind.removesuffix("?")].format(name)
        allowed = f"{name} IS NULL OR ({condition})" if kind.endswith("?") else f"{name} IS NOT NULL AND ({condition})"
        cases.append(f"WHEN NOT ({allowed}) THEN '{name}'")
    return f"SELECT CASE {' '.join(cases)} END AS wrong FROM {table} WHERE wrong IS NOT NULL LIMIT 1"


_QUERIES = {table: _query(table, columns) for table, columns in _TABLES.items()}


def check_sound(connection: sqlite3.Connection, path: Path) -> None:
    """Raises `JournalDamaged` when a table or column is missing, or holds what no forwarder writes."""
    try:
        for query in _FACTS:
            connection.execute(query)
        for table, query in _QUERIES.items():
            if found := connection.execute(query).fetchone():
                raise JournalDamaged(f"{path} is damaged: {table}.{found[0]} holds what no forwarder has written")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_ERROR:  # no such table, no such column; others are of the disk
            raise JournalDamaged(f"{path} is damaged: {error}") from error
        raise
