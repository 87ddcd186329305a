"""What lets a shell complete the command line: `radenhance completion bash`, or zsh.

Only after importing PyTorch does a command know its flags, and that takes longer than anyone waits
after pressing Tab. So their helps are read once, when the script is printed, and the script holds
all words that they name: commands, flags, the values of flags that have few, and recipes. It does
not start radenhance; after an update, print it anew.
"""

import io
import re
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass

from radenhance import __version__, cli
from radenhance.console import Parser, say
from radenhance.flags.recipes import recipes

WHERE = {
    "bash": "~/.local/share/bash-completion/completions/radenhance",
    "zsh": "a file _radenhance in a folder of fpath",
}
"""Shell -> where it looks for the script."""

FLAGS_OF_FIT = ("plan", "folds")
"""Commands that take those too, which their help does not repeat."""

VALUES = {"--ckpt_path": ("best", "last")}
"""Flag -> values that are no fixed choice and that its help names in prose."""

_FLAG = re.compile(r"^ +(?:-\w(?: \w+)?, )?(--[\w.-]+)(?: \{([^}]*)\})?", re.MULTILINE)
_ARGUMENT = re.compile(r"^  \{([^}]*)\}", re.MULTILINE)


@dataclass(frozen=True)
class Words:
    """What may follow on a command line.

    Args:
        flags: Command -> names of its flags.
        values: Flag -> its values, where it has few; command -> those of its first argument.
    """

    flags: Mapping[str, Sequence[str]]
    values: Mapping[str, Sequence[str]]


def main(arguments: Sequence[str]) -> None:
    """Run `radenhance completion`."""
    places = "; ".join(f"{shell}: {where}" for shell, where in WHERE.items())
    parser = Parser(
        prog="radenhance completion",
        description="Print a script that lets a shell complete commands, flags and recipes; write "
        f"it to where the shell looks for it ({places}).",
    )
    parser.add_argument("shell", choices=list(WHERE))
    shell = parser.parse_args(arguments[1:]).shell
    say(script(shell, words_of({command: _help(command) for command in cli.COMMANDS})))


def words_of(helps: Mapping[str, str]) -> Words:
    """Return the words that the helps of commands name, and the recipes.

    Args:
        helps: Command -> what its --help prints.
    """
    flags: dict[str, list[str]] = {}
    values: dict[str, Sequence[str]] = {"--config": sorted(recipes()), **VALUES}
    for command, text in helps.items():
        found = _FLAG.findall(text)
        flags[command] = sorted({flag for flag, _ in found})
        values |= {flag: choices.split(",") for flag, choices in found if choices}
        if argument := _ARGUMENT.search(text):
            values[command] = argument[1].split(",")
    for command in FLAGS_OF_FIT:
        flags[command] = sorted({*flags[command], *flags["fit"]})
    return Words(flags, values)


def script(shell: str, words: Words) -> str:
    """Return the script for a shell.

    Args:
        shell: A key of WHERE.
        words: What it completes.
    """
    parts = {
        "VERSION": __version__,
        "COMMANDS": " ".join(words.flags),
        "FLAGS": _cases(words.flags),
        "VALUES": _cases(words.values),
    }
    return re.sub("@([A-Z]+)@", lambda match: parts[match[1]], _TABLES + _SHELLS[shell]).strip()


def _cases(table: Mapping[str, Sequence[str]]) -> str:
    lines = [f"{key}) echo '{' '.join(words)}' ;;" for key, words in table.items()]
    return "\n        ".join(lines)


def _help(command: str) -> str:
    text = io.StringIO()
    with redirect_stdout(text), suppress(SystemExit):
        cli.main([command, "--help"])
    return text.getvalue()


_TABLES = """
#compdef radenhance
# Completion for radenhance @VERSION@, printed by `radenhance completion`.
_radenhance_flags() {  # of a command
    case "$1" in
        @FLAGS@
    esac
}

_radenhance_values() {  # of a flag or a command's first argument, unless it is a path or a number
    case "$1" in
        @VALUES@
    esac
}
"""

_SHELLS = {
    "bash": """
_radenhance() {
    local command=${COMP_WORDS[1]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local word=${COMP_WORDS[COMP_CWORD]} words
    if [[ $word == = ]]; then  # bash takes the = of --flag=value for a word
        word=""
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    if ((COMP_CWORD == 1)); then
        words="@COMMANDS@ --help --version"
    elif [[ $word == -* ]]; then
        words=$(_radenhance_flags "$command")
    else
        words=$(_radenhance_values "$before")
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -o bashdefault -o default -F _radenhance radenhance
""",
    "zsh": """
_radenhance() {
    local command=$words[2] before=$words[CURRENT-1]
    if ((CURRENT == 2)); then
        compadd -- @COMMANDS@ --help --version
    elif compset -P '--*='; then
        compadd -- ${=$(_radenhance_values ${IPREFIX%=})} || _files
    elif [[ $PREFIX == -* ]]; then
        compadd -- ${=$(_radenhance_flags $command)}
    else
        compadd -- ${=$(_radenhance_values $before)} || _files
    fi
}
if [[ $funcstack[1] == _radenhance ]]; then
    _radenhance "$@"
else
    compdef _radenhance radenhance
fi
""",
}
