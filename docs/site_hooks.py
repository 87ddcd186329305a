"""What the site shows of the repository outside `docs/`.

Pages link to benchmark results by their path in the repository, which is right where the repository
is browsed. The site has no such folder: the results become pages of it here, and links to them
follow.
"""

from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

RESULTS = "benchmarks/results"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each benchmark result."""
    for path in sorted((Path(config.config_file_path).parent / RESULTS).glob("*.md")):
        page = File.generated(config, f"{RESULTS}/{path.name}", abs_src_path=str(path))
        page.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Let links that leave `docs/` for a benchmark result lead to its page."""
    depth = page.file.src_uri.count("/")
    return markdown.replace(f"]({'../' * (depth + 1)}{RESULTS}/", f"]({'../' * depth}{RESULTS}/")
