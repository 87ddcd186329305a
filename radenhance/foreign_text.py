"""Text of others, shown so that it is nothing but text.

Names of files, values of headers, keys of YAML and what a checkpoint says of itself were written
by whoever made them. A terminal obeys some characters in them, a spreadsheet others, a browser and
Markdown others again. Whatever is shown passes through here where it is shown: there are few such
places, and hundreds of messages.
"""

import html
import re
import unicodedata

LONGEST_NAME = 300
"""Characters of a name, a title or a cell that are shown."""

LONGEST_MESSAGE = 4000
"""Characters of an error that are shown."""

_FORMULA = "=+-@\t\r\n\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}"
_AS_TEXT = "'"
"""What spreadsheets take for: this is text. They do not show it."""

_FIGURES = re.compile(r"[-+\d.,:%\s]*( to [-+\d.,%\s]*)?", re.ASCII)
_OF_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#|~!])")


def printable(text: str) -> str:
    r"""Return text with the characters written out that a terminal obeys, such as \x1b.

    These are control characters, those that turn the direction of writing or have no width, and
    halves of characters. Line breaks stay.
    """
    return "".join(char if char == "\n" or _is_harmless(char) else _code(char) for char in text)


def one_line(text: object, longest: int = LONGEST_NAME) -> str:
    r"""Return text as `printable` does, line breaks written out too, and its middle cut out.

    Args:
        text: A name, a value, or a message.
        longest: Characters that are kept.
    """
    whole = str(text)
    if len(whole) > longest:
        half = longest // 2
        whole = f"{whole[:half]} [...] {whole[-half:]}"
    return printable(whole).replace("\n", r"\n")


def in_csv(cell: object) -> object:
    """Return a cell that a spreadsheet takes for text, not for a formula; figures stay figures."""
    if not isinstance(cell, str) or _FIGURES.fullmatch(cell) or not _is_formula(cell):
        return cell
    return _AS_TEXT + cell


def from_csv(cell: str) -> str:
    """Return the text of a cell that `in_csv` made."""
    return cell[1:] if cell[:1] == _AS_TEXT and _is_formula(cell[1:]) else cell


def in_html(text: object) -> str:
    """Return text in one line, for the content and the attributes of HTML."""
    return html.escape(one_line(text, LONGEST_MESSAGE))


def in_markdown(text: object) -> str:
    """Return text in one line, without the meaning that Markdown and HTML give to characters."""
    return _OF_MARKDOWN.sub(r"\\\1", html.escape(one_line(text, LONGEST_MESSAGE), quote=False))


def _is_harmless(char: str) -> bool:
    return char.isprintable() or unicodedata.category(char) == "Zs"  # blanks of other widths


def _code(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _is_formula(text: str) -> bool:
    return text.lstrip(_AS_TEXT)[:1] in _FORMULA and bool(text.lstrip(_AS_TEXT))
