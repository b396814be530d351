"""Forms and JSON bodies of every shape, and what other readers see in what is sent on.

`python -m tests.fuzz.forms --minutes 10 --seed 1` reads random and mutated bodies with the broker's code. What it would
send on is read by independent readers after the rules of other languages: all must see the same fields with the same
values, one model, and nothing that is dropped. Each case can be repeated by its number: `--seed 1 --case 4711`.
"""

import argparse
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from hero_broker.core.errors import InvalidRequest
from hero_broker.data_plane.multipart import FormRewriter, parse_boundary
from hero_broker.kinds.json_body import DROPPED_KEYS, read_json
from tests.fuzz.form_readers import FORM_READERS, JSON_READERS, json_pairs

UPSTREAM = "upstream/model"
NAMES = ("model", "file", "stream", "language", "prompt", "response_format", "timestamp_granularities[]", *DROPPED_KEYS)
ODD_NAMES = ("x", "a;b", 'a"b', "a\\", "a\\\\", "a b", "größe", "model[]", "model[0]", "api.base", "", "%6Dodel", "a=b")
INJECTED = ('; name=model; y="', '"; name="model', '\\"; name=\\"model', "\r\nX: y", '; filename="a"', "\\", "*")
FILE_NAMES = ("a.wav", "", "C:\\a.wav", 'a"b', 'a\\"; name=\\"model', "a; name=model", "größe.wav", "a/b", "..", "a\\")
TYPES = (
    "audio/wav",
    "",
    "text/plain; charset=utf-8",
    'audio/x; codecs="a, b"',
    "multipart/mixed; boundary=b",
    "message/rfc822",
    "audio/wav\n",
    "audio/\x0b",
    'a/b; c="\\"',
    "audio",
)
VALUES = (b"x", b"", b"\r\n", b"\r", b"x\n", b"\r\n--", b"--b", b"\xff", "ü".encode(), bytes(range(256)), b"\r\n\r\n")
SPECIAL_BYTES = b'"\\;=:\r\n\0\x0b\x7f\xff %*[]-bB=mM'


class DisagreementError(AssertionError):
    """Two readers see different things."""


def check(condition: bool, what: str) -> None:
    """Go on if `condition` holds.

    Raises:
        DisagreementError: it does not.
    """
    if not condition:
        raise DisagreementError(what)


def respelled(chance: random.Random, name: str) -> str:
    """Return a name in another spelling."""
    way = chance.randrange(8)
    if way == 0:
        return name.upper()
    if way == 1:
        return name.capitalize()
    if way == 2:
        return name.replace("_", chance.choice((".", "-", " ")))
    if way == 3:
        return name.replace("k", "\u212a").replace("s", "\u017f")
    if way == 4:
        return name + chance.choice(("[]", "[a]", " ", "\\", "\0"))
    if way == 5:
        at = chance.randrange(len(name) + 1)
        return name[:at] + chance.choice(INJECTED) + name[at:]
    return name


def some_name(chance: random.Random, oddness: float) -> str:
    name = chance.choice(NAMES)
    if chance.random() >= oddness:
        return name
    return chance.choice(ODD_NAMES) if chance.random() < 0.3 else respelled(chance, name)


def quoted(chance: random.Random, value: str, oddness: float) -> str:
    if chance.random() >= oddness:
        return f'"{value}"'
    way = chance.randrange(4)
    if way == 0:
        return value
    if way == 1:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if way == 2:
        return '"' + value.replace('"', "%22") + '"'
    return f'"{value}'


def some_part(chance: random.Random, oddness: float, name: str, value: bytes) -> bytes:
    """Return a part without its delimiter."""
    parameters = [f"name={quoted(chance, name, oddness)}"]
    is_file = name == "file" or chance.random() < 0.1
    if is_file != (chance.random() < oddness / 4):
        file_name = chance.choice(FILE_NAMES) if chance.random() < oddness else "a.wav"
        parameters.append(f"filename={quoted(chance, file_name, oddness)}")
    if chance.random() < oddness / 4:
        parameters.append(f"{chance.choice(('name', 'NAME', 'name*', 'filename', 'x'))}={some_name(chance, oddness)}")
        chance.shuffle(parameters)
    glue = "; " if chance.random() >= oddness else chance.choice((";", " ; ", ";;", "; \t", ","))
    headers = ["Content-Disposition: " + glue.join(["form-data", *parameters])]
    if is_file:
        headers.append(f"Content-Type: {chance.choice(TYPES) if chance.random() < oddness else 'audio/wav'}")
    if chance.random() < oddness / 8:
        headers.append(chance.choice((*headers, "Content-Transfer-Encoding: base64", "X: y", "content-disposition: x")))
    head = "\r\n".join(headers).encode("utf-8", "surrogateescape")
    return b"\r\n" + head + b"\r\n\r\n" + value + b"\r\n"


def some_form(chance: random.Random) -> bytes:
    """Return a form with the boundary b: mostly right, with one or a few things that are odd."""
    oddness = chance.choice((0.0, 0.02, 0.1, 0.4))
    parts = [
        some_part(chance, oddness, "model", b"m"),
        some_part(chance, oddness, "file", chance.choice(VALUES) + b"x"),
    ]
    for _ in range(chance.randrange(5)):
        name = some_name(chance, max(oddness, 0.1))
        value = chance.choice(VALUES[:7]) if chance.random() < 0.9 else chance.choice(VALUES)
        if name not in ("model", "file", "stream") or chance.random() < oddness:
            parts.append(some_part(chance, oddness, name, value))
    chance.shuffle(parts)
    body = b"--b" + b"--b".join(parts) + b"--b--\r\n"
    return mutated(chance, body) if chance.random() < 0.3 else body


