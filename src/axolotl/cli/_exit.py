"""How a command ends: 0 done, 2 the user can mend it, 1 a bug, 130 interrupted.

Of several processes of a run, those that end because another one has gone end with 3. A training that
SIGTERM has stopped ends with 143, however much is saved: whoever starts it anew is to know that it is
not done. After Ctrl-C it ends with 0.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from axolotl.cli._say import say_error
from axolotl.errors import AxolotlError, EnvironmentFault, ProcessLost

DONE, BUG, MENDABLE, LOST, INTERRUPTED, TERMINATED = 0, 1, 2, 3, 130, 143
_OUT_OF_MEMORY = ("can't allocate memory", "out of memory")
_LESS_IN_TRAINING = (
    "lower micro_batch_size (and raise gradient_accumulation_steps) or sequence_len, or write "
    "`gradient_checkpointing: true`"
)
_FEWER_BITS = (
    "a lower --max_new_tokens, or fewer bits (--load_in_8bit, --load_in_4bit); a model larger than one "
    "GPU is answered by another server: see docs/out_of_memory.md"
)
_LESS = {
    "inference": f"try fewer prompts of a file at a time (--batch_prompts 1), {_FEWER_BITS}",
    "serve": f"try fewer prompts at a time (--max_batch 1), {_FEWER_BITS}",
    "evaluate": "lower eval_batch_size or sequence_len",
    **dict.fromkeys(
        ("merge-lora", "shard", "export-gguf"),
        "the model has to fit into memory once: end other programs, or take a machine with more",
    ),
}
"""What takes less memory, by the name of the command; all others train."""


@contextmanager
def exit_codes(command: str) -> Iterator[None]:
    """Turn what goes wrong into one message and an exit code.

    Args:
        command: Name of the command, for the name of a log file.

    Raises:
        SystemExit: something went wrong.
    """
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise  # click ends these by itself
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise  # whoever read the output has gone; click ends quietly
        from axolotl.core.last_word import leave_code

        fault = error if isinstance(error, AxolotlError) else as_fault(error, command)
        code = BUG if fault is None else LOST if isinstance(fault, ProcessLost) else MENDABLE
        leave_code(code)
        if fault is None:
            _report_bug(error, command)
        else:
            say_error(fault)
        raise SystemExit(code) from error


def as_fault(error: Exception, command: str = "train") -> EnvironmentFault | None:
    """What a library raised, if the machine and not the code is at fault; else None.

    Args:
        error: The error.
        command: Name of the command, for the way out.
    """
    name = type(error).__name__
    text = str(error).lower()
    if isinstance(error, MemoryError) or name == "OutOfMemoryError" or _no_memory(error, text):
        return EnvironmentFault("not enough memory", hint=_LESS.get(command, _LESS_IN_TRAINING))
    if isinstance(error, OSError):
        place = str(error.filename) if error.filename else None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return EnvironmentFault(
                "no space left on the disk", where=place, hint="free some space"
            )
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return EnvironmentFault(
                f"not permitted: {error.strerror}", where=place, hint="choose another place"
            )
    return None


def _no_memory(error: Exception, text: str) -> bool:
    return isinstance(error, RuntimeError) and any(words in text for words in _OUT_OF_MEMORY)


def _report_bug(error: Exception, command: str) -> None:
    """Put the traceback into a file and say where it is."""
    import shlex
    import time
    import traceback

    from axolotl import __version__

    trace = "".join(traceback.format_exception(error))
    content = f"axolotl {__version__}, Python {sys.version}\n{shlex.join(sys.argv)}\n\n{trace}"
    first_line = (str(error).strip().splitlines() or [""])[0]
    click.echo(f"{type(error).__name__}: {first_line}", err=True)
    file = _write_log(f"{command}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log", content)
    if file is None:
        click.echo(trace, err=True)
    else:
        click.echo(f"  this is a bug in axolotl; its traceback is in {file}", err=True)


def _write_log(name: str, content: str) -> Path | None:
    import tempfile

    from axolotl.core.cache import cache_folder

    for folder in (cache_folder("logs"), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(content, encoding="utf-8")
        except OSError:
            continue  # a home that cannot be written to must not hide the error itself
        return folder / name
    return None
