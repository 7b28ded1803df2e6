"""Files that cannot be read, told as events: whoever reads the numbers has to know that something is missing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from forwarder.app.committing import Committer
from forwarder.app.intake import MakeMapper
from forwarder.app.problems import Problems
from forwarder.journal import Changes, Journal
from forwarder.pipeline.mapping import Mapped
from forwarder.source import Source


async def tell_unreadable(
    problems: Problems,
    journal: Journal,
    committer: Committer,
    *,
    sources: Mapping[str, Source[Any]],
    make_mapper: MakeMapper,
) -> None:
    """Run as a task: one `gap` for each file, however often it cannot be read, also after a restart."""
    while True:
        await problems.has_untold.wait()
        problems.has_untold.clear()
        files, problems.untold = problems.untold, []
        mapped = Mapped()
        for file in files:
            name = file.path.name.encode("utf-8", "replace").decode()
            mapper = make_mapper(file.source, sources[file.source], file.path.with_name(name))
            mapper.tell_gap("unreadable", None, key=(name, "unreadable"), offset=0, mapped=mapped)
        await committer.write(partial(journal.commit, Changes(lines=mapped.lines, facts=mapped.facts)))
