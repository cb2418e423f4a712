"""Which format a file has, and its text."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from pathlib import PurePath

from inventory.importing import from_csv, from_json, from_yaml
from inventory.importing.columns import Columns
from inventory.importing.faults import Faults
from inventory.importing.rows import Row

Reader = Callable[[bytes, Columns, Faults], Iterator[Row]]
FORMATS: dict[str, Reader] = {"csv": from_csv.rows, "json": from_json.rows, "yaml": from_yaml.rows}
ENDINGS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}
ENDINGS |= {".yaml": "yaml", ".yml": "yaml"}
WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def guess(name: str, data: bytes) -> str:
    """The format by the file's name, else by how it begins."""
    if found := ENDINGS.get(PurePath(name).suffix.lower()):
        return found
    start = data[:4096].removeprefix(codecs.BOM_UTF8).lstrip()
    if start[:1] == b"{" or (start[:1] == b"[" and start[1:].lstrip()[:1] in (b"{", b"]")):
        return "json"
    return "yaml" if start.startswith((b"- ", b"-\n", b"---", b"#")) else "csv"


def not_text(data: bytes, faults: Faults) -> None:
    """Note every line that is not UTF-8."""
    if data.startswith(WIDE):
        return faults.add(1, "", "The file is UTF-16. Save it as UTF-8.")
    try:
        data.decode()
    except UnicodeDecodeError:
        place = 0
        for number, line in enumerate(data.split(b"\n"), 1):
            _line(number, place, line, faults)
            place += len(line) + 1
    return None


def _line(number: int, place: int, line: bytes, faults: Faults) -> None:
    try:
        line.decode()
    except UnicodeDecodeError as error:
        where = place + error.start
        faults.add(number, "", f"Byte {where:,} of the file (0x{line[error.start]:02x}) is not UTF-8 text.")
