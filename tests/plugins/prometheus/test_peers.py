"""Both sinks against a real Pushgateway and a real Prometheus."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from forwarder_prometheus.counting import counted
from forwarder_prometheus.exposition import rendered
from forwarder_prometheus.metrics import HELP
from forwarder_prometheus.pushgateway import ASK_AGAIN_SECONDS, Pushgateway
from forwarder_prometheus.totals import Limits, Totals

from forwarder import Secret, Unavailable
from forwarder.testing import ManualClock
from tests.plugins.prometheus.peers import (
    REQUIRED,
    Server,
    complaints,
    free_port,
    need,
    prometheus,
    pushgateway,
    shown,
    until,
)
from tests.plugins.prometheus.telling import NOW, batch, event, page, tool_call
from tests.process.machine import Event, Machine
from tests.test_measures import LEAST, MORE
from tests.test_measures import event as told_of

pytestmark = pytest.mark.slow

SAMPLES = Path(__file__).parents[1] / "codex" / "samples"
RECORDED = ("compaction-A", "multitool-A")
CUTS = (0.24, 0.5, 0.925, 0.945)  # of the longest recording: inside of lines, with calls in every other piece
KINDS = ("input", "cached_input", "cache_write", "output", "reasoning")
# The password "right", as the gateway keeps it.
USERS = 'basic_auth_users: {me: "$2b$04$lcf4cqBplSf2qlv5W4V8yefZTPF55o76mEEWrxUKKR0u9eHz8c5oC"}\n'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """An empty scratch machine."""
    need("prometheus-pushgateway", "prometheus", "promtool")
    return Machine(tmp_path)


def rollouts() -> list[Path]:
    return [path for name in RECORDED for path in sorted((SAMPLES / name).rglob("*.jsonl"))]


def sinks(gateway: Server, port: int) -> str:
    return (
        f'[sinks.push]\nuse = "pushgateway"\nurl = "{gateway.url}"\nbatch_wait_seconds = 0.1\n'
        f'[sinks.scrape]\nuse = "prometheus"\nlisten = "127.0.0.1:{port}"\nbatch_wait_seconds = 0.1\n'
    )


def facts(events: Iterable[Event]) -> dict[str, float]:
    """The totals that matter most, added up from the events by other code than the plugin's."""
    found: Counter[str] = Counter()
    cost: dict[str, float] = {}
    for one in events:
        match one["type"]:
            case "token_usage":
                cached, written = one["cached_input_tokens"], one.get("cache_write_tokens", 0)
                reasoning = one.get("reasoning_tokens", 0)
                plain = one["input_tokens"] - cached - written, cached, written, one["output_tokens"] - reasoning
                for kind, tokens in zip(KINDS, (*plain, reasoning), strict=True):
                    found[f"tokens {one['model']} {kind}"] += tokens
                name = f"cost {one['model']}"
                cost[name] = round(cost.get(name, 0) + one.get("cost_usd", 0), 9)
            case "tool_call_end":
                found[f"calls {one['tool']} {one['outcome']}"] += 1
                found["milliseconds"] += one.get("duration_ms", 0)
            case "turn_end" | "prompt" | "response" | "compaction" | "session_start" as kind:
                found[kind] += 1
            case _:
                pass
    return {name: value for name, value in {**found, **cost}.items() if value}


QUERIES = {
    "tokens": "sum by (model, kind) (agent_tokens_total{%s})",
    "cost": "sum by (model) (agent_cost_usd_total{%s})",
    "calls": "sum by (tool, outcome) (agent_tool_calls_total{%s})",
    "milliseconds": "sum(agent_tool_call_duration_seconds_sum{%s}) * 1000",
    "turn_end": "sum(agent_turns_total{%s})",
    "prompt": "sum(agent_prompts_total{%s})",
    "response": "sum(agent_responses_total{%s})",
    "compaction": "sum(agent_compactions_total{%s})",
    "session_start": "sum(agent_sessions_started_total{%s})",
}
ORDER = {"tokens": ("model", "kind"), "cost": ("model",), "calls": ("tool", "outcome")}


