"""Inputs that broke a promise, made as short as they could be: target, what went wrong, and the bytes."""

from __future__ import annotations

from typing import NamedTuple


class Found(NamedTuple):
    """`sentence` says what the input did when it was found."""

    target: str
    sentence: str
    data: bytes


FOUND = (
    Found(
        "claude_code",
        "A token count of more than 64 bits made the state unsavable and ended the forwarder, at every start again.",
        b'{"sessionId":"x","message":{"usage":{"input_tokens":-9223372036854775809}},"requestId":"x","type":"assistant",'
        b'"timestamp":"2026-11-21T01:05:27.115Z"}',
    ),
    Found(
        "claude_code",
        "A position below the first turn was told, which the schema does not allow.",
        b'{"type":"user","timestamp":"2026-11-21T00:59:29.763Z","turnPosition":{"turnIndex":-1},"sessionId":"x"}',
    ),
    Found(
        "pi",
        "A cost of NaN was written as one, and no sink could have read its batch.",
        b'{"type":"message","timestamp":"2026-11-21T00:51:28.963Z","message":{"role":"assistant","usage":{"cost":'
        b'{"total":"NaN"}}}}',
    ),
    Found(
        "pi_heartbeat",
        "The number of a process had more than 64 bits: the same, in the other form of file.",
        b'{"schemaVersion":2,"process":{"pid":73786976294838206464,"startedAt":1795222107611,"updatedAt":1795222111213,'
        b'"heartbeatSeq":5},"session":{"id":"s"}}\x1e{"schemaVersion":2}\x1e\x01gone',
    ),
    Found(
        "tool_usage",
        "A secret in a folder was told by the first file that named the folder, and by no other.",
        b'{"ts":"2026-11-20T09:15:44.310Z","kind":"job","name":"a","cwd":"before ghp_Zq7xW2mK9vLr4TnB8sYd1HcF6gJpA3eU5i'
        b'Ow behind","scope":"global","status":"started"}',
    ),
    Found("config", "Brackets by the thousand ended in a traceback.", b"a = " + b"[" * 5000),
    Found("config", "So did digits by the thousand.", b"max_line_bytes = " + b"9" * 5000),
    Found("rules", "So did a NUL in the path of a rule file that another one extends.", b'[extend]\npath = "\\u0000"'),
    Found("rules", "So did a rule file of brackets.", b"title = " + b"[" * 5000),
    Found(
        "rules",
        "A negative group was taken for one, and ended every search.",
        b"[[rules]]\nid = \"a\"\nregex = '''key'''\nsecretGroup = -1",
    ),
    Found(
        "redactor",
        "A URL with one of its slashes escaped has none of the rule's keywords, so one engine did not look further.",
        b"x:/\\/user:s3cret@host",
    ),
    Found("journal", "`forwarder status` had no words for a file that ends early.", b'[["cut", "db", 8197, 4, 0]]'),
    Found(
        "journal",
        "A body of another type ended `journal stats`, `why` and reading in tracebacks.",
        b'[["sql", "UPDATE batches SET body = CAST(body AS TEXT)"]]',
    ),
    Found(
        "journal",
        "So did a table that is missing, in every command that looks at it.",
        b'[["sql", "DROP TABLE seen_lately"]]',
    ),
    Found(
        "journal",
        "So did a cursor that is no number.",
        b'[["sql", "UPDATE cursors SET acked = ?", "x:5b5d"]]',
    ),
    Found(
        "journal",
        "So did a session's end in the year 36812.",
        b'[["sql", "UPDATE sessions SET ended = ?", 1099511627776]]',
    ),
    Found(
        "journal",
        "A path that is no UTF-8 looked like a full disk, for which the forwarder waits.",
        b'[["sql", "UPDATE dead_letters SET file = CAST(? AS TEXT)", "x:ff"]]',
    ),
    Found(
        "journal",
        "A note with the number of no process ended `forwarder status`.",
        b'[["sql", "INSERT OR REPLACE INTO notes VALUES (?, CAST(? AS BLOB))", "status", "{\\"started\\":\\"2026-11'
        b'-21T01:00:00Z\\",\\"is_running\\":true,\\"sinks\\":{},\\"problems\\":{},\\"watching\\":\\"x\\",\\"pid\\":73786976294838206464,'
        b'\\"time\\":\\"2026-11-21T01:00:00Z\\"}"]]',
    ),
    Found(
        "journal",
        "An event whose line is cut off ended `forwarder why`.",
        b"[[\"sql\", \"UPDATE batches SET body = CAST(replace(body, '}', '') AS BLOB)\"]]",
    ),
    Found(
        "journal",
        "A time with an offset of 99 hours ended `forwarder journal stats`.",
        b"[[\"sql\", \"UPDATE batches SET body = CAST(replace(body, '.000Z', '+99:99') AS BLOB)\"]]",
    ),
    Found(
        "journal",
        "A number with a point in place of that of the newest event ended `forwarder journal verify`.",
        b"[[\"sql\", \"UPDATE notes SET value = CAST('1.5' AS BLOB) WHERE name = 'last'\"]]",
    ),
    Found(
        "journal",
        "So did a seen fact that is a number.",
        b'[["sql", "UPDATE OR IGNORE seen_lately SET fact = ?", 0.5]]',
    ),
)
