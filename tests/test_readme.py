"""What the pages say is there: commands, flags, exit codes, modules, benchmarks, links."""

import ast
import contextlib
import io
import os
import re
import shlex
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import yaml

from radenhance import __version__, cli
from radenhance.cli import COMMANDS, main
from radenhance.dataset.manifest import Pair, write_manifest
from radenhance.errors import RadenhanceError
from radenhance.flags.recipes import recipes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
WRITTEN = sorted(page for page in DOCS.rglob("*.md") if page.parent.name != "reproduction")
"""Pages that people write; those of `radenhance reproduce` are written by it."""

PAGES = [
    README,
    *(ROOT / name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *WRITTEN,
]
COMMAND_LINE = DOCS / "reference/command_line.md"
CODE_FOLDERS = ("radenhance", "benchmarks", "tests")

of_each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page, *languages):
    return re.findall(rf"```(?:{'|'.join(languages)})\n(.*?)```", page.read_text(), re.S)


def commands(page):
    text = "\n".join(blocks(page, "bash", "sh", "console")).replace("\\\n", " ")
    for line in text.replace("&&", "\n").splitlines():
        words = shlex.split(line, comments=True)
        if words and words[0] in ("radenhance", "make"):
            yield words


def table(page, heading):
    """The first cells of the rows of the table below a heading, without code marks."""
    section = page.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| *([^|]*?) *\|", section, re.M)
    return {cell.strip("`").split()[0] for cell in cells if cell and not cell.startswith("-")}


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(page):
    text = page.read_text()
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {slug(heading) for heading in headings} | set(re.findall(r"^::: (\S+)$", text, re.M))


@pytest.fixture(scope="module")
def flags_of():
    """Command -> the flags that its help lists."""
    found = {}
    for command in ("fit", "validate", "predict"):
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            assert main([command, "--help"]) == 0
        flags = re.findall(r"^  (?:-\w[^,]*, )?(--[\w.-]+)", text.getvalue(), re.M)
        found[command] = {flag.removesuffix(".help") for flag in flags} - {"--help"}
    return found


@of_each_page
def test_commands_exist(page):
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    for words in commands(page):
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= set(targets), words
            continue
        assert words[1] in {*COMMANDS, "--help", "--version"}, words
        for flag, value in zip(words, words[1:], strict=False):
            if flag == "--config" and not value.startswith("my_"):
                assert value in recipes(), words


@of_each_page
def test_links_lead_somewhere(page):
    for link, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]+))?\)", page.read_text()):
        if link.startswith("http"):
            continue
        target = page.parent / link if link else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), f"{link}#{anchor}"


@of_each_page
def test_flags_exist(page, flags_of):
    known = set().union(*flags_of.values())
    for flag in re.findall(r"(?<![\w-])--[a-z_]+(?:\.[a-z_]+)+", page.read_text()):
        # options of a class that a flag names are not listed
        assert {flag, flag.rpartition(".")[0]} & known, flag


@of_each_page
def test_code_files_exist(page):
    files = {path for folder in CODE_FOLDERS for path in (ROOT / folder).rglob("*.py")}
    names = {path.name for path in files}
    for named in re.findall(r"(?<![\w/.])[\w/]+\.py\b", page.read_text()):
        if "/" in named:
            assert {ROOT / named, ROOT / "radenhance" / named} & files, named
        else:
            assert named in names, named


@of_each_page
def test_modules_and_what_is_in_them_exist(page):
    for named in re.findall(r"\bradenhance(?:\.\w+)+", page.read_text()):
        assert has_name(named), named