async def stored(server: Server, job: str) -> dict[str, float]:
    """The same totals as Prometheus has them."""
    found: dict[str, float] = {}
    for fact, query in QUERIES.items():
        for labels, value in (await server.query(query % f'job="{job}"')).items():
            told = dict(one.split("=", 1) for one in labels.split(",") if one)
            found[" ".join([fact, *(told[name] for name in ORDER.get(fact, ()))])] = round(value, 9)
    return {name: value for name, value in found.items() if value}


def counters(found: dict[str, float]) -> dict[str, float]:
    """What of a page only ever grows, without the group that the gateway adds and what is its own."""
    return {
        name.replace('instance="desk",', "").replace('job="forwarder",', ""): value
        for name, value in found.items()
        if name.startswith("agent_") and ("_total{" in name or "_count{" in name or "_sum{" in name)
    }


async def test_pushed_and_scraped_values_equal_the_events(machine: Machine, tmp_path: Path) -> None:
    """Recorded sessions through the installed command: what Prometheus answers is what the events add up to, both
    ways, and its own checker finds nothing to say about either page. A metric that somebody else has in another type
    is said in the log, and holds up no other.
    """
    theirs = "/metrics/job/other/instance/x"
    port = free_port()
    for path in rollouts():
        shutil.copytree(path.parents[4], machine.home, dirs_exist_ok=True)
    async with pushgateway(tmp_path) as gateway:
        await gateway.put(theirs, "# TYPE agent_secrets_found_total gauge\nagent_secrets_found_total 1\n")
        machine.configure(sinks(gateway, port))
        addresses = {"pushed": gateway.url.removeprefix("http://"), "scraped": f"127.0.0.1:{port}"}
        async with prometheus(tmp_path, **addresses) as server, machine.running() as process:
            await machine.until(machine.is_read, "everything is read", process=process)
            expected = facts(machine.journalled())
            found: dict[str, dict[str, float]] = {}

            async def is_stored() -> bool:
                found.update({job: await stored(server, job) for job in ("forwarder", "scraped")})
                return all(one == expected for one in found.values())

            await until(is_stored, lambda: shown({"expected": expected, **found}))
            await gateway.delete(theirs)
            pages = [await one.get("/metrics") for one in (gateway, gateway.beside(port))]
            said = [await complaints(one.content) for one in pages]

    assert len(expected) >= 15
    assert said == ["", ""]
    log = machine.log.read_text()
    assert "agent_secrets_found_total left out for 10 min" in log
    assert "is not a " in log  # GAUGE or COUNTER, whichever the gateway looks at first


class Looking:
    """What gateway and page have shown, and which counters fell there from one look to the next."""

    def __init__(self, *servers: Server) -> None:
        self.servers = servers
        self.shown: list[dict[str, float]] = [{} for _ in servers]
        self.falls: list[str] = []

    async def look(self) -> list[dict[str, float]]:
        for number, server in enumerate(self.servers):
            found = await server.metrics()
            if found is None:
                continue  # nobody is there
            now, before = counters(found), self.shown[number]
            self.falls += [name for name, value in before.items() if now.get(name, 0) < value]
            self.shown[number] = now
        return self.shown

    async def news(self) -> None:
        """Return when both show more than before."""
        before = [sum(one.values()) for one in self.shown]

        async def is_more() -> bool:
            return all(sum(now.values()) > was for now, was in zip(await self.look(), before, strict=True))

        await until(is_more, lambda: shown(self.shown))


