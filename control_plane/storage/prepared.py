"""Statements of the call path: built and compiled once, run on the driver. Either costs more than running one.

`@prepared` stands where `@functools.cache` would. A statement's meaning, types and errors are SQLAlchemy's; only its
way through a connection, three quarters of what a small statement costs, is left out.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from itertools import cycle
from typing import Any, ParamSpec

from sqlalchemy import Connection, Dialect, Executable, TupleType
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

P = ParamSpec("P")

Parameters = Mapping[str, Any]


class Rows:
    """A statement's result. `row`: a named tuple of its columns; None for one that returns nothing."""

    def __init__(self, row: Any, values: Sequence[Sequence[Any]]) -> None:
        self._row = row
        self._values = values

    def __iter__(self) -> Iterator[Any]:
        return map(self._row._make, self._values) if self._values else iter(())

    def one_or_none(self) -> Any:
        """The only row, or None."""
        assert len(self._values) <= 1, "several rows where one was expected"
        return next(iter(self), None)

    def scalar(self) -> Any:
        """The first value of the first row, or None."""
        return self._values[0][0] if self._values else None

    def mappings(self) -> "Mappings":
        """The rows as dictionaries."""
        return Mappings(dict(zip(self._row._fields, values, strict=True)) for values in self._values)


class Mappings(list[dict[str, Any]]):
    """Rows as dictionaries."""

    def one_or_none(self) -> dict[str, Any] | None:
        """The only row, or None."""
        assert len(self) <= 1, "several rows where one was expected"
        return self[0] if self else None


class Prepared:
    """A statement, and its text by database and by the lengths of the lists in it."""

    def __init__(self, statement: Executable) -> None:
        self.statement = statement
        self._columns = list(getattr(statement, "exported_columns", ()))
        self._texts: dict[tuple[Any, ...], _Text] = {}

    def run(self, connection: Connection, parameters: Parameters | Sequence[Parameters] | None) -> Rows:
        """The rows for one set of parameters, or for each of several. Raises: what SQLAlchemy does."""
        sets = list(parameters) if isinstance(parameters, Sequence) else [parameters or {}]
        lengths = [_rounded_up(len(value)) for value in sets[0].values() if isinstance(value, list)]
        key = (connection.dialect.name, *sets[0], *lengths)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _Text(self.statement, connection.dialect, sets[0])
        return text.run(connection, sets)

    def run_written_out(self, connection: Connection, parameters: Parameters | Sequence[Parameters] | None) -> Any:
        """As `run`, through SQLAlchemy: for a connection whose driver is another."""
        if isinstance(parameters, Sequence) and self._columns:
            return [row for each in parameters for row in connection.execute(self.statement, each)]
        return connection.execute(self.statement, parameters)


def prepared(build: Callable[P, Executable]) -> Callable[P, Prepared]:
    """The statement that `build` makes, made once for each of its arguments."""

    @cache
    def once(*arguments: Any) -> Prepared:
        return Prepared(build(*arguments))  # type: ignore[call-arg]  # they are P's

    return once  # type: ignore[return-value]  # as above


class _Text:
    """A statement as one database takes it, and what values go through on their way there and back.

    Lists are as long as those of `parameters`, rounded up: shorter ones are filled up with their last element.
    """

    def __init__(self, statement: Any, dialect: Dialect, parameters: Parameters) -> None:
        compiler: SQLCompiler = statement.compile(dialect=dialect, column_keys=list(parameters))
        assert not compiler.prefetch, "a column that SQLAlchemy gives a default"
        binds = {name: bind for bind, name in compiler.bind_names.items()}
        self._fixed = {name: bind.value for name, bind in binds.items() if not bind.required}
        given = {**self._fixed, **parameters}
        lists = {name: _filled_up(given[name]) for name, bind in binds.items() if bind.expanding}
        expanded = compiler.construct_expanded_state({**parameters, **lists})
        self._sql = expanded.statement
        self._order = expanded.positiontup
        self._lists = {name: expanded.parameter_expansion[name] for name in lists}
        self._tuples = {name for name in lists if isinstance(binds[name].type, TupleType)}
        self._binding: dict[str, Callable[[Any], Any]] = {}
        for name, bind in binds.items():
            kinds = bind.type.types if isinstance(bind.type, TupleType) else [bind.type]
            for place, kind in zip(self._lists.get(name, [name]), cycle(kinds), strict=False):
                if (process := kind.dialect_impl(dialect).bind_processor(dialect)) is not None:
                    self._binding[place] = process
        columns = {column.key: column.type for column in getattr(statement, "exported_columns", ())}
        self._row = namedtuple("Row", columns) if columns else None  # noqa: PYI024 - of the selected columns
        reading = [kind.dialect_impl(dialect).result_processor(dialect, None) for kind in columns.values()]
        self._reading = reading if any(reading) else None

    def run(self, connection: Connection, sets: Sequence[Parameters]) -> Rows:
        values = [self._bound(each) for each in sets]
        dialect = connection.dialect
        try:
            cursor: Any = connection.connection.cursor()  # of the driver, which has more than the standard
            with closing(cursor):
                found = self._found(cursor, values, has_pipeline=dialect.name != "sqlite")
        except dialect.loaded_dbapi.Error as error:
            raise _translated(error, self._sql, connection) from error
        if self._reading is not None:
            found = [
                [value if read is None else read(value) for read, value in zip(self._reading, row, strict=True)]
                for row in found
            ]
        return Rows(self._row, found)

    def _found(self, cursor: Any, values: Sequence[Any], *, has_pipeline: bool) -> Sequence[Sequence[Any]]:
        if self._row is None:
            cursor.execute(self._sql, values[0]) if len(values) == 1 else cursor.executemany(self._sql, values)
            return ()
        found: list[Sequence[Any]] = []
        if has_pipeline and len(values) > 1:
            cursor.executemany(self._sql, values, returning=True)
            found += cursor.fetchall()
            while cursor.nextset():
                found += cursor.fetchall()
        else:
            for each in values:
                cursor.execute(self._sql, each)
                found += cursor.fetchall()
        return found

    def _bound(self, parameters: Parameters) -> Any:
        """The values as the driver takes them: by name, or in their order."""
        values = {**self._fixed, **parameters}
        for name, places in self._lists.items():
            elements = _filled_up(values.pop(name))
            flat = [part for element in elements for part in element] if name in self._tuples else elements
            values.update(zip(places, flat, strict=True))
        for place, process in self._binding.items():
            values[place] = process(values[place])
        return values if self._order is None else [values[place] for place in self._order]


def _rounded_up(length: int) -> int:
    """Of a list: there are few texts then, whose plans Postgres keeps."""
    return 1 << (length - 1).bit_length() if length else 0


def _filled_up(elements: Sequence[Any]) -> Sequence[Any]:
    """The elements of an IN, the last of them several times."""
    missing = _rounded_up(len(elements)) - len(elements)
    return [*elements, *([elements[-1]] * missing if missing else ())]


def _translated(error: Any, sql: str, connection: Connection) -> Exception:
    """SQLAlchemy's exception for an error of the driver; a dead connection is given up."""
    driver = connection.connection.dbapi_connection
    is_dead = driver is not None and connection.dialect.is_disconnect(error, driver, None)
    if is_dead:
        connection.invalidate(error)
    base = connection.dialect.loaded_dbapi.Error
    ours: Exception = DBAPIError.instance(
        sql, None, error, base, hide_parameters=True, connection_invalidated=is_dead, dialect=connection.dialect
    )
    return ours
