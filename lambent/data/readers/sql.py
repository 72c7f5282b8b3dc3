"""SQL: a table or a query of any database that a DB-API or SQLAlchemy connection opens."""

import importlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lambent.data.readers import series
from lambent.data.readers.frames import Columns, from_frame
from lambent.data.readers.framing import arrow_table
from lambent.data.readers.typed import Declared, Typed
from lambent.errors import DataError, MachineError, UsageError

_URL = re.compile(r"[A-Za-z][\w+]*://")
_QUERY = re.compile(r"\s*(select|with|values)\b", re.IGNORECASE)
_SECRET = re.compile(r"(://[^:/@]*:)[^@]*@")
SQLITE = "sqlite:///"
AT_ONCE = 10_000  # rows that are fetched at a time


def from_sql(connection: Any, query: str) -> Any:
    """The rows of a table, by its name, or of a SELECT, as a pyarrow table: a source for `load` and for every estimator.

    connection: an open one of DB-API (sqlite3, psycopg, …) or of SQLAlchemy, or a SQLAlchemy engine. The types of columns are
    those of their values. Raises `DataError` with the database's words for a query that it refuses, `UsageError` for what is
    no connection.
    """
    if not isinstance(query, str) or not query.strip():
        raise UsageError("name a table, or give a query: from_sql(connection, 'SELECT …')")
    if hasattr(connection, "exec_driver_sql"):
        return _fetched(lambda: _of_alchemy(connection, query), query)
    if hasattr(connection, "connect") and hasattr(connection, "dialect"):
        with connection.connect() as opened:
            return from_sql(opened, query)
    if not hasattr(connection, "cursor"):
        raise UsageError(f"a {type(connection).__name__} is no connection of DB-API or SQLAlchemy")
    return _fetched(lambda: _of_driver(connection, query), query)


def is_url(source: Any) -> bool:
    """Whether a source is the address of a database."""
    return isinstance(source, str) and _URL.match(source) is not None


def read_url(source: str) -> Columns:
    """A table of a database: sqlite:///FILE?TABLE, or any SQLAlchemy URL with ?TABLE, or ?SELECT …, at its end.

    Raises `DataError` for what the database refuses, `MachineError` where SQLAlchemy is needed and not there.
    """
    # Other addresses may have settings after a question mark of their own.
    url, mark, query = source.partition("?") if source.startswith(SQLITE) else source.rpartition("?")
    if not mark or not query.strip():
        raise DataError(
            f"{masked(source)}: names no table; write {masked(source).rstrip('?')}?TABLE, or ?SELECT … in quotes"
        )
    with _opened(url) as connection:
        return from_frame(from_sql(connection, query), masked(source), "file")


def masked(source: str) -> str:
    """An address without the password in it."""
    return _SECRET.sub(r"\1***@", source)


@contextmanager
def _opened(url: str) -> Iterator[Any]:
    if url.startswith(SQLITE):
        path = Path(url[len(SQLITE) :])
        if not path.is_file():
            raise DataError(f"{url}: there is no file {path}")
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            yield connection
        finally:
            connection.close()
        return
    try:
        alchemy: Any = importlib.import_module("sqlalchemy")
    except ImportError:
        scheme = url.partition(":")[0]
        raise MachineError(
            f"{masked(url)}: {scheme} databases need SQLAlchemy and a driver: pip install sqlalchemy. "
            "Without it sqlite:///FILE is read"
        ) from None
    try:
        engine = alchemy.create_engine(url)
        with engine.connect() as connection:
            yield connection
    except (alchemy.exc.SQLAlchemyError, ImportError) as error:
        raise DataError(f"{masked(url)}: cannot be opened ({_words(error)})") from None


def _of_driver(connection: Any, query: str) -> tuple[list[str], Iterable[Any]]:
    cursor = connection.cursor()
    cursor.execute(query if _QUERY.match(query) else f"SELECT * FROM {_quoted(query)}")
    if cursor.description is None:
        raise DataError(f"{query[:60]!r} returns no rows; give a table or a SELECT")
    return [str(one[0]) for one in cursor.description], iter(lambda: cursor.fetchmany(AT_ONCE), [])


def _of_alchemy(connection: Any, query: str) -> tuple[list[str], Iterable[Any]]:
    if not _QUERY.match(query):
        preparer = connection.dialect.identifier_preparer
        query = f"SELECT * FROM {'.'.join(preparer.quote(part) for part in query.strip().split('.'))}"
    result = connection.exec_driver_sql(query)
    names = result.keys()
    return [str(name) for name in names], iter(lambda: result.fetchmany(AT_ONCE), [])


def _quoted(name: str) -> str:
    """A table's name as SQL has it: in quotes unless it is plain letters, which some databases fold."""
    name = name.strip()
    return name if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)?", name) else '"' + name.replace('"', '""') + '"'


def _fetched(ask: Any, query: str) -> Any:
    """The rows as columns, each of the type of its values."""
    try:
        names, batches = ask()
        columns: list[list[Any]] = [[] for _ in names]
        for rows in batches:
            for held, cells in zip(columns, zip(*rows, strict=True), strict=True):
                held.extend(cells)
    except (DataError, UsageError, KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # each driver has errors of its own, which share no ancestor
        raise DataError(f"the database refuses {query[:60]!r} ({_words(error)})") from None
    Columns(
        names,
        max(1, len(columns[0]) if columns else 0),
        lambda place: series.objects([]),
        f"the query {query[:60]!r}",
        "",
    )
    return arrow_table({name: _typed(cells) for name, cells in zip(names, columns, strict=True)})


def _typed(cells: list[Any]) -> Typed:
    values, kind = series.loose(series.objects(cells))
    return Typed(values, Declared(kind))


def _words(error: Exception) -> str:
    """The first line of what a driver says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
