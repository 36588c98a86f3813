"""The rooms and their doors: who imports whom, what is packaged, what cites what."""

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tuned_contrastive import reference
from tuned_contrastive.conformance.lock import citations
from tuned_contrastive.spec import contract
from tuned_contrastive.spec.clauses import PLANNED, load_clauses

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("spec", "reference", "backends", "conformance", "benchmarks")
SOURCES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
BACKENDS = sorted(
    path.name for path in (ROOT / "backends").iterdir() if (path / "losses.py").exists()
)
FRAMEWORKS = {"torch", "tensorflow", "jax", "keras"}
OWN = "tuned_contrastive"
DOORS = {
    "spec": set(),
    "reference": {"spec", "numpy", "mpmath", "sklearn"},
    "conformance": {"spec", "reference", "numpy", "pytest", "hypothesis"},
}
PUBLIC = ("supcon_loss", "tcl_loss")
MODULES = ("SupConLoss", "TCLLoss")
WITHOUT = {"jax": {"modules.py"}}
BLOCK_SIZE = "block_size=None"
FURTHER_PARAMETERS = {"jax": [BLOCK_SIZE, "precision=jax.lax.Precision.HIGHEST"]}
OWN_WAY = {
    ("jax", "losses.py"): ["_sum", "_traceable", "_without_autocast"],
    ("jax", "dense.py"): ["_read", "is_traced", "_with_itself", "_weight"],
    ("jax", "modules.py"): ["_Loss", "SupConLoss", "TCLLoss"],
    ("tensorflow", "losses.py"): ["_loss", "_sum", "_traceable", "_without_autocast"],
    ("tensorflow", "dense.py"): ["_read", "is_traced", "_with_itself"],
}
"""Functions of the PyTorch backend that another framework has no use for, or under another name."""

FURTHER = {
    ("jax", "losses.py"): [
        "_describe_scalar",
        "_is_traced_int",
        "_check_width",
        "_rows",
        "_poison",
        "_reduced",
    ],
    ("jax", "dense.py"): ["temperature", "weight", "similarities", "losses"],
    ("tensorflow", "losses.py"): ["weighted_loss", "_unknown_views_checked", "_for_each_row"],
    ("tensorflow", "modules.py"): [
        "_refuse_other_backends",
        "_one_per_row",
        "_weights",
        "_text",
        "_number",
    ],
}
"""What another framework needs beside the PyTorch backend's functions, by backend and file."""


def imports(path: Path) -> set[str]:
    """Return what a file imports: our rooms (a backend as backends.X), other packages by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            names = [f"{base}.{alias.name}" for alias in node.names] if base == OWN else [base]
        for name in names:
            parts = name.split(".")
            own = ".".join(parts[1:3]) if parts[1:2] == ["backends"] else "".join(parts[1:2])
            found.add(own if parts[0] == OWN else parts[0])
    return found - set(sys.stdlib_module_names)


def room(path: Path) -> str:
    """Return the folder below the root that a file is in."""
    return path.relative_to(ROOT).parts[0]


def body(path: Path) -> list[ast.stmt]:
    """Return what stands at the top of a file, without importing its framework."""
    return ast.parse(path.read_text(encoding="utf-8")).body


def defined(path: Path) -> list[str]:
    """Return the names of a file's functions and classes, in order."""
    return [node.name for node in body(path) if isinstance(node, (ast.FunctionDef, ast.ClassDef))]


def exported(path: Path) -> set[str]:
    """Return a package's __all__."""
    for node in body(path):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    raise LookupError(f"{path} must have __all__")


def signature(path: Path, name: str) -> list[str]:
    """Return the parameters of a function, or of a class's constructor, with their defaults."""
    for outer in body(path):
        inner = outer.body if isinstance(outer, ast.ClassDef) and outer.name == name else [outer]
        for node in inner:
            wanted = name if node is outer else "__init__"
            if isinstance(node, ast.FunctionDef) and node.name == wanted:
                return _parameters(node.args)
    raise LookupError(f"{path} must define {name}")


def _parameters(given: ast.arguments) -> list[str]:
    plain, rest = (
        [*given.posonlyargs, *given.args],
        list(zip(given.kwonlyargs, given.kw_defaults, strict=True)),
    )
    defaults = [None] * (len(plain) - len(given.defaults)) + list(given.defaults)
    pairs = [*zip(plain, defaults, strict=True), *([("*", None)] if rest else []), *rest]
    return [f"{getattr(a, 'arg', a)}={d and ast.unparse(d)}" for a, d in pairs]


@pytest.mark.parametrize("path", [p for p in SOURCES if room(p) in ("spec", "reference")])
def test_spec_and_reference_import_downwards(path: Path) -> None:
    assert imports(path) - {room(path)} <= DOORS[room(path)]


@pytest.mark.parametrize("path", [p for p in SOURCES if room(p) == "backends"])
def test_backend_imports_its_framework_and_the_spec(path: Path) -> None:
    name = path.relative_to(ROOT).parts[1]
    with_keras = {"keras"} if name == "tensorflow" else set()
    assert imports(path) <= {name, f"backends.{name}", "numpy", "spec", *with_keras}


SUITE = [
    path
    for path in SOURCES
    if room(path) == "conformance"
    and path.relative_to(ROOT).parts[1] not in ("adapters", "mutants", "selftest")
]


@pytest.mark.parametrize("path", SUITE)
def test_suite_imports_no_backend(path: Path) -> None:
    assert imports(path) - {"conformance"} <= DOORS["conformance"]


