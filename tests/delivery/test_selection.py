"""Which events a sink takes."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from forwarder.delivery import Selection, matches_project


def test_nothing_configured_takes_all(event: Callable[..., bytes]) -> None:
    """An absent filter is no filter."""
    assert Selection().takes_all
    assert Selection().accepts(event(1))


def test_types_and_agents_are_told_apart_by_their_whole_name(event: Callable[..., bytes]) -> None:
    """`tool_call` is not `tool_call_end`, and both filters must hold."""
    selection = Selection(types=["tool_call_end", "prompt"], agents=["codex"])

    assert selection.accepts(event(1, type="tool_call_end"))
    assert not selection.accepts(event(1, type="tool_call"))
    assert not selection.accepts(event(1, type="prompt", agent="codex-two"))
    assert not selection.accepts(event(1, type="prompt", agent="other"))


@pytest.mark.parametrize("agent", ['say "hi"', "back\\slash", "größe", "a.b*"])
def test_an_agent_may_have_any_name(event: Callable[..., bytes], agent: str) -> None:
    """Names are compared as JSON writes them, and never as patterns."""
    line = event(1, agent=msgspec.json.encode(agent).decode()[1:-1], rest=',"cwd":"/srv/app"')

    assert Selection(agents=[agent]).accepts(line)
    assert Selection(projects=["app"]).accepts(line)
    assert not Selection(agents=["a-b*"]).accepts(line)


def test_a_project_is_told_by_the_folder_of_the_event(event: Callable[..., bytes]) -> None:
    """Events without a folder belong to no project."""
    selection = Selection(projects=["app", "/srv/clients"])

    assert selection.accepts(event(1, rest=',"agent_version":"1","session_id":"s","cwd":"/srv/app"'))
    assert selection.accepts(event(1, rest=',"cwd":"/srv/clients/acme"'))
    assert not selection.accepts(event(1, rest=',"cwd":"/srv/application"'))
    assert not selection.accepts(event(1, rest=',"session_id":"app"'))


@pytest.mark.parametrize(
    ("cwd", "project", "matches"),
    [
        ("/srv/app", "app", True),
        ("/srv/app/", "app", True),
        ("/srv/app/web", "app", False),
        ("/srv/app", "a*", True),
        ("/srv/app", "/srv", True),
        ("/srvx/app", "/srv", False),
        ("/srv/app", "/srv/app/", True),
        ("/srv/one/app", "/srv/*/app", True),
        ("/srv/one/app/web", "/srv/*/app", True),
        ("C:\\work\\app", "app", True),
        ("C:\\work\\app", "C:\\work", True),
    ],
)
def test_a_project_is_a_name_a_path_or_a_glob(cwd: str, project: str, matches: bool) -> None:
    """The last folder's exact name, a folder above, or a pattern of either."""
    assert matches_project(cwd, project) is matches


def test_a_project_may_begin_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the user's own folder, as in a shell."""
    monkeypatch.setenv("HOME", "/home/ada")

    assert matches_project("/home/ada/code/app", "~/code")
