"""Rows of Core statements as the SQLModel classes they came from."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, CursorResult, Result, RowMapping, Select, inspect, select
from sqlalchemy.orm import ClassManager, configure_mappers
from sqlalchemy.orm.attributes import manager_of_class
from sqlmodel import SQLModel

Model = TypeVar("Model", bound=SQLModel)


@cache
def columns_of(table: type[SQLModel]) -> Sequence[ColumnElement[Any]]:
    """Every column of a table under its attribute's name, so that a row builds the model again."""
    return [column.label(attribute) for attribute, column in inspect(table).columns.items()]


@cache
def every(table: type[SQLModel]) -> Select[*tuple[Any, ...]]:
    """SELECT of all columns, to be narrowed. Built once: for a wide table, building it costs more than running it."""
    return select(*columns_of(table))


def values_of(row: SQLModel) -> dict[str, Any]:
    """A model as the parameters of an insert."""
    return {column.name: getattr(row, attribute) for attribute, column in inspect(type(row)).columns.items()}


def many(model: type[Model], result: CursorResult[Any] | Result[Any]) -> list[Model]:
    """Every row of a statement that selected or returned `columns_of(model)`."""
    return [_loaded(model, row) for row in result.mappings()]


def one(model: type[Model], result: CursorResult[Any] | Result[Any]) -> Model | None:
    """The only row, or None."""
    row = result.mappings().one_or_none()
    return None if row is None else _loaded(model, row)


def new_row(model: type[Model], /, **values: Any) -> Model:
    """A new row, of values that need no validation: those that are not given have their defaults."""
    return _loaded(model, {**_defaults(model), **values})


@cache
def _defaults(model: type[SQLModel]) -> Mapping[str, Any]:
    """Of the columns that have a plain one."""
    fields = model.model_fields.items()
    return {name: field.default for name, field in fields if not field.is_required() and field.default_factory is None}


def _loaded(model: type[Model], row: Mapping[str, Any] | RowMapping) -> Model:
    """Loads a row as a session does: what comes from the database is not validated, and no attribute is set by itself."""
    loaded: Model = _manager(model).new_instance()
    loaded.__dict__.update(row)
    return loaded


@cache
def _manager(model: type[SQLModel]) -> ClassManager[Any]:
    configure_mappers()  # else done by the first constructor, and a process that only reads calls none
    return manager_of_class(model)


def one_or_many(rows: list[dict[str, Any]]) -> dict[str, Any] | list[dict[str, Any]]:
    """Parameters for as many rows: a single one goes without the machinery of executemany."""
    return rows[0] if len(rows) == 1 else rows
