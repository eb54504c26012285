"""Cells into figures: medians over the rounds, ratios within each round, tables, JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.load.bench.load import Cell
from tests.load.bench.scenarios import IDLE_AIM_KB, STREAMED, Scenario


@dataclass(frozen=True, slots=True)
class Ratio:
    """One cell's figure divided by another's of the same round: the median, and the lowest and highest round."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class FirstWord:
    """When the first word of a stream was there, and how much later than through the pass-through. Over all rounds."""

    p50_ms: float
    p95_ms: float
    added_p50_ms: float | None
    added_p95_ms: float | None
    p50_ratio: float | None
    p95_ratio: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One target in one scenario, over all rounds. Latencies are pooled, the rest are medians of the rounds.

    `cpu_ratio`: to the bare router, in the scenario beside this one if it cannot do this one itself;
    `to_passthrough`: to the pass-through likewise; `to_beside`: to the same target in the scenario beside this one.
    """

    scenario: str
    target: str
    calls: int
    errors: int
    cpu_ms_per_call: float
    database_cpu_ms_per_call: float | None
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    first_word: FirstWord | None
    cpu_ratio: Ratio | None
    aim: float | None
    to_passthrough: Ratio | None = None
    beside: str | None = None
    to_beside: Ratio | None = None


def cpu_ms(cell: Cell) -> float:
    """CPU milliseconds of the server per answered call."""
    return cell.cpu_s * 1000 / sum(cell.calls)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def ratio_of(ratios: Sequence[float]) -> Ratio:
    """Of one in each round."""
    return Ratio(median(ratios), min(ratios), max(ratios))


def row(
    scenario: Scenario,
    target: str,
    cells: Sequence[Cell],
    yardstick: Sequence[Cell],
    *,
    passthrough: Sequence[Cell] = (),
    beside: Sequence[Cell] = (),
) -> Row:
    """`yardstick`, `passthrough`, `beside`: cells of the same rounds; empty when there are none, or these are they."""
    latencies = [value * 1000 for cell in cells for value in cell.latencies_s]
    cpu_ratio = _cpu_ratio(cells, yardstick)
    database = [cell.database_cpu_s * 1000 / sum(cell.calls) for cell in cells if cell.database_cpu_s is not None]
    return Row(
        scenario=scenario.name,
        target=target,
        calls=sum(sum(cell.calls) for cell in cells),
        errors=0,  # the first error ends the run
        cpu_ms_per_call=median(map(cpu_ms, cells)),
        database_cpu_ms_per_call=median(database) if database else None,
        requests_per_s=median(sum(cell.calls) / cell.seconds for cell in cells),
        p50_ms=percentile(latencies, 0.5),
        p99_ms=percentile(latencies, 0.99),
        first_word=_first_word(cells, passthrough) if scenario.kind in STREAMED else None,
        cpu_ratio=cpu_ratio,
        aim=scenario.aim if cpu_ratio else None,
        to_passthrough=_cpu_ratio(cells, passthrough),
        beside=scenario.beside.name if scenario.beside else None,
        to_beside=_cpu_ratio(cells, beside),
    )


def _cpu_ratio(cells: Sequence[Cell], others: Sequence[Cell]) -> Ratio | None:
    if not others:
        return None
    return ratio_of([cpu_ms(cell) / cpu_ms(other) for cell, other in zip(cells, others, strict=True)])


def _first_word(cells: Sequence[Cell], passthrough: Sequence[Cell]) -> FirstWord:
    p50, p95 = (_first_ms(cells, share) for share in (0.5, 0.95))
    if not passthrough:
        return FirstWord(p50, p95, None, None, None, None)
    least_p50, least_p95 = (_first_ms(passthrough, share) for share in (0.5, 0.95))
    return FirstWord(p50, p95, p50 - least_p50, p95 - least_p95, p50 / least_p50, p95 / least_p95)


def _first_ms(cells: Sequence[Cell], share: float) -> float:
    return percentile([value * 1000 for cell in cells for value in cell.first_chunks_s], share)


def as_dicts(lines: Sequence[Any]) -> list[dict[str, Any]]:
    """Dataclasses, for a file."""
    return [asdict(line) for line in lines]


def show(console: Console, rows: Sequence[Row], idle_kb: Mapping[str, float], bare: str) -> None:
    """Prints the tables."""
    table = Table(title=f"CPU of the server, user + system, per call; ratio to {bare} in the same round")
    for heading in ("scenario", "target"):
        table.add_column(heading)
    for heading in ("calls", "CPU ms", "DB ms", "calls/s", "p50 ms", "p99 ms", "ratio (range)", "aim", "÷ pass"):
        table.add_column(heading, justify="right", no_wrap=True)
    previous = None
    for line in rows:
        if previous not in {None, line.scenario}:
            table.add_section()
        previous = line.scenario
        table.add_row(
            line.scenario,
            line.target,
            str(line.calls),
            f"{line.cpu_ms_per_call:.2f}",
            _number(line.database_cpu_ms_per_call, 2),
            f"{line.requests_per_s:.0f}",
            f"{line.p50_ms:.1f}",
            f"{line.p99_ms:.1f}",
            text_of(line.cpu_ratio),
            _aim(line.cpu_ratio.median if line.cpu_ratio else None, line.aim, 2),
            _number(line.to_passthrough.median if line.to_passthrough else None, 1),
        )
    console.print(table)
    _show_beside(console, [line for line in rows if line.to_beside])
    _show_first_words(console, [line for line in rows if line.first_word])
    for target, memory in idle_kb.items():
        added = None if target == bare or bare not in idle_kb else memory - idle_kb[bare]
        more = "" if added is None else f", {added:+.0f} KB to {bare}, {_aim(added, IDLE_AIM_KB, 0)} KB"
        console.print(f"memory per idle stream, {target}: {memory:.0f} KB{more}")


def _show_beside(console: Console, rows: Sequence[Row]) -> None:
    for line in rows:
        console.print(f"CPU per call, {line.target}, {line.scenario}, to {line.beside}: {text_of(line.to_beside)}")


def _show_first_words(console: Console, rows: Sequence[Row]) -> None:
    if not rows:
        return
    table = Table(title="First word of a stream, and how much later it is than through the pass-through")
    for heading in ("scenario", "target"):
        table.add_column(heading)
    for heading in ("p50 ms", "p95 ms", "added p50", "ratio", "added p95", "ratio"):
        table.add_column(heading, justify="right", no_wrap=True)
    for line in rows:
        first = line.first_word
        assert first is not None
        figures = (first.added_p50_ms, first.p50_ratio, first.added_p95_ms, first.p95_ratio)
        table.add_row(
            line.scenario,
            line.target,
            *(_number(figure, 1) for figure in (first.p50_ms, first.p95_ms, *figures)),
        )
    console.print(table)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def text_of(ratio: Ratio | None) -> str:
    """As the tables write it."""
    return "–" if ratio is None else f"{ratio.median:.2f} ({ratio.lowest:.2f}–{ratio.highest:.2f})"


def _aim(value: float | None, aim: float | None, digits: int) -> str:
    if value is None or aim is None:
        return "–"
    return f"{'met' if value <= aim else 'missed'} ≤ {aim:.{digits}f}"
