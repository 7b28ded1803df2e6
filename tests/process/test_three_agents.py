"""Three agents at work at once under a forwarder that is killed again and again: every fact arrives, and once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from random import Random

import pytest

from tests.http_peer import HttpPeer, Reply
from tests.process.agents import CLAUDE, IN_FILES, Agents, payloads, recordings
from tests.process.machine import PATIENCE_SECONDS, Event, Machine, ids
from tests.process.playing import Play, Scene, Until
from tests.process.recorded import claude_code, codex, pi
from tests.process.recorded.counting import of, spent

pytestmark = pytest.mark.slow

ROUNDS_OF_A_LIFE = 15  # on average: six to ten kills in a play
ONLY_HOOKS_TELL = {"notification", "session_end", "session_state"}


@dataclass(frozen=True)
class Played:
    """What arrived in the archive and at an HTTP endpoint that knows a batch by its key; what a replay finds."""

    archived: list[Event]
    posted: list[Event]
    replayed: list[Event]
    is_reversed: bool

    def by(self, agent: str) -> list[Event]:
        """What was archived of one agent."""
        return [event for event in self.archived if event["agent"] == agent]


@pytest.fixture(scope="module", params=[False, True], ids=["as recorded", "the other way round"])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    """All recordings: hooks beside transcripts and parents before forks, or transcripts and forks first."""
    return asyncio.run(play(Machine(tmp_path_factory.mktemp("machine")), is_reversed=request.param))


async def play(machine: Machine, *, is_reversed: bool) -> Played:
    agents = Agents(machine, Random(5))
    agents.install_hooks()
    playing, random = Play(scenes(agents, is_reversed=is_reversed), Random(6)), Random(7)
    async with HttpPeer() as peer:
        peer.otherwise = Reply(delay_seconds=0.1)  # most kills find a batch that has arrived and is not acknowledged
        sinks = [machine.archive_sink(), f'[sinks.team]\nuse = "http"\nurl = "{peer.url}"\nbatch_events = 50\n']
        machine.config.write_text("\n".join(['start = "all"\nsweep_seconds = "500ms"\n', *agents.tables(), *sinks]))
        async with asyncio.timeout(2 * PATIENCE_SECONDS):
            while not playing.is_done:
                await one_life(machine, playing, random)
        before = times_at_work(machine)
        async with machine.running() as process:
            await machine.until(lambda: times_at_work(machine) > before, "it is at work", process=process)
            await machine.until(partial(everything_is_read, machine), "everything is read", process=process)
    return Played(machine.archived(), posted(peer), await machine.replay(*recordings()), is_reversed)


def scenes(agents: Agents, *, is_reversed: bool) -> list[Scene]:
    """What is told twice is told first by its parent and beside its hooks, or by its children and before its hooks."""
    rollouts, transcripts = agents.rollouts(), agents.transcripts()
    sessions, hooks = agents.sessions(is_reversed=is_reversed), agents.hooks()
    parents, children = ([*rollouts.parents, *transcripts.parents], [*rollouts.children, *transcripts.children])
    wait: Scene = [[Until(partial(everything_is_read, agents.machine))]]
    if is_reversed:
        return [[*children, *sessions], wait, parents, wait, hooks]
    return [[*parents, *sessions, *hooks], wait, children]


async def one_life(machine: Machine, playing: Play, random: Random) -> None:
    """Start and kill: now and then during the start, mostly in the middle of the work, which goes on all the time."""
    before = machine.last_event()
    await playing.go_on()
    process = await machine.started()
    if random.random() < 0.8:
        await machine.until(
            lambda: machine.last_event() > before or everything_is_read(machine), "some is read", process=process
        )
    for _ in range(random.randrange(2 * ROUNDS_OF_A_LIFE)):
        await playing.go_on()
        await asyncio.sleep(random.random() * 0.02)
    process.kill()
    await process.wait()


def times_at_work(machine: Machine) -> int:
    """How many processes were ready: SIGTERM does not make an earlier one drain."""
    return machine.log.read_text().count('event="at work"')


def everything_is_read(machine: Machine) -> bool:
    return machine.has_read(*machine.home.rglob("*.jsonl*"), *machine.home.rglob("hooks/*.json"))


def posted(peer: HttpPeer) -> list[Event]:
    """A batch that came again counts once, as its key says; it must be the same to the byte."""
    batches: dict[str, bytes] = {}
    events: list[Event] = []
    for request in peer.accepted:
        key = request.headers["idempotency-key"]
        if key not in batches:
            events += request.events()
        assert batches.setdefault(key, request.content()) == request.content()
    return events


def facts(events: list[Event]) -> set[str]:
    """Ids that only depend on what an agent wrote. What it gives no id, a hook that writes a file each names by that
    file, which has another name in each play.
    """
    scattered = {json.loads(payload)["session_id"] for payload in payloads(CLAUDE / IN_FILES)}
    return {e["id"] for e in events if not (e["session_id"] in scattered and e["type"] in ONLY_HOOKS_TELL)}


def test_each_event_is_archived_once(played: Played) -> None:
    """However the process ended while its batch was on the way."""
    assert played.archived
    assert set(Counter(ids(played.archived)).values()) == {1}


def test_a_receiver_that_knows_batches_holds_what_the_archive_holds(played: Played) -> None:
    """The same events in the same order, each once."""
    assert ids(played.posted) == ids(played.archived)


def test_codex_sessions_count_as_scripted(played: Played) -> None:
    """Prompts, answers, calls, turns, errors and tokens of each rollout, though some were moved and rewritten."""
    assert codex.told(played.by("codex")) == codex.wanted()


def test_claude_code_sessions_count_as_scripted(played: Played) -> None:
    """A fact that hook and transcript tell counts once, whichever came first."""
    assert claude_code.told(played.by("claude-code")) == claude_code.wanted()


def test_pi_sessions_count_and_cost_as_recorded(played: Played) -> None:
    """Also one that was rewritten in place with new ids, and forks that copy each other's entries."""
    assert pi.told(played.by("pi")) == pi.wanted()


def test_calls_start_and_end_once(played: Played) -> None:
    """No call ends that did not start, whatever its id is derived from."""
    started, ended = (
        Counter((event["session_id"], event["call_id"]) for event in of(played.archived, kind))
        for kind in ("tool_call_start", "tool_call_end")
    )
    assert set((started | ended).values()) == {1}
    assert ended.keys() <= started.keys()


def test_a_replay_finds_the_same_facts(played: Played) -> None:
    """Files at rest give the ids of files that were read while they grew."""
    assert facts(played.archived) == facts(played.replayed)


def test_a_replay_counts_the_same_tokens(played: Played) -> None:
    """By kind, model and purpose; the money too."""
    assert spent(played.archived) == spent(played.replayed)


def test_hooks_and_transcripts_were_read_in_the_order_of_the_play(played: Played) -> None:
    """Else the two plays would show the same: where transcripts come first, no call is the hooks' to tell."""
    files = {event["origin"]["file"] for event in of(played.by("claude-code"), "tool_call_end")}

    assert any(name.startswith("hooks.") for name in files) is not played.is_reversed