def has_name(dotted):
    """Whether a module of ours, or one that defines the rest of the name, is there."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        path = ROOT.joinpath(*parts[:length])
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if path.exists():
            return all(re.search(rf"\b{name}\b", path.read_text()) for name in parts[length:])
    return False


@of_each_page
def test_python_of_a_page_imports_what_there_is(page):
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = import_module(node.module)
                for alias in node.names:
                    assert hasattr(module, alias.name), f"{node.module}.{alias.name}"
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    import_module(alias.name)


@of_each_page
def test_prose_fits_into_120_columns(page):
    lines = [line for line in page.read_text().splitlines() if not line.startswith("|")]
    assert [line for line in lines if len(line) > 120] == []


def test_pages_and_benchmarks_that_code_and_recipes_name_exist():
    files = [*(ROOT / "configs").glob("*.yaml")]
    files += [path for folder in CODE_FOLDERS[:2] for path in (ROOT / folder).rglob("*.py")]
    for file in files:
        for named in re.findall(r"\b(?:docs/[\w/-]+\.md|benchmarks/\w+\.py)", file.read_text()):
            assert (ROOT / named).exists(), f"{file.name}: {named}"


def test_the_first_screen_holds_the_two_commands():
    first_screen = "\n".join(README.read_text().splitlines()[:40])
    assert "make demo" in first_screen
    assert "make test" in first_screen


def test_the_readme_is_a_screen_and_a_half():
    assert len(README.read_text().splitlines()) <= 75


def test_the_readme_trains_in_python(tmp_path):
    (code,) = blocks(README, "python")
    for said, here in (
        ("ContrastEnhancer(", "ContrastEnhancer('resnet18', "),
        ('Path("my_radiographs")', "Path('dataset'), num_workers=0"),
        ("max_epochs=50", "accelerator='cpu', fast_dev_run=True"),
    ):
        assert code.count(said) == 1, said
        code = code.replace(said, here)
    make_dataset(tmp_path / "dataset", side=168)
    (tmp_path / "script.py").write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert "max_steps=1` reached" in result.stdout + result.stderr


def make_dataset(root, *, side):
    pairs = []
    for split in ("train", "val"):
        paths = {half: f"{half}/{split}.npy" for half in ("raw", "target")}
        for path in paths.values():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            np.save(root / path, np.linspace(0, 65535, side**2).astype("u2").reshape(side, side))
        pairs.append(Pair(split, split, paths["raw"], paths["target"], split))
    write_manifest(root, pairs)


def test_the_command_table_is_complete():
    assert table(COMMAND_LINE, "Commands") - {"command"} == set(COMMANDS)


def test_the_flag_table_has_every_group(flags_of):
    listed = table(COMMAND_LINE, "Flags of `fit`, `validate`, `test` and `predict`") - {"group"}
    flags = set().union(*flags_of.values())
    groups = {f"{flag.rpartition('.')[0]}.*" for flag in flags if "." in flag}
    alone = {flag for flag in flags if "." not in flag and f"{flag}.*" not in groups}
    # what the strategy is decides which options it has
    assert listed == groups | alone | {"--trainer.strategy.*"}


def test_the_exit_code_table_is_complete():
    listed = {int(code) for code in table(COMMAND_LINE, "Exit codes") - {"code"}}
    codes, classes = {0, 1}, [RadenhanceError]
    for error in classes:
        codes.add(error.exit_code)
        classes += error.__subclasses__()
    for node in ast.walk(ast.parse(Path(cli.__file__).read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_say":
            codes |= {value.value for value in node.args if isinstance(value, ast.Constant)}
    codes = {code for code in codes if isinstance(code, int)}
    # which no constant says
    by_signals = {128 + asked for asked in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)}
    assert listed - by_signals == codes


def test_the_recipe_page_names_every_recipe():
    page = (DOCS / "reference/recipes.md").read_text()
    assert {name for name in recipes() if f"`{name}`" not in page} == set()


def test_the_site_and_the_index_have_every_page():
    shown = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    pages = {page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md")}
    assert shown == pages
    index = (DOCS / "index.md").read_text() + (DOCS / "decisions/index.md").read_text()
    assert {page for page in pages if page.rsplit("/")[-1] not in index} - {"index.md"} == set()


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == __version__


def test_continuous_integration_runs_what_people_run():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert ".ci/run" in [step.get("run") for step in steps]
    assert re.search(r"^make check test\b", (ROOT / ".ci/run").read_text(), re.M)