async def test_kills_and_copies_move_no_counter(machine: Machine, tmp_path: Path) -> None:
    """SIGKILL in the middle of lines, batches and pushes, then a copy of what was read: the totals are those of the
    events, at the gateway and on the page, where none ever falls. A replay is refused.
    """
    random, port = Random(5), free_port()
    content = rollouts()[-1].read_bytes()
    rollout = machine.home / "sessions" / rollouts()[-1].name
    rollout.parent.mkdir()
    cuts = [0, *(int(len(content) * part) for part in CUTS), len(content)]
    pieces = iter([content[start:end] for start, end in pairwise(cuts)])
    async with pushgateway(tmp_path) as gateway:
        machine.configure(sinks(gateway, port))
        looking = Looking(gateway, gateway.beside(port))
        for _ in range(2):
            process = await machine.started()
            append(rollout, next(pieces))
            await looking.news()
            append(rollout, next(pieces))
            await asyncio.sleep(random.uniform(0, 0.2))
            process.kill()
            await process.wait()
        async with machine.running() as process:
            append(rollout, next(pieces))
            await machine.until(machine.is_read, "everything is read", process=process)
            copy = rollout.parent / "copy" / rollout.name
            copy.parent.mkdir()
            append(copy, content)
            await machine.until(lambda: machine.has_read(copy), "the copy is read", process=process)
            expected = facts(machine.journalled())

            async def is_right() -> bool:
                return all(added(one) == expected for one in await looking.look())

            await until(is_right, lambda: shown([expected, *map(added, looking.shown)]))
        status, said = await machine.said("replay", "--to", "scrape", str(rollout))

    assert looking.falls == []
    assert (status, "this sink counts" in said) == (2, True)


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def added(found: dict[str, float]) -> dict[str, float]:
    """The facts of a page, as `facts` names them."""
    names = {
        "agent_tokens_total": "tokens",
        "agent_cost_usd_total": "cost",
        "agent_tool_calls_total": "calls",
        "agent_turns_total": "turn_end",
        "agent_prompts_total": "prompt",
        "agent_responses_total": "response",
        "agent_compactions_total": "compaction",
        "agent_sessions_started_total": "session_start",
    }
    added: dict[str, float] = {}
    for name, value in found.items():
        metric, _, labels = name.rstrip("}").partition("{")
        told = dict(one.split("=", 1) for one in labels.replace('"', "").split(","))
        if fact := names.get(metric):
            key = " ".join([fact, *(told[one] for one in ORDER.get(fact, ()))])
            added[key] = round(added.get(key, 0) + value, 9)
        elif metric == "agent_tool_call_duration_seconds_sum":
            added["milliseconds"] = round(added.get("milliseconds", 0) + value * 1000, 9)
    return {name: value for name, value in added.items() if value}


def made(gateway: Server, **options: Any) -> tuple[Pushgateway, ManualClock]:
    sink = Pushgateway(url=gateway.url, **options)
    sink.clock = clock = ManualClock(datetime(2026, 11, 21, 2, tzinfo=UTC))
    return sink, clock


def pushed(found: dict[str, float] | None) -> dict[str, float]:
    return {
        name: value for name, value in (found or {}).items() if name.startswith("agent_") and 'job="forwarder"' in name
    }


GROUP = 'instance="desk",job="forwarder",outcome="ok",tool="bash"'


async def test_a_type_conflict_costs_its_metric_until_it_is_gone(tmp_path: Path) -> None:
    """Somebody else has the name in another type: that is said in the gateway's words, the rest is pushed, and the
    metric is there again, whole, once the other has left.
    """
    theirs = "/metrics/job/other/instance/x"
    async with pushgateway(tmp_path) as gateway:
        await gateway.put(theirs, "# TYPE agent_tool_calls_total gauge\nagent_tool_calls_total 1\n")
        sink, clock = made(gateway)
        async with sink.lifespan():
            with pytest.raises(
                Unavailable, match=r"agent_tool_calls_total left out for 10 min: .* is not a (GAUGE|COUNTER)"
            ) as caught:
                await sink.send(batch(tool_call(1), event(2, "prompt")))
            await sink.send(batch(tool_call(1), event(2, "prompt")))
            without = pushed(await gateway.metrics())
            await gateway.delete(theirs)
            clock.advance(ASK_AGAIN_SECONDS)
            await sink.send(batch(tool_call(3)))
            whole = pushed(await gateway.metrics())

    assert 'collected metric "agent_tool_calls_total"' in str(caught.value)
    assert without == {'agent_prompts_total{agent="acme",instance="desk",job="forwarder"}': 1}
    assert whole == {**without, f'agent_tool_calls_total{{agent="acme",{GROUP}}}': 2}


