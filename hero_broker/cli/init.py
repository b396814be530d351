"""`hero-broker init`: writes a settings file, and says what to do next."""

import os
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from hero_broker.cli.exit_codes import FAILED
from hero_broker.cli.notices import warn
from hero_broker.cli.printing import say
from hero_broker.settings.load import CONFIG, DEFAULT_FILE
from hero_broker.settings.starter_file import providers_with_keys, starter_file
from hero_broker.util.private_files import FILE_MODE

EXAMPLES = """Examples:

hero-broker init

OPENAI_API_KEY=… hero-broker init /etc/hero-broker"""


def init(
    folder: Annotated[
        Path, typer.Argument(help="Where to write hero-broker.toml; it is created if it is missing.")
    ] = Path(),
) -> None:
    """Write a settings file with the providers whose keys are in the environment. It names variables, and has no key.

    An existing file is never changed.
    """
    path = folder.absolute() / DEFAULT_FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, starter_file(os.environ))
    except FileExistsError as error:
        warn(f"{path} exists, and is left as it is. Rename it, or name another folder.")
        raise typer.Exit(FAILED) from error
    except OSError as error:
        warn(f"{path} cannot be written: {error.strerror}")
        raise typer.Exit(FAILED) from error
    _say_what_is_next(path)


def _write(path: Path, text: str) -> None:
    """Create a file that only its owner may access, and leave no part of it if writing fails.

    Raises:
        FileExistsError: the file exists.
        OSError: the file cannot be written.
    """
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise


def _say_what_is_next(path: Path) -> None:
    names = [known.name for known in providers_with_keys(os.environ)]
    say(f"Wrote {path}, with {'the providers ' + ', '.join(names) if names else 'no provider'}.")
    if not names:
        say(
            "Set a provider's key, such as OPENAI_API_KEY, before the broker starts; or try `hero-broker serve --fake`."
        )
    if not any(os.environ.get(token, "").strip() for token in ("ADMIN_TOKEN", "HERO_SECRET")):
        say("Set ADMIN_TOKEN before the broker listens beyond this machine.")
    if os.environ.get(CONFIG, "").strip():
        say(f"{CONFIG} is set: commands read the file that it names, unless you unset it.")
    say("Next:")
    if path.parent != Path.cwd():
        say(f"  cd {shlex.quote(str(path.parent))}")
    say("  hero-broker check-config            prints what would be served, with prices")
    say("  hero-broker serve                   starts the broker")
    say("  hero-broker doctor --model MODEL    in another terminal: makes one call, and finds it on the bill")