@pytest.mark.parametrize("path", SOURCES)
def test_imports_are_absolute(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.level]


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_has_the_reference_signature(backend: str, name: str) -> None:
    expected = signature(ROOT / "reference" / "losses.py", name)
    found = signature(ROOT / "backends" / backend / "losses.py", name)
    assert found[: len(expected)] == expected
    assert found[len(expected) :] == FURTHER_PARAMETERS.get(backend, [BLOCK_SIZE])


def test_there_are_three_backends() -> None:
    assert BACKENDS == ["jax", "tensorflow", "torch"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_have_the_same_files(backend: str) -> None:
    expected = {path.name for path in (ROOT / "backends" / "torch").glob("*.py")}
    found = {path.name for path in (ROOT / "backends" / backend).glob("*.py")}
    assert found == expected - WITHOUT.get(backend, set())


@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_export_the_same_names(backend: str) -> None:
    modules = set() if "modules.py" in WITHOUT.get(backend, set()) else set(MODULES)
    assert exported(ROOT / "backends" / backend / "__init__.py") == {*PUBLIC, *modules}


@pytest.mark.parametrize("name", ["losses.py", "dense.py", "modules.py"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_backends_define_the_same_functions_in_the_same_order(backend: str, name: str) -> None:
    path = ROOT / "backends" / backend / name
    expected = defined(ROOT / "backends" / "torch" / name)
    found = defined(path) if path.exists() else []
    shared = [function for function in found if function in expected]
    assert [f for f in found if f not in expected] == FURTHER.get((backend, name), [])
    assert shared == [f for f in expected if f not in OWN_WAY.get((backend, name), [])]


@pytest.mark.parametrize("backend", BACKENDS)
def test_tiled_form_has_the_same_face(backend: str) -> None:
    # The loops over tiles are each framework's own; what `losses` calls is not.
    path = ROOT / "backends" / backend / "blockwise.py"
    expected = signature(ROOT / "backends" / "torch" / "blockwise.py", "anchor_losses")
    assert signature(path, "anchor_losses")[: len(expected)] == expected
    assert {"sort_rows", "cut_rows"} <= set(defined(path.with_name("rows.py")))
    tiles = defined(path.with_name("tiles.py"))
    public = [name for name in tiles if name.islower() and not name.startswith("_")]
    assert public == ["losses", "gradients"]
    constants = {ast.unparse(n.targets[0]) for n in body(path) if isinstance(n, ast.Assign)}
    assert {"THRESHOLD", "BLOCK_SIZE"} <= constants


@pytest.mark.parametrize("name", MODULES)
@pytest.mark.parametrize("backend", sorted(set(BACKENDS) - set(WITHOUT)))
def test_modules_have_the_same_parameters(backend: str, name: str) -> None:
    expected = signature(ROOT / "backends" / "torch" / "modules.py", name)
    assert signature(ROOT / "backends" / backend / "modules.py", name)[: len(expected)] == expected


@pytest.mark.clause("INP-1")
def test_reference_has_the_spec_signature() -> None:
    parameters = inspect.signature(reference.supcon_loss).parameters.values()
    given = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert given == {"temperature": 0.1, "normalize": True, "reduction": "mean"}
    assert list(given) == ["temperature", "normalize", "reduction"]


@pytest.mark.clause("INP-2")
def test_reference_has_the_spec_signature_of_tcl() -> None:
    parameters = inspect.signature(reference.tcl_loss).parameters.values()
    given = [(p.name, p.default) for p in parameters if p.kind is p.KEYWORD_ONLY]
    weights = [("k1", 5000.0), ("k2", 1.0)]
    assert given == [("temperature", 0.1), *weights, ("normalize", True), ("reduction", "mean")]


@pytest.mark.parametrize("loss", ["supcon", "tcl"])
def test_gradients_take_what_the_loss_takes(loss: str) -> None:
    expected = signature(ROOT / "reference" / "losses.py", f"{loss}_loss")
    found = signature(ROOT / "reference" / "gradients.py", f"{loss}_gradients")
    assert found == [*expected, "upstream=None"]


def test_responses_take_what_the_loss_takes() -> None:
    expected = signature(ROOT / "reference" / "losses.py", "tcl_loss")
    found = signature(ROOT / "reference" / "response.py", "responses")
    assert [*found, "reduction='mean'"] == expected


@pytest.mark.clause("INP-24")
def test_no_parameter_has_a_reserved_name() -> None:
    taken = set(inspect.signature(reference.tcl_loss).parameters)
    assert not taken & set(contract.RESERVED)


def test_every_package_is_packaged() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders = {path.parent for path in SOURCES if path.name == "__init__.py"}
    expected = {".".join((OWN, *folder.relative_to(ROOT).parts)) for folder in folders}
    assert set(settings["tool"]["setuptools"]["packages"]) == expected
    assert not (ROOT / "__init__.py").exists()


def test_every_folder_with_code_is_a_package() -> None:
    assert {path.parent for path in SOURCES if not (path.parent / "__init__.py").exists()} == set()


def test_every_clause_is_cited() -> None:
    assert set(load_clauses()) - set(PLANNED) - set(citations()) == set()


def test_every_citation_is_a_clause() -> None:
    assert set(citations()) - set(load_clauses()) == set()


def test_planned_clauses_are_cited_nowhere() -> None:
    assert set(PLANNED) & set(citations()) == set()


@pytest.mark.parametrize("backend", BACKENDS)
def test_backend_loads_no_other_framework(backend: str) -> None:
    program = f"import sys, %s; print(*sorted({FRAMEWORKS} & set(sys.modules)))"
    bare, ours = (
        subprocess.run(
            [sys.executable, "-c", program % name], capture_output=True, text=True, check=True
        ).stdout
        for name in (backend, f"{OWN}.backends.{backend}")
    )
    assert ours == bare


@pytest.mark.parametrize("path", SOURCES)
def test_file_opens_with_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
