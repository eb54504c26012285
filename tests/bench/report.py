"""Cells into figures: medians over the rounds, the ratio to the bare router within each round, a table, JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.load import Cell
from tests.bench.scenarios import IDLE_AIM_KB, Kind, Scenario


@dataclass(frozen=True, slots=True)
class Ratio:
    """CPU per call divided by the bare router's in the same round: the median, and the lowest and highest round."""

    median: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Row:
    """One target in one scenario, over all rounds. Latencies are pooled, the rest are medians of the rounds."""

    scenario: str
    target: str
    calls: int
    errors: int
    cpu_ms_per_call: float
    database_cpu_ms_per_call: float | None
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    first_chunk_p50_ms: float | None
    cpu_ratio: Ratio | None
    aim: float | None


def cpu_ms(cell: Cell) -> float:
    """CPU milliseconds of the server per answered call."""
    return cell.cpu_s * 1000 / sum(cell.calls)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def row(scenario: Scenario, target: str, cells: Sequence[Cell], yardstick: Sequence[Cell]) -> Row:
    """`yardstick`: the bare router's cells of the same rounds; empty when there are none, or these are they."""
    latencies = [value * 1000 for cell in cells for value in cell.latencies_s]
    first_chunks = [value * 1000 for cell in cells for value in cell.first_chunks_s]
    ratios = [cpu_ms(cell) / cpu_ms(bare) for cell, bare in zip(cells, yardstick, strict=True)] if yardstick else []
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
        first_chunk_p50_ms=percentile(first_chunks, 0.5) if scenario.kind in {Kind.STREAM, Kind.PACED} else None,
        cpu_ratio=Ratio(median(ratios), min(ratios), max(ratios)) if ratios else None,
        aim=scenario.aim if ratios else None,
    )


def as_json(facts: Mapping[str, Any], rows: Sequence[Row], idle_kb: Mapping[str, float]) -> dict[str, Any]:
    """Everything measured, for a file."""
    return {**facts, "rows": [asdict(line) for line in rows], "idle_stream_kb": dict(idle_kb)}


def show(console: Console, rows: Sequence[Row], idle_kb: Mapping[str, float], bare: str) -> None:
    """Prints the tables."""
    table = Table(title=f"CPU of the server, user + system, per call; ratio to {bare} in the same round")
    for heading in ("scenario", "target"):
        table.add_column(heading)
    for heading in ("calls", "CPU ms", "DB ms", "calls/s", "p50 ms", "p99 ms", "1st chunk", "ratio (range)", "aim"):
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
            _number(line.first_chunk_p50_ms, 1),
            _ratio(line.cpu_ratio),
            _aim(line.cpu_ratio.median if line.cpu_ratio else None, line.aim, 2),
        )
    console.print(table)
    for target, memory in idle_kb.items():
        added = None if target == bare or bare not in idle_kb else memory - idle_kb[bare]
        more = "" if added is None else f", {added:+.0f} KB to {bare}, {_aim(added, IDLE_AIM_KB, 0)} KB"
        console.print(f"memory per idle stream, {target}: {memory:.0f} KB{more}")


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _ratio(ratio: Ratio | None) -> str:
    return "–" if ratio is None else f"{ratio.median:.2f} ({ratio.lowest:.2f}–{ratio.highest:.2f})"


def _aim(value: float | None, aim: float | None, digits: int) -> str:
    if value is None or aim is None:
        return "–"
    return f"{'met' if value <= aim else 'missed'} ≤ {aim:.{digits}f}"
