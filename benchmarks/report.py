"""Turns measured rows into a table for the terminal, and into docs/performance.md with a plot."""

from __future__ import annotations

from pathlib import Path

from benchmarks.case import Row, Target
from benchmarks.part import Part
from benchmarks.peers import NAMES, STORE_NAMES, TITLES, peer_class
from benchmarks.runner import settings_of

VERDICTS = {"aim": "aim reached", "held": "held", "short": "**falls short**", "": ""}
#: Characters of a title beside its bar.
_TITLE = 90
COLOURS = {"aim": "#2a7f3f", "held": "#7fb069", "short": "#c8553d", "": "#8d99ae"}


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def cell(row: Row, peer: str) -> str:
    """The median, and least and greatest value."""
    outcome = row.best_of(peer)
    if outcome is None:
        return "failed" if any(o.error for o in row.outcomes if o.peer == peer) else ""
    low, high = outcome.spread
    return f"{number(outcome.median)} ({number(low)} to {number(high)})"


def wanted(target: Target | None) -> str:
    """The bounds as the table shows them."""
    if target is None:
        return ""
    unit = "x" if target.is_ratio else ""
    relation = "≥" if target.is_ratio else "≤"
    return f"{relation} {target.at_least:g}{unit}, aim {target.aim:g}{unit}"


def table(rows: list[Row]) -> str:
    """All rows, in Markdown."""
    names = shown_peers(rows)
    head = ["case", "unit", *(TITLES[name] for name in names), "ratio", "wanted", ""]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        cells = [cell(row, name) for name in names]
        ratio = row.ratio()
        shown = f"{ratio:.2f}x" if ratio is not None else ""
        verdict = VERDICTS[row.verdict()]
        target = wanted(row.spec.target)
        lines.append([row.spec.title, row.spec.unit, *cells, shown, target, verdict])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def shown_peers(rows: list[Row]) -> list[str]:
    """Who has a column: libraries for arrays always, others where they took part."""
    there = {outcome.peer for row in rows for outcome in row.outcomes}
    return [*NAMES, *(name for name in STORE_NAMES if name in there)]


def summary(row: Row) -> str:
    """One row in one line, for the terminal."""
    medians = ", ".join(
        f"{TITLES[name]} {number(best.median)}"
        for name in shown_peers([row])
        if (best := row.best_of(name))
    )
    ratio = row.ratio()
    shown = f"; {ratio:.2f}x" if ratio is not None else ""
    return f"{row.name} [{row.spec.unit}]: {medians or 'failed'}{shown} {row.verdict()}".rstrip()


def failures(rows: list[Row]) -> list[str]:
    """What could not be measured, and why; each reason once."""
    found = {
        f"{TITLES[outcome.peer]} ({outcome.setting}): {outcome.error}": row.name
        for row in rows
        for outcome in row.outcomes
        if outcome.error
    }
    return [f"{name} and perhaps others: {error}" for error, name in found.items()]


