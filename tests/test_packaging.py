"""What is installed is what was meant: dependencies, pins, the wheel and the image."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from radenhance import __version__

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
OF_USE = ("demo", "jpeg12", "onnx", "serve")
"""Extras of who uses the package, not of who works on it."""

WITHOUT_IMPORT = {
    "pylibjpeg": "pydicom decodes with it",
    "pylibjpeg-openjpeg": "pylibjpeg decodes with it",
    "pyjpegls": "pydicom decodes with it",
    "python-gdcm": "pydicom decodes with it",
    "onnxscript": "torch.onnx exports with it",
    "pydicom-data": "two of its files are read",
}
"""Dependency that `radenhance` does not import -> why it is one."""


def requirements(*extras):
    """Ours, and those of some extras."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return [r for r in map(Requirement, lines) if r.name != "radenhance"]


def names(*extras):
    return {canonicalize_name(r.name) for r in requirements(*extras)}


def pins():
    """The constraints that hold on this Python and platform: name -> version."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    holding = [r for r in parsed if r.marker is None or r.marker.evaluate()]
    return {canonicalize_name(r.name): r for r in holding}


def imported(folder):
    """The distributions whose modules a folder's files import, without this repository's."""
    files = list((ROOT / folder).rglob("*.py"))
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    modules = {name.name for n in nodes if isinstance(n, ast.Import) for name in n.names}
    modules |= {n.module for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}
    tops = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    scripts = [*files, *(ROOT / "benchmarks").glob("*.py")]
    helpers = {file.stem for file in scripts} if folder != "radenhance" else set()
    tops -= {"radenhance", folder, *helpers}
    providers = packages_distributions()
    return {canonicalize_name(name) for top in tops for name in providers.get(top, [top])}


def installed_with(requirement, seen):
    """Collect in `seen` the names of what comes with a requirement here."""
    for extra in requirement.extras or {""}:
        if (requirement.name, extra) in seen:
            continue
        seen.add((requirement.name, extra))
        try:
            lines = requires(requirement.name) or []
        except PackageNotFoundError:  # of an extra that is not installed here
            continue
        for other in map(Requirement, lines):
            environment = {**default_environment(), "extra": extra}
            if other.marker is None or other.marker.evaluate(environment):
                installed_with(other, seen)


def test_what_the_package_imports_is_declared_and_the_other_way_round():
    assert imported("radenhance") | WITHOUT_IMPORT.keys() == names(*OF_USE)


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_what_tests_and_benchmarks_import_is_declared(folder):
    assert imported(folder) <= names(*OF_USE, "test", "docs")


@pytest.mark.parametrize("requirement", requirements(*OF_USE, "docs"), ids=str)
def test_dependency_has_a_lower_and_an_upper_bound(requirement):
    assert sorted(part.operator for part in requirement.specifier) == ["<", ">="]


def test_every_named_python_is_allowed_and_the_oldest_is_the_bound():
    named = [c.rpartition(" ")[2] for c in PROJECT["classifiers"] if ":: 3." in c]
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert named == sorted(named, key=lambda version: int(version.partition(".")[2]))
    assert all(allowed.contains(version) for version in named)
    assert PROJECT["requires-python"] == f">={named[0]}"


def test_constraints_name_versions_and_no_address():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = [line for line in lines if line and not line.startswith("#")]
    assert all(re.match(r"[a-z0-9-]+==[a-z0-9.]+( ; [^@:/]+)?$", line) for line in pinned), pinned
    assert not re.search(r"https?:|--[a-z]|@", "\n".join(lines))


def test_constraints_pin_what_is_declared_within_its_bounds():
    for requirement in requirements(*EXTRAS):
        if requirement.marker is None or requirement.marker.evaluate():
            (version,) = pins()[canonicalize_name(requirement.name)].specifier
            assert requirement.specifier.contains(version.version), requirement


def test_constraints_pin_what_comes_with_it():
    seen = set()
    for requirement in requirements(*EXTRAS):
        if requirement.marker is None or requirement.marker.evaluate():
            installed_with(requirement, seen)
    floating = {canonicalize_name(name) for name, _ in seen} - pins().keys()
    assert not floating, "run: make constraints"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of this checkout, built without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", folder]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    with zipfile.ZipFile(next(folder.iterdir())) as file:
        yield file


def test_wheel_holds_the_package_its_recipes_and_its_types(wheel):
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / "radenhance").rglob("*.py")}
    here |= {f"radenhance/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")}
    held = {name for name in wheel.namelist() if "dist-info" not in name}
    assert held - {name for name in held if name.endswith(".md")} == {*here, "radenhance/py.typed"}


def test_index_page_links_to_no_file_that_is_not_there(wheel):
    metadata = wheel.read(f"radenhance-{__version__}.dist-info/METADATA").decode()
    assert "make demo" in metadata
    links = re.findall(r"\]\(([^)]+)\)", metadata)
    assert all(link.startswith("http") for link in links), links


def test_changelog_names_the_version():
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_image_installs_as_a_person_does_and_does_not_run_as_root():
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert any(re.match(r"RUN make .*\binstall\b", line) for line in lines)
    assert lines.index("USER radenhance") > next(
        i for i, line in enumerate(lines) if "useradd" in line
    )
    assert 'ENTRYPOINT ["radenhance"]' in lines
    copied = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "build", "data", "lightning_logs"} <= set(copied)
