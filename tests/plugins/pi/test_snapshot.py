"""The snapshot is what pi-telemetry's own command printed about the same files, to the byte."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from forwarder_pi import derived_snapshot, snapshot, to_json
from forwarder_pi.command import PRETTY, directory_of, is_alive, stale_ms_of
from forwarder_pi.document import MAX_PID, NoSnapshot

SAMPLES = Path(__file__).parent / "samples"
STAGES = {f"{path.parents[2].name}/{path.parent.name}": path.parent for path in SAMPLES.glob("*/stages/*/stage.json")}
RECORDED_HOME = "/home/dev"
NOW = 1_800_000_000_000


def stage(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((STAGES[name] / "stage.json").read_text())
    return found


GOLDENS = [(name, variant) for name in sorted(STAGES) for variant in stage(name)["variants"]]


def printed(name: str, variant: str, home: Path) -> bytes:
    """What our command would print with the recorded arguments, variables, clock and processes, for this home."""
    facts = stage(name)
    run = facts["variants"][variant]
    directory = directory_of(run["env"], str(home))
    alive = set[int]() if "kill(pid, 0) fails with EPERM" in facts["note"] else set(facts["alive_pids"])
    document = snapshot(
        directory,
        now_ms=run["generatedAt"],
        stale_ms=stale_ms_of(run["argv"], run["env"]),
        is_alive=alive.__contains__,
    )
    text = to_json(document, indent=PRETTY if "--pretty" in run["argv"] else "")
    return text.replace(str(home / ".pi/agent/telemetry"), f"{RECORDED_HOME}/.pi/agent/telemetry").encode() + b"\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def put(home: Path, name: str) -> None:
    """The stage's heartbeats where pi has them; git keeps no empty folders, so a stage may have none."""
    folder = home / ".pi/agent/telemetry/instances"
    folder.mkdir(parents=True)
    if (STAGES[name] / "instances").is_dir():
        shutil.copytree(STAGES[name] / "instances", folder, dirs_exist_ok=True)
    if "48.json is a directory" in stage(name)["note"]:
        (folder / "48.json").mkdir()


@pytest.mark.parametrize(("name", "variant"), [g for g in GOLDENS if stage(g[0])["variants"][g[1]]["exit"] == 0])
def test_every_golden_is_reproduced(home: Path, name: str, variant: str) -> None:
    """Ordering, number and string forms, arguments and variables; only the folder's name is another."""
    put(home, name)

    assert printed(name, variant, home) == (STAGES[name] / "golden" / f"{variant}.json").read_bytes()


def test_a_session_that_breaks_the_original_prints_nothing(home: Path) -> None:
    """Its id names something that every JavaScript object has."""
    put(home, "snapshot-edge-1.5.2/06-proto")
    facts = stage("snapshot-edge-1.5.2/06-proto")
    folder = home / ".pi/agent/telemetry/instances"

    with pytest.raises(NoSnapshot, match="__proto__"):
        snapshot(folder, now_ms=int(facts["t"]), stale_ms=60_000, is_alive=set(facts["alive_pids"]).__contains__)


def heartbeat(pid: object = 7, event: str = "turn_start", activity: str = "working", **fields: object) -> bytes:
    whole: dict[str, object] = {"schemaVersion": 2, "process": {"pid": pid, "updatedAt": NOW - 100}}
    whole |= {"session": {"id": "s1"}, "state": {"activity": activity, "isIdle": False}, "lastEvent": event}
    return json.dumps(whole | fields).encode()


def documents(folder: Path, *heartbeats: bytes, derived: bool = False) -> dict[str, Any]:
    for number, content in enumerate(heartbeats):
        (folder / f"{number}.json").write_bytes(content)
    build = derived_snapshot if derived else snapshot
    return build(folder, now_ms=NOW, stale_ms=10_000, is_alive=lambda pid: True)


def test_a_missing_folder_is_an_empty_fleet(tmp_path: Path) -> None:
    """It does not exist before the first pi with the extension ran."""
    document = documents(tmp_path)

    assert document == documents(tmp_path / "none") | {"telemetryDir": str(tmp_path)}
    assert document["aggregate"] == "none"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'{"schemaVersion":2}',
        heartbeat()[:-9],
        b"\xef\xbb\xbf" + heartbeat(),
        heartbeat(schemaVersion=True),
        heartbeat(schemaVersion="2"),
        heartbeat(schemaVersion=3),
        heartbeat(process=None),
        heartbeat(pid=0),
        heartbeat(context={"percent": float("nan")}),
        b"[" * 200_000,
    ],
)
def test_a_broken_heartbeat_is_left_out(tmp_path: Path, content: bytes) -> None:
    """One bad file costs itself only."""
    assert documents(tmp_path, content, heartbeat())["counts"]["total"] == 1


