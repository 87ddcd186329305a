"""A web page in one file: its pictures are in it, and nothing is loaded from anywhere.

A report is sent by mail or opened years later; it then has to show what it showed.
"""

import base64
from collections.abc import Iterable, Sequence

from radenhance.foreign_text import in_html

STYLE = (
    "body{font:15px sans-serif;max-width:1500px;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;margin:1em 0}td,th{border:1px solid #ccc;padding:3px 8px}"
    "td{text-align:right}td:first-child,th:first-child{text-align:left}img,svg{max-width:100%;height:auto}"
    "div{overflow-x:auto}.word,.text{text-align:left}.text{min-width:13em;overflow-wrap:anywhere}"
)

LONGEST_FIGURE = 24
"""Characters of a figure; a cell that has more is a text, which is broken into lines."""


def web_page(title: str, parts: Iterable[str]) -> str:
    """Return a page.

    Args:
        title: Its title and first heading, as text.
        parts: What follows, as HTML.
    """
    shown = in_html(title)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{shown}</title>"
        f"<style>{STYLE}</style><h1>{shown}</h1>{''.join(parts)}</html>\n"
    )


def html_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of texts as HTML; one that is wider than the page is moved within it."""
    body = "".join(_row(row, "td") for row in rows)
    return f"<div><table>{_row(columns, 'th')}{body}</table></div>"


def html_picture(png: bytes, description: str) -> str:
    """Return a PNG picture as HTML.

    Args:
        png: Content of the file.
        description: What it shows, for whoever cannot see it.
    """
    data = base64.b64encode(png).decode()
    return f'<img src="data:image/png;base64,{data}" alt="{in_html(description)}">'


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(_cell(cell, tag) for cell in cells) + "</tr>"


def _cell(cell: str, tag: str) -> str:
    kind = "text" if len(cell) > LONGEST_FIGURE else "word" if cell[:1].isalpha() else ""
    attribute = f" class={kind}" if kind and tag == "td" else ""
    return f"<{tag}{attribute}>{in_html(cell)}</{tag}>"
