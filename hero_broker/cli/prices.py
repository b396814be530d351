"""`hero-broker prices`: prints the prices in force of a running broker, and puts a newer price list in force."""

import base64
import gzip
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hero_broker.cli.backend import TokenOption, UrlOption, open_backend
from hero_broker.cli.exit_codes import WRONG_USE
from hero_broker.cli.notices import counted, warn
from hero_broker.cli.printing import say, table, write_json
from hero_broker.client import methods, models
from hero_broker.core.inventory import MAX_PRICE_LIST_BYTES
from hero_broker.util.small_files import read_small_text

EXAMPLES = """Examples:

hero-broker prices

hero-broker prices gpt-5

hero-broker prices groq/llama-3.3-70b-versatile

hero-broker prices refresh

hero-broker prices refresh --file data.json --dry-run

hero-broker prices refresh --file data.json"""

COLUMNS = (
    ("model", False),
    ("provider", False),
    ("tier", False),
    ("rate", False),
    ("USD", False),
    ("from", False),
)
CHANGES = (
    ("model", False),
    ("provider", False),
    ("price", False),
    ("rate", False),
    ("before", True),
    ("after", True),
    ("when", False),
)
MAX_MODELS = 20  # whose changes are printed
MAX_RATES = 10  # of each
SHOW = "show"  # the command that `hero-broker prices` and `hero-broker prices MODEL` stand for


class _ModelGroup(TyperGroup):
    """A group whose first argument may be a model instead of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [SHOW, *args]
        return super().parse_args(ctx, args)


prices = typer.Typer(
    cls=_ModelGroup,
    help="Print what calls cost now: each rate of each model, and where it was read; or take a newer price list.",
    epilog=EXAMPLES,
)


@prices.command(SHOW)
def show(
    model: Annotated[
        str | None, typer.Argument(help="A model's name or alias, or provider/model. Without it, all that are served.")
    ] = None,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Print what calls cost now: each rate of each model, and where it was read. The word show may be left out.

    A tier is a tier of service with rates of its own. audio_minimum_s is in seconds, gpus is a number. A star after a
    model's name: other rates apply at other times or for longer contexts.
    """
    with open_backend(url, token) as backend:
        found = backend.call(methods.list_prices(model))
    if found.data:
        whole = max((len(_whole(rate)) for price in found.data for rate in price.rates), default=0)
        table(COLUMNS, [row for price in found.data for row in _rows(price, whole)])
    else:
        say("No model is served.")
    if model is not None:
        for source in sorted(
            {rate.source for price in found.data for rate in price.rates} - {None, "settings"}, key=str
        ):
            say(f"Source: {source}")
    _say_lists(found.lists)


@prices.command("refresh")
def refresh(
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            help="A price list as genai-prices publishes it: data.json or data_slim.json. Without it, the list that "
            "the settings name, else that of the package genai-prices, as they are now.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would change; the prices stay as they are.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the broker's response unchanged.")] = False,
    url: UrlOption = None,
    token: TokenOption = None,
) -> None:
    """Take a newer price list without a restart, and print what changed: the largest changes first.

    A list from a file stays in force after a restart. Calls that have begun keep their prices. --json prints all
    changes, without it those of 20 models are printed.
    """
    query = methods.refresh_prices(None if file is None else _packed(file), dry_run=dry_run or None)
    with open_backend(url, token, options={"price_list": "--file"}) as backend:
        if as_json:
            write_json(backend.call_raw(query.method, query.params))
            return
        changes = backend.call(query).data
    if changes.models:
        table(CHANGES, [row for model in changes.models[:MAX_MODELS] for row in _change_rows(model)])
    if len(changes.models) > MAX_MODELS:
        say(f"And {counted(len(changes.models) - MAX_MODELS, 'more model')}: --json prints them all.")
    say(
        f"{counted(len(changes.models), 'model')} with another price. Rates: {changes.rates_added:,} added, "
        f"{changes.rates_removed:,} removed, {changes.rates_changed:,} changed."
    )
    if changes.models_removed:
        say(f"Not served any more: {counted(changes.models_removed, 'model')}.")
    _say_moves(changes.moves)
    if changes.dry_run:
        say("Nothing was changed. With this list, these would be in force:")
    _say_lists(changes.lists)


def _packed(file: Path) -> str:
    """Return a file as `prices.refresh` takes it; end the command with 2 if it cannot be read."""
    try:
        content = read_small_text(file, MAX_PRICE_LIST_BYTES).encode()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or "unreadable") if isinstance(error, OSError) else "it is not UTF-8"
        warn(f"{file} cannot be read: {reason}")
        raise typer.Exit(WRONG_USE) from error
    return base64.b64encode(gzip.compress(content)).decode()


def _change_rows(model: models.ModelPriceChange) -> Iterator[tuple[str, ...]]:
    place = (model.model, model.provider, model.change)
    for rate in model.rates[:MAX_RATES]:
        yield (*place, rate.rate, rate.before or "", rate.after or "", _condition(rate))
    if len(model.rates) > MAX_RATES:
        yield (*place, f"and {counted(len(model.rates) - MAX_RATES, 'more rate')}", "", "", "")


def _condition(rate: models.RateChange) -> str:
    """Return when a rate applies; empty if always."""
    parts = []
    if rate.tier is not None:
        parts.append(f"tier {rate.tier}")
    if rate.from_input_tokens is not None:
        parts.append(f"from {rate.from_input_tokens:,} input tokens")
    if rate.since is not None:
        parts.append(f"since {datetime.fromtimestamp(rate.since, UTC).date().isoformat()}")
    if rate.daily is not None:
        parts.append(f"{rate.daily} UTC")
    return ", ".join(parts)


def _say_moves(moves: Sequence[models.ModelMove]) -> None:
    for move in moves[:MAX_MODELS]:
        say(f"{move.model} goes to {move.after}, no longer to {move.before}.")
    if len(moves) > MAX_MODELS:
        say(f"And {counted(len(moves) - MAX_MODELS, 'more model')} to other providers.")


def _whole(rate: models.PriceRate) -> str:
    return rate.value.partition(".")[0]


def _rows(price: models.PriceInForce, whole: int) -> list[list[str]]:
    """Return the rows of a price; `whole` is the width of the digits before the point, for one line of points."""
    place = [price.model + ("*" if price.varies else ""), price.provider, price.tier or ""]
    if not price.rates:
        return [[*place, "no price known", "", ""]]
    return [
        [*place, rate.rate, " " * (whole - len(_whole(rate))) + rate.value, rate.version or ""] for rate in price.rates
    ]


def _say_lists(lists: Iterable[models.PriceList]) -> None:
    today = datetime.fromtimestamp(time.time(), UTC).date()
    for price_list in lists:
        say(_age(price_list, today))


def _age(price_list: models.PriceList, today: date) -> str:
    """Return how old the newest price of a list is."""
    name = price_list.name if price_list.version is None else f"{price_list.name} {price_list.version}"
    if price_list.newest_price is None:
        return f"{name} has no dates."
    days = (today - date.fromisoformat(price_list.newest_price)).days
    return f"{name}: its newest price is of {price_list.newest_price}, {days} {'day' if days == 1 else 'days'} ago."