@pytest.mark.parametrize("pid", [-7, 7.5, "seven", {}, MAX_PID + 1, 1e300])
def test_what_is_no_pid_is_dead(tmp_path: Path, pid: object) -> None:
    """Without asking the machine."""
    assert documents(tmp_path, heartbeat(pid=pid))["counts"]["total"] == 0


def test_a_pid_may_be_true(tmp_path: Path) -> None:
    """To JavaScript that is 1; its key is its text."""
    assert list(documents(tmp_path, heartbeat(pid=True))["instancesByPid"]) == ["true"]


def test_unreadable_names_are_left_out(tmp_path: Path) -> None:
    """Node shows them with replacement characters, and then cannot open them; the folder itself may be such a one."""
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/inst\xff")
    os.mkdir(folder)
    with open(os.fsencode(folder) + b"/x.json", "wb") as file:
        file.write(heartbeat())

    assert documents(Path(folder))["telemetryDir"] == f"{tmp_path}/inst\ufffd"


def test_the_path_of_a_heartbeat_is_tidied_and_the_folders_is_not(tmp_path: Path) -> None:
    """As Node joins paths."""
    (tmp_path / "1.json").write_bytes(heartbeat())
    untidy = f"/{tmp_path}/./"
    document = snapshot(untidy, now_ms=NOW, stale_ms=10_000, is_alive=lambda pid: True)

    assert document["telemetryDir"] == untidy
    assert document["instances"][0]["telemetry"]["file"] == f"{tmp_path}/1.json"


def test_derived_states_are_right_where_the_published_are_not(tmp_path: Path) -> None:
    """Since 0.65 an idle pi stays `working` after `agent_end`; what it published stays visible."""
    waiting = heartbeat(pid=1, event="agent_end", activity="working")
    document = documents(tmp_path, waiting, heartbeat(pid=2), derived=True)

    assert document["counts"] == {"total": 2, "working": 1, "waiting_input": 1, "unknown": 0}
    state = document["instancesByPid"]["1"]["state"]
    assert (state["activity"], state["isIdle"], state["publishedActivity"]) == ("waiting_input", True, "working")


def test_a_fleet_in_which_everybody_waits_is_waiting(tmp_path: Path) -> None:
    """The original says that all three of these work."""
    facts = stage("fleet-0.73.1/02-three")
    folder, now = STAGES["fleet-0.73.1/02-three"] / "instances", facts["variants"]["default"]["generatedAt"]
    alive = set(facts["alive_pids"]).__contains__

    assert snapshot(folder, now_ms=now, stale_ms=10_000, is_alive=alive)["aggregate"] == "working"
    assert derived_snapshot(folder, now_ms=now, stale_ms=10_000, is_alive=alive)["aggregate"] == "waiting_input"


def test_a_heartbeat_without_a_state_cannot_be_corrected(tmp_path: Path) -> None:
    """It counts in the total, as it does for the original."""
    document = documents(tmp_path, heartbeat(state=None), derived=True)

    assert document["counts"] == {"total": 1, "working": 0, "waiting_input": 0, "unknown": 0}


def test_a_process_that_has_gone_is_dead() -> None:
    """Its number may be in a heartbeat for ever."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    assert is_alive(os.getpid())
    assert not is_alive(process.pid)


@pytest.mark.slow
def test_the_installed_command_prints_the_document(tmp_path: Path) -> None:
    """With unknown arguments ignored and one newline at the end."""
    (tmp_path / "1.json").write_bytes(heartbeat(pid=os.getpid(), event="agent_end"))
    env = os.environ | {"PI_TELEMETRY_DIR": f" {tmp_path} ", "PI_TELEMETRY_STALE_MS": "Infinity"}
    command = [
        str(Path(sys.executable).with_name("forwarder")),
        "snapshot",
        "--pretty",
        "--derived",
        "--stale-ms=5",
        "-9",
    ]
    done = subprocess.run([*command, "--stale-ms", "1e15"], env=env, stdout=subprocess.PIPE, check=True)
    document = json.loads(done.stdout)

    assert done.stdout == to_json(document, indent=PRETTY).encode() + b"\n"
    assert (document["telemetryDir"], document["staleMs"]) == (str(tmp_path), 10**15)
    assert document["aggregate"] == "waiting_input"


@pytest.mark.slow
def test_the_installed_command_fails_where_the_original_does(tmp_path: Path) -> None:
    """Nothing on stdout, exit status 1, and a reason on stderr."""
    (tmp_path / "1.json").write_bytes(heartbeat(pid=os.getpid(), session={"id": "constructor"}))
    env = os.environ | {"PI_TELEMETRY_DIR": str(tmp_path)}
    command = [str(Path(sys.executable).with_name("forwarder")), "snapshot", "--stale-ms", "1e15"]
    done = subprocess.run(command, env=env, capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (1, "")
    assert "'constructor'" in done.stderr
