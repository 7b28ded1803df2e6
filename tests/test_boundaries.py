"""The rules of the layout: who may import whom, what may be named where, and how large things may grow.

They are checked on the packages as they are imported, so a run against the installed wheel checks the wheel.
"""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path

import pytest

import forwarder
import forwarder.http

ENGINE = Path(forwarder.__file__).parent
PROJECT = Path(__file__).parents[1]

ROOMS = {"app", "tail", "server", "pipeline", "delivery", "journal"}
MAY_IMPORT = {
    "app": {"app", "tail", "server", "pipeline", "delivery", "journal", "api", "testing"},
    "tail": {"tail", "journal", "api"},
    "server": {"server", "api"},
    "pipeline": {"pipeline", "journal", "api"},
    "delivery": {"delivery", "journal", "api"},
    "journal": {"journal", "api"},
    "testing": {"testing", "tail", "server", "pipeline", "delivery", "journal", "api"},
    "__main__": {"app"},
    "api": {"api"},
}

OPTIONAL = {"re2", "hyperscan", "genai_prices", "backports", "isal", "zstandard", "prometheus_client"}
WEB = {"uvicorn", "h11"}  # of the room `server` alone, whose `listener` is imported when something is to listen
CLIENT = "http"  # the engine's one package that imports httpx: public, and imported by plugins alone
NAMES_THE_CLIENT = {f"forwarder/{CLIENT}/client.py", "forwarder/testing/receivers.py"}
SLOW = {"rich", "httpx"}  # tens of milliseconds each, which a command that does not need them should not spend

# Products that the engine may not know; the agents that have a source of their own are added from the entry points.
PRODUCTS = {"claude", "pi", "gemini", "prometheus", "loki", "grafana", "kafka", "nats", "clickhouse", "otlp", "datadog"}

VAGUE = re.compile(r"(^|_)(utils?|helpers?|common|misc|manager|handler)(_|$)")
BARE_IGNORE = re.compile(r"#\s*(type:\s*ignore(?!\[)|pyright:\s*ignore(?!\[)|noqa(?!:))")


def entry_points() -> dict[str, dict[str, str]]:
    """Group, then the user's name of the plugin, then `package:Class`, of our own distribution."""
    found: dict[str, dict[str, str]] = {"forwarder.sources": {}, "forwarder.sinks": {}, "forwarder.receivers": {}}
    for one in distribution("agent-forwarder").entry_points:
        if one.group in found:
            found[one.group][one.name] = one.value
    return found


def package_of(value: str) -> str:
    """The package of an entry point, `package:Class` or `package.module:Class`."""
    return re.split("[.:]", value)[0]


def plugin_folders() -> list[Path]:
    """The folder of every package that an entry point of ours names."""
    packages = {package_of(value) for group in entry_points().values() for value in group.values()}
    folders: list[Path] = []
    for package in sorted(packages):
        spec = find_spec(package)
        assert spec is not None, f"{package} cannot be imported"
        assert spec.origin is not None
        folders.append(Path(spec.origin).parent)
    return folders


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def modules() -> list[Path]:
    """Every module of the engine and of the plugins."""
    return sorted(path for folder in (ENGINE, *plugin_folders()) for path in folder.rglob("*.py"))


def short(path: Path) -> str:
    """`forwarder/tail/reader.py`, wherever the package is installed."""
    root = next(folder for folder in (ENGINE, *plugin_folders()) if path.is_relative_to(folder))
    return path.relative_to(root.parent).as_posix()


