"""The command line: finds the command, and says in one sentence what a user did wrong.

Nothing heavy is imported until a command needs it, so that `--help` and `--version` answer at once.
"""

import atexit
import gc
import signal
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from types import ModuleType

from radenhance import __version__
from radenhance.command_line.faults import fault_of
from radenhance.command_line.wording import in_flags
from radenhance.console import guard_logs, say_error
from radenhance.errors import RadenhanceError, UsageError
from radenhance.flags.help import EXAMPLES, help_of
from radenhance.flags.recipes import find_recipes, recipes

HELP = """\
usage: radenhance COMMAND [OPTIONS]

Trains networks that enhance the contrast of raw radiographs, on the GPU you have.

training (each with --help for all of its flags)
  fit          train; without --data.root on 60 synthetic radiographs, made once
  validate     measure a checkpoint on the validation radiographs
  test         measure a checkpoint on the test radiographs
  predict      enhance the radiographs of a folder as PNG, with the flags of fit
  folds        cross-validate: train once per fold of the patients, and write the table

using what was trained
  enhance      enhance radiographs: DICOM in, derived DICOM out, whatever lies among them
  serve        receive radiographs by C-STORE, and send enhanced ones on

before training
  plan         say how much GPU memory a run takes, and which techniques make it fit

data
  prepare      make a dataset of the radiographs in a folder, with targets
  check        say whether a dataset trains, and what is wrong with it
  synthesize   make a dataset of synthetic cats, dogs and turtles

results
  dashboard    show runs in the browser: memory, losses, images, a table of all runs
  compare      write a page that compares runs: figures, curves, flags, the same images
  guard        calibrate what tells when a network invents or erases a detail
  quantize     make an int8 model for the CPU of a checkpoint, and measure it
  evaluate     measure a checkpoint on whole radiographs, beside what needs no network
  showcase     compare a checkpoint with the raw images, in numbers and as a picture
  package      make a model to hand on of a checkpoint, or check one that was received
  export       make an ONNX model of a checkpoint, for other programs
  reproduce    remake the paper's tables and figures, its numbers beside ours

shell
  completion   print what lets bash or zsh complete commands, flags and recipes

examples
  radenhance fit --config quickstart.yaml
  radenhance fit --config original.yaml --data.root my_radiographs
  radenhance fit --config original.yaml --ckpt_path last
  radenhance prepare export/ my_radiographs && radenhance check my_radiographs
  radenhance enhance best exams/ --out enhanced/

options
  -h, --help     show this and exit
  --version      show the version and exit

built-in recipes for --config
  {recipes}
"""

COMMANDS = {
    **dict.fromkeys(("fit", "validate", "test", "predict"), "radenhance.command_line.run"),
    "folds": "radenhance.folds.command",
    "enhance": "radenhance.command_line.enhance",
    "serve": "radenhance.command_line.serve",
    "prepare": "radenhance.prepare.command",
    "check": "radenhance.prepare.check.command",
    "synthesize": "radenhance.prepare.synthesize",
    "dashboard": "radenhance.command_line.dashboard",
    "compare": "radenhance.command_line.compare",
    "plan": "radenhance.command_line.plan",
    "guard": "radenhance.command_line.guard",
    "quantize": "radenhance.command_line.quantize",
    "evaluate": "radenhance.command_line.evaluate",
    "showcase": "radenhance.command_line.showcase",
    "package": "radenhance.command_line.package",
    "export": "radenhance.command_line.export",
    "reproduce": "radenhance.reproduce.command",
    "completion": "radenhance.completion",
}
"""Command -> module whose `main(arguments)` runs it; the first four share one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0, or not 0 with one sentence on standard error."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(HELP.format(recipes=_listed(recipes())))
        return 0
    if arguments[0] == "--version":
        sys.stdout.write(f"radenhance {__version__}\n")
        return 0
    guard_logs()
    return say_errors(lambda: _run(arguments))


def say_errors(command: Callable[[], object]) -> int:
    """Run `command`; turn a mistake or a fault of the machine into a sentence and an exit code."""
    try:
        command()
    except RadenhanceError as error:
        return _say_error(error)
    except KeyboardInterrupt as stop:
        return _say_stopped(stop)
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        return _say_error(fault)
    return 0


def one_sentence(error: RadenhanceError) -> str:
    """Return the message alone, also where a loader's worker wrapped it in its traceback."""
    message = str(error)
    wrapped = f"radenhance.errors.{type(error).__name__}: "
    return message.rsplit(wrapped, 1)[-1].strip()


def _listed(names: Iterable[str]) -> str:
    lines = textwrap.wrap(", ".join(sorted(names)), 96, break_on_hyphens=False)
    return "\n  ".join(lines)


def _run(arguments: Sequence[str]) -> None:
    command, rest = arguments[0], list(arguments[1:])
    if command not in COMMANDS:
        raise UsageError(
            f"radenhance has no command {command}; it has {', '.join(COMMANDS)} (radenhance --help)"
        )
    if command in EXAMPLES and {"-h", "--help"} & {*rest}:
        sys.stdout.write(help_of(command))
        return
    module = _imported(COMMANDS[command])
    module.main(find_recipes([command, *rest]))


def _imported(name: str) -> ModuleType:
    """Import a command's module with the collector of cycles at rest.

    What is imported stays: to look for garbage among its half a million objects, again and again
    while they are made, takes a fifth of the time of an import, and 0.2 s each time later on.
    """
    if name in sys.modules:
        return sys.modules[name]
    if not gc.isenabled():  # whoever switched it off has their reasons
        return import_module(name)
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # libraries say at the exit what was not let go
        gc.enable()


def _say_stopped(stop: KeyboardInterrupt) -> int:
    """Say what stopped the command: Ctrl-C, or the signal that was turned into one."""
    asked = next((one for one in stop.args if isinstance(one, signal.Signals)), signal.SIGINT)
    return _say(f"stopped by {'Ctrl-C' if asked == signal.SIGINT else asked.name}", 128 + asked)


def _say_error(error: RadenhanceError) -> int:
    return _say(in_flags(one_sentence(error)), error.exit_code)


def _say(message: str, exit_code: int) -> int:
    say_error(message)
    return exit_code