def mutated(chance: random.Random, body: bytes) -> bytes:
    """Return a body of which a few bytes are others, doubled or gone."""
    changed = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(changed) + 1)
        way = chance.randrange(4)
        if way == 0:
            changed.insert(at, chance.choice(SPECIAL_BYTES))
        elif way == 1 and at < len(changed):
            changed[at] = chance.choice(SPECIAL_BYTES)
        elif way == 2:
            del changed[at : at + chance.choice((1, 1, 4, 30))]
        else:
            end = at + chance.choice((1, 10, 80))
            changed[at:at] = changed[at:end]
    return bytes(changed)


def check_form(chance: random.Random) -> bool:
    """Read a form, compare what is seen of what is sent on; return whether it was accepted."""
    body = some_form(chance)
    rewriter = FormRewriter(b"b", lambda _: UPSTREAM)
    size = chance.choice((1, 7, 64, 1 << 20))
    try:
        out = b"".join(rewriter.feed(body[at : at + size]) for at in range(0, len(body), size)) + rewriter.finish()
    except InvalidRequest:
        return False
    boundary = parse_boundary(rewriter.content_type.encode())
    seen = {reader.__name__: reader(boundary, out) for reader in FORM_READERS}
    first = seen[FORM_READERS[0].__name__]
    for name, fields in seen.items():
        check(fields == first, f"{name} reads {fields}, others {first}, of {out!r}, from {body!r}")
    roots = Counter(field.name.casefold().partition("[")[0].replace(".", "_").replace("-", "_") for field in first)
    check(not roots.keys() & set(DROPPED_KEYS), f"a dropped field passes in {out!r}, from {body!r}")
    check(roots["model"] == roots["file"] == 1 and roots["stream"] <= 1, f"a field twice in {out!r}, from {body!r}")
    for field in first:
        if field.file is None:
            told = UPSTREAM if field.name == "model" else rewriter.fields[field.name]
            is_last = field == [other for other in first if other.name == field.name and other.file is None][-1]
            check(not is_last or field.value == told.encode(), f"another value of {field.name} from {body!r}")
        elif field.name == "file":
            audio = out[rewriter.file_start : rewriter.file_end]
            check(field.value == audio, f"another file is measured than sent, from {body!r}")
    return True


def some_value(chance: random.Random, depth: int = 0) -> str:
    if depth < 3 and chance.random() < 0.3:
        inner = [some_value(chance, depth + 1) for _ in range(chance.randrange(3))]
        if chance.random() < 0.5:
            return "[" + ",".join(inner) + "]"
        return "{" + ",".join(f'"{chance.choice(NAMES)}":{value}' for value in inner) + "}"
    return chance.choice(('"m"', '""', "1", "1e400", "-0.0", "true", "null", '"\\u0000"', '"\\ud83d\\ude00"', '"ü"'))


def some_key(chance: random.Random) -> str:
    name = chance.choice((*NAMES, "messages", "stream_options", "Messages"))
    if chance.random() < 0.15:
        name = respelled(chance, name)
    text = json.dumps(name, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.1 and len(name) > 0 and name.isascii() and name.isprintable():
        text = '"' + "".join(f"\\u{ord(letter):04x}" if chance.random() < 0.3 else letter for letter in name) + '"'
    return text


def some_object(chance: random.Random) -> bytes:
    members = [f"{some_key(chance)}:{some_value(chance)}" for _ in range(chance.randrange(6))] + ['"model":"m"']
    chance.shuffle(members)
    body = ("{" + chance.choice((",", " , ", ",\n")).join(members) + "}").encode("utf-8", "surrogatepass")
    return mutated(chance, body) if chance.random() < 0.3 else body


def check_json(chance: random.Random) -> bool:
    """Read a JSON body, compare what is seen of what is sent on; return whether it was accepted."""
    body = some_object(chance)
    try:
        out = read_json(body).encode(model=UPSTREAM)
    except InvalidRequest:
        return False
    pairs = json_pairs(out)
    for reader in JSON_READERS:
        check(reader(pairs, "model") == UPSTREAM, f"{reader.__name__} reads another model in {out!r}, from {body!r}")
        for name in DROPPED_KEYS:
            check(reader(pairs, name) is None, f"{reader.__name__} reads {name} in {out!r}, from {body!r}")
    folded = Counter(name.casefold() for name, _ in pairs)
    check(max(folded.values()) == 1, f"a member twice in {out!r}, from {body!r}")
    return True


CHECKS: dict[str, Callable[[random.Random], bool]] = {"forms": check_form, "JSON bodies": check_json}


def run(seed: int, case: int) -> dict[str, bool]:
    """Run one case of each kind; return which were accepted."""
    return {kind: work(random.Random(f"{seed}-{case}-{kind}")) for kind, work in CHECKS.items()}  # noqa: S311


def main() -> int:
    """Run until the time is over, and print how many bodies were read and accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--case", type=int, help="repeat this case alone")
    asked = parser.parse_args()
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # it tells of each form that it refuses
    ends_at = time.monotonic() + 60 * asked.minutes
    tried, accepted = 0, Counter[str]()
    case = asked.case or 0
    while time.monotonic() < ends_at:
        try:
            accepted.update(kind for kind, is_accepted in run(asked.seed, case).items() if is_accepted)
        except DisagreementError as error:
            sys.stdout.write(f"seed {asked.seed}, case {case}: {error}\n")
            return 1
        tried += 1
        case += 1
        if asked.case is not None:
            break
    for kind in CHECKS:
        counts = f"{tried:,} read, {accepted[kind]:,} accepted and read alike by all"
        sys.stdout.write(f"{kind}: {counts}; seed {asked.seed}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