def document(parts: list[Part]) -> str:
    """docs/performance.md."""
    rows = [row for part in parts for row in part.rows]
    edge, seconds = parts[0].edge, parts[0].seconds
    gigabytes = edge**3 * 2 / 1e6
    settings = [
        f"- {TITLES[name]}, {setting}: {peer_class(name).SETTINGS[setting]}"
        for name in shown_peers(rows)
        for setting in settings_of(name)
    ]
    short = [row.spec.title for row in rows if row.verdict() == "short"]
    falls = "\n".join(f"- {title}" for title in short) or "Nowhere in this run."
    trouble = "\n".join(f"- {line}" for line in failures(rows)) or "Nothing."
    tables = "\n\n".join(f"{part.machine}\n\n{table(part.rows)}" for part in parts)
    return f"""# Performance

Written by `make bench`; do not edit.

![How many times as fast as the best peer](performance.svg)

{tables}

A cell is the median of the values, and in brackets the least and the greatest; less is better. The
ratio is the best peer's median divided by asynctensor's: above 1 asynctensor is the faster.

## Where asynctensor falls short of what is wanted

{falls}

## What could not be measured

{trouble}

## How it was measured

- The data: {edge}³ values of uint16 ({gigabytes:.0f} MB), a smooth field plus normal noise
  of standard deviation 8, which blosc (lz4, level 5, shuffle) and zstd (level 3) compress 1.75 and
  1.79 times in 64³ chunks. Arrays are zarr v3, written by tensorstore for the reads.
- Page cache: warm. Every file that is read was written just before and read once, untimed.
- Durability: "synced" writes end when files and folders are on disk (tensorstore: `file_io_sync`
  true, its default). zarr-python and zarrs never sync, so that they take part only in "not
  synced", where tensorstore and asynctensor have `file_io_sync` false.
- Every peer and setting runs in a process of its own. Competitors take turns, and the order
  rotates from round to round; a first round is not counted, except where every measurement has a
  new process. A competitor that took more than {seconds:g} s in a case has fewer values.
- A result is compared with the data before its time counts.
- Each peer runs in its default and in its tuned setting; the better median is shown:
{chr(10).join(settings)}
- Reads by http: from nginx where it is installed, else from Caddy, one process of it, on the same
  processors as its client: compare, don't extrapolate. Each server's certificate is made for the
  run; obstore, which can be given none, is told to trust any.
- Lateness: p99 and maximum in three seconds of whole reads one after the other, on asyncio's own
  event loop.
- Services and frameworks: what is read comes from a web server that answers after 10 ms. The tile
  service runs on uvicorn (uvloop, httptools) in a process of its own, over asynctensor the one of
  `examples/tiles.py`, over zarr-python the same routes over `CacheStore`. The picture is a slope
  with noise in four bits, which zstd halves; all of it has been asked for before, and the cache
  holds it, or has room for an eighth of it. asynctensor's keeps chunks decoded; `CacheStore` keeps
  them as they are stored, so that a quarter of them fits. Of xarray's loads a value is the median
  of three, one after the other: into one of ten or twenty falls a full garbage collection, with
  either library. `make bench-frameworks` measures what needs TensorFlow, Dask, Ray and Spark.
- Repositories: chunks of 16 bytes in rows of 8 values, on a server in memory that speaks S3 and
  answers each request after 20 ms; it counts requests, those that had to wait for one another, and
  bytes. Repositories of 10⁶ chunks and of 5,000 commits are made through each library by processes
  of their own, without the delay, and looked at before anything is measured; every row that is
  committed is read again. Commits to a large and a small one, to an old and a young one, take
  turns. Icechunk is used through zarr-python and rebases with its conflict detector; OCDBT is used
  through tensorstore's zarr3. `make bench BENCH="--only 'repo-*'"` runs these alone; with `--quick`
  there are 20,000 chunks, 500 commits and 100 workers of 1,000 chunks each.
- Cold: a new process, in which only the library has been used, opens the repository and reads.
- 16 writers are processes that have opened the repository; all begin at once, and begin no commit
  after three seconds. So do the 64 tasks of one process. Time per commit: from the beginning to the
  last answer, divided by the number of commits. Where all have committed, each row is compared.
- Whole reads through a repository and of a plain array take turns in one process; the least times
  are compared. Far away, both are on the S3 server.
- A thousand workers: two processes write the parts of one shared transaction in turn, 10,000 chunks
  each; a third one adds their receipts and commits. The memory is the peak of what is resident
  (`VmHWM`) less what was before the receipts came. Measured once a run.
- Memory: the peak of resident memory (`VmHWM`) during the first whole read of a process, less
  what was resident before it and less the output.
"""


def _cut(title: str) -> str:
    """A title that leaves room for its bar."""
    return title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"


def draw(rows: list[Row], path: Path) -> None:
    """A bar for every row with a ratio."""
    import matplotlib  # noqa: ICN001

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "asynctensor"
    shown = [
        (row, ratio)
        for row in reversed(rows)
        if (ratio := row.ratio()) is not None
        and (row.spec.target is None or row.spec.target.is_ratio)
    ]
    figure, axes = plt.subplots(figsize=(12, 0.2 * len(shown) + 1.2), layout="constrained")
    labels = [_cut(row.spec.title.replace("`", "")) for row, _ in shown]
    colours = [COLOURS[row.verdict()] for row, _ in shown]
    # By number: titles like "the same: time" come again.
    places = range(len(shown))
    axes.barh(places, [ratio for _, ratio in shown], color=colours)
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.axvline(1, color="black", linewidth=1)
    for position, (_, ratio) in enumerate(shown):
        axes.text(ratio, position, f" {ratio:.2f}", va="center", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.set_xlabel("times as fast as the best peer (1: equal)", fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
