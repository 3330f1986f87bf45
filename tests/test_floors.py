"""
The shape of the product: floors, names, sizes, manual pages.

Read from the source with :mod:`ast`; nothing is imported, so a module that cannot be imported is judged too.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.floors import FLOORS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "smtpclient"
SHRUGS = re.compile(r"(?i)util|common(?!_?name)|helper|manager|handler|processor|misc")  # X.509 has common names
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60

Function = ast.FunctionDef | ast.AsyncFunctionDef


def module_name(path: Path, root: Path) -> str:
    """A file's dotted name below the package; a package is named by its folder."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def read_modules(root: Path) -> dict[str, ast.Module]:
    """Every module below a folder, parsed, by its dotted name."""
    return {module_name(path, root): ast.parse(path.read_bytes()) for path in sorted(root.rglob("*.py"))}


def imported(tree: ast.Module, modules: dict[str, ast.Module]) -> set[str]:
    """The product's own modules that a module imports, wherever in it the import stands."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.removeprefix("smtpclient.") for name in found if name.startswith("smtpclient.")} & set(modules)


def upward(imports: dict[str, set[str]], floors: tuple[tuple[str, ...], ...]) -> list[str]:
    """Every import from a higher floor, and every module without a floor, in words."""
    floor_of = {name: number for number, names in enumerate(floors) for name in names}
    complaints = [f"{name} has no floor in tests/floors.py" for name in imports if name not in floor_of]
    for name, wanted in imports.items():
        mine = floor_of.get(name, len(floors))
        for other in sorted(wanted):
            if floor_of.get(other, 0) > mine:
                complaints.append(f"{name} (floor {mine}) imports {other} (floor {floor_of[other]})")
    return complaints


def circles(imports: dict[str, set[str]]) -> list[str]:
    """Modules that import themselves by way of others; each is named once with the way round."""
    found: dict[frozenset[str], str] = {}
    finished: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circle = way[way.index(name) :]
            found.setdefault(frozenset(circle), " -> ".join((*circle, name)))
        elif name not in finished:
            for other in sorted(imports[name]):
                follow(other, (*way, name))
            finished.add(name)

    for name in sorted(imports):
        follow(name, ())
    return list(found.values())


def definitions(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """Every function and class of a module, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, Function | ast.ClassDef):
            yield node


class Product(SynchronousTestCase):
    """The product's own source."""

    maxDiff = None

    def setUp(self) -> None:
        self.modules = read_modules(PACKAGE)
        packages = {module_name(path, PACKAGE) for path in PACKAGE.rglob("__init__.py")}
        self.packages = {name: self.modules[name] for name in packages}
        self.plain = {name: tree for name, tree in self.modules.items() if name not in packages}
        self.imports = {name: imported(tree, self.plain) for name, tree in self.plain.items()}

    def test_no_import_goes_up(self) -> None:
        """Every module has a floor and imports only from it and from those below."""
        self.assertEqual(upward(self.imports, FLOORS), [])

    def test_every_floor_is_inhabited_by_real_modules(self) -> None:
        """The list names each module once, and none that is gone."""
        listed = [name for names in FLOORS for name in names]
        self.assertEqual(sorted(listed), sorted(set(listed)))
        self.assertEqual([name for name in listed if name not in self.plain], [])

    def test_no_circles(self) -> None:
        """No module imports itself by way of others."""
        self.assertEqual(circles(self.imports), [])

    def test_packages_hold_a_docstring_only(self) -> None:
        """Importing a package runs nothing: its file is its docstring."""
        busy = [name for name, tree in self.packages.items() if len(tree.body) != 1 or not ast.get_docstring(tree)]
        self.assertEqual(busy, [])

    def test_no_name_shrugs(self) -> None:
        """No module, class or function is named util, common, helper, manager, handler, processor or misc."""
        shrugging = [name for name in self.modules if SHRUGS.search(name)]
        for name, tree in self.modules.items():
            shrugging += [f"{name}: {node.name}" for node in definitions(tree) if SHRUGS.search(node.name)]
        self.assertEqual(shrugging, [])

    def test_modules_are_short(self) -> None:
        """No module is longer than 400 lines."""
        lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
        self.assertEqual({name: lines for name, lines in lengths.items() if lines > LONGEST_MODULE}, {})

    def test_functions_are_short(self) -> None:
        """No function is longer than 60 lines."""
        long = [
            f"{name}:{node.lineno} {node.name}"
            for name, tree in self.modules.items()
            for node in definitions(tree)
            if isinstance(node, Function) and (node.end_lineno or 0) - node.lineno >= LONGEST_FUNCTION
        ]
        self.assertEqual(long, [])

    def test_modules_open_with_their_manual_page(self) -> None:
        """Every module says first what it is for."""
        self.assertEqual([name for name, tree in self.modules.items() if not ast.get_docstring(tree)], [])


class Judgement(SynchronousTestCase):
    """The judge itself, on made-up products."""

    FLOORS = (("low",), ("middle.a", "middle.b"), ("high",))

    def test_upward_import_is_named(self) -> None:
        """An import from a higher floor is told with both floors."""
        complaints = upward({"low": {"high"}, "high": set()}, self.FLOORS)
        self.assertEqual(complaints, ["low (floor 0) imports high (floor 2)"])

    def test_downward_and_level_imports_pass(self) -> None:
        """Imports from below and from the same floor are allowed."""
        self.assertEqual(upward({"high": {"low"}, "middle.a": {"middle.b"}, "middle.b": set()}, self.FLOORS), [])

    def test_module_without_floor_is_named(self) -> None:
        """A module that the list does not know is a complaint of its own."""
        self.assertEqual(upward({"new": set()}, self.FLOORS), ["new has no floor in tests/floors.py"])

    def test_circle_is_shown_with_its_way_round(self) -> None:
        """A circle is told once, whoever it is entered from."""
        self.assertEqual(
            circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"c"}}),
            ["b -> c -> b"],
        )

    def test_all_forms_of_import_count(self) -> None:
        """``import``, ``from package import module`` and an import inside a function are seen alike."""
        modules = {name: ast.parse("") for name in ("mail.address", "queue.spool", "dns.name")}
        tree = ast.parse(
            "import smtpclient.mail.address\n"
            "from smtpclient.queue import spool\n"
            "def later():\n    from smtpclient.dns.name import anything\n"
            "import os\n"
        )
        self.assertEqual(imported(tree, modules), set(modules))