async def test_a_rejected_push_waits_for_the_right_password(tmp_path: Path) -> None:
    """Refused at the door: nothing is counted, nothing is lost, and it goes on with the password that is right."""
    (tmp_path / "web.yml").write_text(USERS)
    async with pushgateway(tmp_path, "--web.config.file=web.yml") as gateway:
        wrong, _ = made(gateway, username="me", password=Secret("wrong"))
        async with wrong.lifespan():
            with pytest.raises(Unavailable, match="answered 401: Unauthorized") as caught:
                await wrong.send(batch(tool_call(1)))
        right, _ = made(gateway, username="me", password=Secret("right"))
        async with right.lifespan():
            await right.send(batch(tool_call(1)))

    assert caught.value.is_refused
    assert wrong.notes() == {}
    assert len(right.notes()) == 2


async def test_the_group_is_that_of_the_instance_whatever_it_is_called(tmp_path: Path) -> None:
    """A slash, an umlaut and nothing at all arrive as they are; deleted, nothing of them is left."""
    found: dict[str, Any] = {}
    async with pushgateway(tmp_path) as gateway:
        for instance in ("team/a", "grün 5", ""):
            sink, _ = made(gateway, job="a/b", instance=instance, delete_at_stop=True)
            async with sink.lifespan():
                await sink.send(batch(event(1, "prompt")))
                groups = (await gateway.get("/api/v1/metrics")).json()["data"]
                found[instance] = [one["labels"] for one in groups]
        left = (await gateway.get("/api/v1/metrics")).json()["data"]

    assert found == {instance: [{"job": "a/b", "instance": instance}] for instance in found}
    assert left == []


async def test_the_checker_accepts_every_metric_that_we_name() -> None:
    """One of each, as text; the only name that it dislikes is one that pi's own extension chose."""
    need("promtool")
    told = [
        told_of(kind, **MORE.get(kind, {}), agent=agent, session_id=kind) for kind in LEAST for agent in ("acme", "pi")
    ]
    changes, rejection = await counted(Totals(Limits(10, 2)), batch(*told), NOW)
    series = changes.snapshot()

    assert rejection is None
    assert {name for name, _ in series} == HELP.keys()
    assert await complaints(rendered(series, "text")) == (
        "pi_compaction_summary_length metric name should not include type 'summary'\nexit status 3"
    )


def test_a_missing_server_is_a_failure_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere it is a skip that says what to install; CI must not pass for want of it."""
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="Debian: prometheus"):
        need("no-such-server")
    monkeypatch.setenv(REQUIRED, "1")

    with pytest.raises(pytest.fail.Exception, match="not installed: no-such-server"):
        need("no-such-server")


async def test_label_bombs_are_taken_by_gateway_and_checker(tmp_path: Path) -> None:
    """Quotes, backslashes, line ends, terminal codes and a megabyte are label values like others."""
    need("promtool")
    bombs = ["x" * 1_000_000, 'a"} 1\nfake_total{a="', "back\\slash\\", "\x1b[31mred\x00", "\ufffe grün 🎉"]
    async with pushgateway(tmp_path) as gateway:
        sink, _ = made(gateway)
        async with sink.lifespan():
            await sink.send(batch(*(tool_call(number, bomb) for number, bomb in enumerate(bombs))))
        text = (await gateway.get("/metrics")).content

    assert len(pushed(page(text))) == len(bombs)
    assert await complaints(text) == ""