def imported(nodes: Iterator[ast.AST]) -> set[str]:
    """What the statements import, as `module.name`; a relative import begins with a dot."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            names.update(f"{start}.{alias.name}" for alias in node.names)
    return names


def outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    """What runs when the module is imported; what only a type checker reads does not."""
    for child in ast.iter_child_nodes(node):
        is_for_types = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
        if not is_for_types and not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from outside_functions(child)


def room_of_file(path: Path) -> str:
    first = path.relative_to(ENGINE).parts[0].removesuffix(".py")
    return first if first in ROOMS | {"testing", "__main__"} else "api"


def room_of_import(name: str) -> str | None:
    """The room that an import enters; None for another package."""
    package, *rest = name.split(".")
    if package != "forwarder":
        return None
    return rest[0] if rest and rest[0] in ROOMS | {"testing"} else "api"


def test_imports_point_one_way() -> None:
    """The rooms meet only in the journal; whoever reads one of them need not know the others."""
    wrong = [
        f"{short(path)} imports {name}"
        for path in ENGINE.rglob("*.py")
        for name in imported(ast.walk(tree(path)))
        if name.startswith(".") or ((room := room_of_import(name)) and room not in MAY_IMPORT[room_of_file(path)])
    ]

    assert wrong == []


def test_the_public_module_only_re_exports() -> None:
    """What a plugin may import is listed in one place, without logic."""
    body = tree(ENGINE / "__init__.py").body

    assert all(isinstance(node, ast.ImportFrom | ast.Assign | ast.Expr) for node in body)


def test_a_plugin_imports_only_the_public_api() -> None:
    """Our own plugins use the door that strangers use, and none leans on another."""
    public = {*forwarder.__all__, *(f"{CLIENT}.{name}" for name in forwarder.http.__all__)}
    wrong = [
        f"{short(path)} imports {name}"
        for folder in plugin_folders()
        for path in folder.rglob("*.py")
        for name in imported(ast.walk(tree(path)))
        if name.startswith(".")
        or (name.startswith("forwarder.") and name.removeprefix("forwarder.") not in public)
        or (name.startswith("forwarder_") and name.partition(".")[0] != folder.name)
    ]

    assert wrong == []


def test_a_plugin_is_never_imported_through_its_shelf() -> None:
    """`plugins.forwarder_x` would be a second copy of the module, with classes that are not the registered ones."""
    paths = [*modules(), *PROJECT.glob("tests/**/*.py")]
    wrong = [
        f"{path.name} imports {name}"
        for path in paths
        for name in imported(ast.walk(tree(path)))
        if name.partition(".")[0] == "plugins"
    ]

    assert wrong == []


def test_the_engine_names_no_agent_and_no_product() -> None:
    """What the engine knew of one plugin it would have to learn for the next."""
    types = {str(kind.__struct_config__.tag) for kind in forwarder.EVENT_TYPES}  # the schema may name what it defines
    agents = entry_points()["forwarder.sources"].keys() - types
    names = {name.replace("_", "[-_ ]?") for name in agents} | PRODUCTS
    pattern = re.compile(rf"(?<![a-z])({'|'.join(sorted(names))})(?![a-z])|forwarder_[a-z]+\.(source|sink)", re.I)
    wrong = [
        f"{short(path)}:{number} names {found.group()}"
        for path in ENGINE.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (found := pattern.search(line.replace("prometheus_client", "")))  # a format's library, no destination
    ]

    assert wrong == []


def test_optional_libraries_are_imported_where_they_are_used() -> None:
    """A missing extra may cost its feature, never the start; in the engine a slow one may not delay `--help`."""
    wrong = [
        f"{short(path)} imports {name} at its top"
        for path in modules()
        for name in imported(outside_functions(tree(path)))
        if name.partition(".")[0] in (OPTIONAL | SLOW if path.is_relative_to(ENGINE) else OPTIONAL)
        and short(path) != f"forwarder/{CLIENT}/client.py"
    ]

    assert wrong == []


def test_the_http_client_is_imported_by_plugins_alone() -> None:
    """What the engine imports, every command does; and one module alone names the library."""
    wrong = [
        f"{short(path)} imports {name}"
        for path in modules()
        for name in imported(ast.walk(tree(path)))
        if (name.startswith(f"forwarder.{CLIENT}") and path.is_relative_to(ENGINE) and path.parent.name != CLIENT)
        or (name.partition(".")[0] == "httpx" and short(path) not in NAMES_THE_CLIENT)
    ]

    assert wrong == []


def test_the_web_server_is_imported_when_something_listens() -> None:
    """Most users post nothing, and have no extra for it."""
    wrong = [
        f"{short(path)} imports {name} at its top"
        for path in modules()
        for name in imported(outside_functions(tree(path)))
        if (name.partition(".")[0] in WEB or name.startswith("forwarder.server.listener"))
        and not path.is_relative_to(ENGINE / "server")
    ]

    assert wrong == []


def test_the_engine_imports_only_what_it_requires() -> None:
    """A library that only the developer's environment has would break every user's."""
    required = {
        re.split(r"[^a-z0-9-]", line.lower())[0].replace("-", "_")
        for line in distribution("agent-forwarder").requires or []
        if "extra ==" not in line
    }
    since_3_14 = {"compression"}
    known = required | OPTIONAL | WEB | since_3_14 | set(sys.stdlib_module_names) | {"forwarder"}
    wrong = [
        f"{short(path)} imports {name}"
        for path in ENGINE.rglob("*.py")
        for name in imported(ast.walk(tree(path)))
        if name.partition(".")[0] not in known
    ]

    assert wrong == []


def test_modules_and_functions_stay_small() -> None:
    """At most 400 lines a module and 60 a function: beyond that it is more than one room."""
    wrong: list[str] = []
    for path in modules():
        lines = len(path.read_text().splitlines())
        if lines > 400:
            wrong.append(f"{short(path)} has {lines} lines")
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > 60:
                    wrong.append(f"{short(path)}:{node.lineno} {node.name} has {length} lines")

    assert wrong == []


def test_names_say_what_lives_there() -> None:
    """Where the noun is missing, things that have nothing in common gather."""
    wrong: list[str] = []
    for path in modules():
        if VAGUE.search(path.stem):
            wrong.append(short(path))
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef) and re.search(r"(Manager|Handler|Helper|Util)s?$", node.name):
                wrong.append(f"{short(path)}: class {node.name}")
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == "process":
                wrong.append(f"{short(path)}: {node.name}()")

    assert wrong == []


def test_no_check_is_switched_off_wholesale() -> None:
    """An ignore names what it ignores, so that it cannot hide the next mistake on its line."""
    wrong = [
        f"{path.name}:{number}"
        for path in [*modules(), *PROJECT.glob("tests/**/*.py")]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if BARE_IGNORE.search(line)
    ]

    assert wrong == []


def test_every_test_says_what_it_protects() -> None:
    """A test that fails in a year is read by someone who was not there."""
    wrong = [
        f"{path.name}: {node.name}"
        for path in PROJECT.glob("tests/**/test_*.py")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and not ast.get_docstring(node)
    ]

    assert wrong == []


@pytest.mark.parametrize("folder", [ENGINE, *plugin_folders()], ids=lambda folder: folder.name)
def test_every_package_is_typed(folder: Path) -> None:
    """Without the marker a user's type checker takes everything for `Any`."""
    assert (folder / "py.typed").is_file()


@pytest.mark.parametrize("folder", plugin_folders(), ids=lambda folder: folder.name)
def test_every_plugin_explains_itself(folder: Path) -> None:
    """What it reads or writes, its options and what it leaves out belong beside its code, also when installed."""
    assert (folder / "README.md").is_file()


def test_every_plugin_is_in_the_wheel() -> None:
    """A plugin missing from the wheel's packages works for its author and for nobody else."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    shipped = set(project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])
    registered = {
        f"plugins/{package_of(value)}"
        for group in ("forwarder.sources", "forwarder.sinks", "forwarder.receivers")
        for value in project["project"]["entry-points"][group].values()
    }

    assert shipped == {"forwarder", "forwarder_launcher"} | registered
