#!/usr/bin/env python3
"""Makes docs/benchmarks.md and its figures of what was measured: report.py [DIR] [--check]

DIR holds results.json (bench.py) and scaling.json (scaling.py); default: bench/out. Every figure and every judgement on
the page is computed from them, those of "Where we lose" too. `--check` makes the page in DIR, without figures.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent / "docs"
STREAMING = ("spark", "spark-rocksdb", "flink", "bytewax")
JVM = ("spark", "spark-rocksdb", "flink")
# better by less than this is noise on a shared machine
NOISE = 0.05
NAMES = {
    "tidemill": "**Tidemill**",
    "spark": "Spark",
    "spark-rocksdb": "Spark, RocksDB state",
    "flink": "Flink",
    "bytewax": "Bytewax",
    "duckdb": "DuckDB, batch",
    "polars": "Polars, batch",
    "datafusion": "DataFusion, batch",
    "loop": "bare loop of the client library",
    "loop-transactions": "bare loop, in transactions",
    "cat": "the pipe alone",
}
TITLES = {
    "w1": "W1: sliding windows by user, exact distinct count, JSON files to Delta, exactly once",
    "w2": "W2: filter, mask, project, JSON files to Parquet",
    "w3": "W3: tumbling minute by type of event",
    "kafka_to_kafka": "Kafka to Kafka: 200 bytes of JSON, masked, exactly once",
    "kafka_to_delta": "Kafka to Delta, exactly once",
    "decode_json": "Decoding JSON files, every column",
    "decode_avro": "Decoding Avro files, every column",
    "start": "Start to first result: 1,000 events, a whole process",
}
FIGURES = {  # column: heading, True when more is better
    "events_per_second": ("events/s", True),
    "cpu_seconds_per_million": ("CPU s per million", False),
    "peak_mib": ("peak memory, MiB", False),
}
TIMES = {"p50": "p50", "p99": "p99", "p999": "p99.9"}
CURVES = {  # axis, what is drawn, why it has its slope
    "rows": (
        "rows",
        "cpu_seconds",
        "CPU follows rows: each is decoded once, put into its slice once, and comes out with its windows. The start of "
        "the process is the part that does not shrink. Memory follows what is open, not what was read.",
    ),
    "keys": (
        "users",
        "cpu_seconds",
        "More users make more groups: a window has a row for each user that was seen in it, so the output grows until "
        "every event is nearly a group of its own; larger tables of groups also miss the processor's caches.",
    ),
    "overlap": (
        "windows an event is in",
        "cpu_seconds",
        "An event is put into one slice, however many windows it is in: the cost of its decoding and grouping does not "
        "grow. What grows is putting slices together and writing one row a group and window, which is little with a few "
        "types and most of the work with thousands of users.",
    ),
    "partitions": (
        "partitions",
        "seconds",
        "Partitions are worked on by as many threads. Up to the number of cores time falls; beyond it there is nothing to "
        "win, and each partition costs its share of an epoch (a batch, a file, a part of the journal) again.",
    ),
    "state": (
        "keys in state",
        "epoch_ms",
        "An epoch writes what changed, not what there is: with as many changes its time follows the cost of finding a key "
        "(a hash table that leaves the caches; RocksDB's levels once it leaves its memory), not the size of the state.",
    ),
    "queries": (
        "queries",
        "cpu_seconds",
        "Queries of one pipeline over one table share its reading and decoding; each adds its own filter, state and sink.",
    ),
}


class Report:
    """The page."""

    def __init__(self, folder: Path) -> None:
        self.result = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        scaling = folder / "scaling.json"
        self.scaling = json.loads(scaling.read_text(encoding="utf-8")) if scaling.exists() else None
        self.rows: dict[tuple[str, str], dict] = {(row["workload"], row["engine"]): row for row in self.result["rows"]}
        self.lines: list[str] = []

    def say(self, *lines: str) -> None:
        """Lines, and an empty one."""
        self.lines += [*lines, ""]

    def of(self, workload: str) -> dict[str, dict]:
        """The rows of a workload by engine."""
        return {engine: row for (name, engine), row in self.rows.items() if name == workload}

    def page(self) -> str:
        """All of it."""
        self.head()
        self.judged()
        self.losses()
        self.say("## Throughput")
        for workload in ("w1", "w2", "w3", "kafka_to_kafka", "kafka_to_delta", "decode_json", "decode_avro"):
            self.throughput(workload)
        self.nexmark()
        self.latency()
        self.start()
        self.others()
        self.curves()
        self.missing()
        return "\n".join(self.lines).rstrip() + "\n"

    def head(self) -> None:
        """What, where, how."""
        first, *more = self.result["runs"]
        machine = first["machine"]
        self.say("# Benchmarks", "", "<!-- made by bench/report.py of what bench/bench.py measured; do not edit -->")
        when = "in one run" if not more else f"in {len(more) + 1} runs"
        self.say(
            f"Measured on {first['begun'][:10]} {when} on {machine['cores']} cores of {machine['processor']}, "
            f"{machine['memory_gib']} GiB, Linux {machine['kernel']}: {first['events']:,} events, medians of "
            f"{first['runs']} runs. Engines take turns; a run is a whole process, start and end included; the answer of "
            "each is checked against DuckDB first, and a wrong one is not measured. CPU is that of the whole process tree, "
            "memory its peak. Engines in batch read everything, then end: they are not an alternative but a practical "
            "limit. What each workload is and how each engine is set: [bench/](../bench/README.md).",
        )
        lines = [
            f"{one['command']}  # {one['begun']}: {', '.join(self.measured(number))}" for number, one in self.runs()
        ]
        others = [
            f"{NAMES[name].split(',')[0]} {version}"
            for name, version in first["versions"].items()
            if name != "spark-rocksdb"
        ]
        if others:
            self.say(f"Beside Tidemill: {', '.join(others)}.")
        self.say("```sh", *lines, "```")

    def runs(self) -> list[tuple[int, dict]]:
        """The runs of which there are rows."""
        return [(number, one) for number, one in enumerate(self.result["runs"]) if self.measured(number)]

    def measured(self, run: int) -> list[str]:
        """The workloads of a run."""
        return list(dict.fromkeys(row["of"] for row in self.result["rows"] if row["run"] == run))

    def judged(self) -> None:
        """The list by which the speed of the project is judged."""
        self.say("## In short")
        lines = ["| | Tidemill | the best alternative | ratio | the limit | share of it |", "|---|---|---|---|---|---|"]
        for workload in ("w1", "w2", "w3", "kafka_to_kafka"):
            lines += self.judged_throughput(workload)
        for workload, what in (
            ("latency_10k", "event to committed result at 10,000/s, p99"),
            ("latency_100k", "event to committed result at 100,000/s, p99"),
            ("kafka_to_delta_visible", "Kafka to Delta, visible at 10,000/s, p99"),
        ):
            lines += self.judged_least(workload, what, "p99", "ms")
        lines += self.judged_nexmark()
        lines += self.judged_least("w1", "peak memory on W1", "peak_mib", "MiB")
        lines += self.judged_least("start", "start to first result", "seconds", "s")
        if wheel := self.of("wheel").get("tidemill"):
            lines.append(f"| wheel | {wheel['wheel_mib']} MiB | | | | |")
        self.say(*lines)

    def judged_throughput(self, workload: str) -> list[str]:
        """Events a second."""
        rows = self.of(workload)
        if "tidemill" not in rows:
            return []
        ours = rows["tidemill"]["events_per_second"]
        peer, best = self.best(rows, "events_per_second", True, lambda name: name in STREAMING)
        limit, most = self.best(rows, "events_per_second", True, lambda name: name not in (*STREAMING, "tidemill"))
        return [
            f"| {TITLES[workload].split(',')[0]}, events/s | {ours:,} | {f'{peer} {best:,}' if best else '-'} | "
            f"{f'{ours / best:.1f}' if best else '-'} | {f'{limit} {most:,}' if most else '-'} | "
            f"{f'{ours / most:.0%}' if most else '-'} |"
        ]

    def judged_least(self, workload: str, what: str, figure: str, unit: str) -> list[str]:
        """Where less is better; ratio: how many times less than the best alternative."""
        rows = self.of(workload)
        if figure not in rows.get("tidemill", {}):
            return []
        ours = rows["tidemill"][figure]
        peer, best = self.best(rows, figure, False, lambda name: name in STREAMING)
        limit, least = self.best(rows, figure, False, lambda name: name not in (*STREAMING, "tidemill"))
        return [
            f"| {what} | {ours:,} {unit} | {f'{peer} {best:,} {unit}' if best else '-'} | "
            f"{f'{best / ours:.1f}' if best else '-'} | {f'{limit} {least:,} {unit}' if least else '-'} | "
            f"{f'{least / ours:.0%}' if least else '-'} |"
        ]

    def judged_nexmark(self) -> list[str]:
        """The least ratio of the queries with state."""
        ratios = [(ratio, query) for query in self.queries() if (ratio := self.nexmark_ratio(query)) is not None]
        ratios = [(ratio, query) for ratio, query in ratios if self.of(query)["tidemill"]["state"]]
        if not ratios:
            return []
        least, query = min(ratios)
        middle = sorted(ratios)[len(ratios) // 2][0]
        return [
            f"| Nexmark with state, {len(ratios)} queries | | the faster of Spark and Flink | "
            f"{least:.1f} at least ({query}), {middle:.1f} in the middle | | |"
        ]

    def best(self, rows: dict[str, dict], figure: str, most: bool, which) -> tuple[str, float | None]:
        """The best engine of some, and its figure."""
        found = [(row[figure], name) for name, row in rows.items() if which(name) and row.get(figure)]
        if not found:
            return "", None
        value, name = max(found) if most else min(found)
        return NAMES.get(name, name), value

    def losses(self) -> None:
        """Every figure in which an engine is better than we are."""
        self.say("## Where we lose")
        found: list[tuple[float, str]] = []
        compared = [*((name, more) for name, (_, more) in FIGURES.items()), *((name, False) for name in TIMES)]
        for (workload, engine), row in self.rows.items():
            ours = self.rows.get((workload, "tidemill"))
            if engine == "tidemill" or not ours:
                continue
            for figure, more in compared if workload != "start" else [("seconds", False), ("peak_mib", False)]:
                mine, theirs = ours.get(figure), row.get(figure)
                if not mine or not theirs:
                    continue
                factor = theirs / mine if more else mine / theirs
                if factor > 1 + NOISE:
                    heading = FIGURES.get(figure, (TIMES.get(figure, figure),))[0]
                    found.append((factor, self.loss(workload, engine, heading, mine, theirs, factor)))
        if not found:
            self.say("Nowhere in this run.")
            return
        self.say("Every figure of this page in which another engine is better by more than 5 %, the largest first.")
        self.say(
            "| workload | against | figure | ours | theirs | times |",
            "|---|---|---|---|---|---|",
            *(line for _, line in sorted(found, reverse=True)),
        )

    @staticmethod
    def loss(workload: str, engine: str, figure: str, ours: float, theirs: float, factor: float) -> str:
        """A row."""
        return f"| {workload} | {NAMES.get(engine, engine)} | {figure} | {ours:,} | {theirs:,} | {factor:.2f} |"

    def throughput(self, workload: str) -> None:
        """A table of engines."""
        rows = self.of(workload)
        if not rows:
            return
        ours = rows.get("tidemill", {}).get("events_per_second")
        self.say(f"### {TITLES[workload]}")
        lines = ["| engine | events/s | without its start | Tidemill is | CPU s per million | peak memory | |"]
        lines.append("|---|---|---|---|---|---|---|")
        for engine, row in sorted(rows.items(), key=lambda one: -one[1]["events_per_second"]):
            times = f"{ours / row['events_per_second']:.2f} x" if ours and engine != "tidemill" else ""
            note = row.get("note", "")
            if row["events"] != rows.get("tidemill", row)["events"]:
                note = f"{row['events']:,} events; {note}"
            lines.append(
                f"| {NAMES.get(engine, engine)} | {row['events_per_second']:,} | {self.steady(engine, row)} | {times} | "
                f"{row['cpu_seconds_per_million']} | {row['peak_mib']:,} MiB | {note} |"
            )
        self.say(*lines)

    def steady(self, engine: str, row: dict) -> str:
        """Events a second once a JVM has started: less the time of a run over 1,000 events."""
        start = self.of("start").get("spark" if engine in JVM and engine != "flink" else engine)
        if engine not in JVM or not start or row["seconds"] <= start["seconds"] * 1.1:
            return ""
        return f"{round(row['events'] / (row['seconds'] - start['seconds'])):,}"

    def queries(self) -> list[str]:
        """Nexmark's, in their order."""
        return [f"q{number}" for number in range(23) if (f"q{number}", "tidemill") in self.rows]

    def nexmark_ratio(self, query: str) -> float | None:
        """Ours to the faster of Spark and Flink."""
        rows = self.of(query)
        others = [row["events_per_second"] for name, row in rows.items() if name != "tidemill"]
        return rows["tidemill"]["events_per_second"] / max(others) if others else None

    def nexmark(self) -> None:
        """A line a query."""
        if not self.queries():
            return
        self.say("### Nexmark", "", "Events a second; queries marked * keep state. `-`: refused or wrong, see the end.")
        lines = ["| query | Tidemill | Spark | Flink | to the faster of them |", "|---|---|---|---|---|"]
        for query in self.queries():
            rows, ratio = self.of(query), self.nexmark_ratio(query)
            cells = [
                f"{rows[name]['events_per_second']:,}" if name in rows else "-"
                for name in ("tidemill", "spark", "flink")
            ]
            mark = "*" if rows["tidemill"].get("state") else ""
            lines.append(f"| {query}{mark} | {' | '.join(cells)} | {f'{ratio:.1f} x' if ratio else '-'} |")
        self.say(*lines)

    def latency(self) -> None:
        """Times from an event to its result."""
        rows = [row for row in self.result["rows"] if "p50" in row and row["workload"].startswith(("latency", "kafka"))]
        if not rows:
            return
        self.say(
            "## Latency",
            "",
            "From the time an event was due to the time a reader may trust its result, in milliseconds; the observer is "
            "the same for every engine. `latency`: filter and mask, files in and out. `latency_window`: windows of ten "
            "seconds in update mode. An engine that falls behind is slower the longer it is fed; what it had not published ten seconds after the last event is `missing`.",
        )
        lines = ["| workload | engine | p50 | p99 | p99.9 | most | missing | |", "|---|---|---|---|---|---|---|---|"]
        for row in rows:
            times = " | ".join(f"{row[name]:,}" for name in (*TIMES, "most"))
            missing = f"{row['missing']:.1%}" if row["missing"] else ""
            lines.append(
                f"| {row['workload']} | {NAMES[row['engine']]} | {times} | {missing} | {row.get('note', '')} |"
            )
        self.say(*lines)

    def start(self) -> None:
        """Seconds of a small run, and memory."""
        if rows := self.of("start"):
            self.say(f"## {TITLES['start']}")
            lines = ["| engine | seconds | peak memory |", "|---|---|---|"]
            for engine, row in sorted(rows.items(), key=lambda one: one[1]["seconds"]):
                lines.append(f"| {NAMES[engine]} | {row['seconds']} | {row['peak_mib']:,} MiB |")
            self.say(*lines)
        if rows := [row for row in self.result["rows"] if row["workload"].startswith("memory")]:
            self.say("## Memory", "", "W1 as its input grows: what is kept are open windows.")
            lines = ["| workload | events | peak |", "|---|---|---|"]
            lines += [f"| {row['workload']} | {row['events']:,} | {row['peak_mib']:,} MiB |" for row in rows]
            self.say(*lines)

    def others(self) -> None:
        """Epochs, state, the log, sizes: figures by their names."""
        if rows := [row for row in self.result["rows"] if row["workload"].startswith("epochs")]:
            self.say("## Epoch overhead", "", "Ten rows an epoch, exactly once, with state; milliseconds an epoch.")
            lines = ["| workload | engine | p50 | p99 | p99.9 |", "|---|---|---|---|---|"]
            for row in rows:
                lines.append(
                    f"| {row['workload']} | {NAMES[row['engine']]} | {row['p50']} | {row['p99']} | {row['p999']} |"
                )
            self.say(*lines)
        rows = [
            row
            for row in self.result["rows"]
            if row["workload"].startswith(("state", "log", "wheel", "program", "inst"))
        ]
        if rows:
            self.say("## State, log, sizes")
            lines = ["| workload | engine | |", "|---|---|---|"]
            for row in rows:
                figures = {
                    name: value for name, value in row.items() if name not in ("workload", "engine", "of", "run")
                }
                text = "; ".join(
                    f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int | float) else f"{name} {value}"
                    for name, value in figures.items()
                )
                lines.append(f"| {row['workload']} | {NAMES[row['engine']]} | {text} |")
            self.say(*lines)

    def curves(self) -> None:
        """The figures of how cost grows."""
        if not self.scaling:
            return
        self.say(
            "## How cost grows",
            "",
            f"`{self.scaling['command'].replace('bench.py', 'scaling.py')}`, medians of {self.scaling['runs']}. The slope is that of the last doubling on "
            "scales of logarithms: 1 is proportional, 0 is no growth.",
        )
        for name, lines in self.scaling["curves"].items():
            axis, figure, reason = CURVES[name]
            slopes = ", ".join(
                f"{line} {slope(points, figure):.2f}" for line, points in lines.items() if len(points) > 1
            )
            self.say(f"### By {axis}", "", f"![cost by {axis}](benchmarks/{name}.svg)")
            self.say(f"{reason} Slope where it ends: {slopes}.")
            xs = sorted({point["x"] for points in lines.values() for point in points})
            table = [f"| {axis} | " + " | ".join(f"{line}, {figure.replace('_', ' ')}" for line in lines) + " |"]
            table.append("|---" * (len(lines) + 1) + "|")
            for x in xs:
                cells = [next((f"{point[figure]:,}" for point in of if point["x"] == x), "") for of in lines.values()]
                table.append(f"| {x:,} | {' | '.join(cells)} |")
            self.say(*table)

    def missing(self) -> None:
        """What is not on this page, by name."""
        if not self.result["absent"] and not self.result["failed"]:
            return
        self.say("## Not measured")
        for name, why in self.result["absent"].items():
            self.lines.append(f"- {name}: {why}")
        for failure in self.result["failed"]:
            self.lines.append(f"- {failure['what']}: {reason_of(failure['why'])}")
        self.lines.append("")


def reason_of(text: str) -> str:
    """The line of a log that says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    said = [line for line in lines if "Exception" in line or "Error" in line or "error" in line]
    return (said or lines or ["no reason given"])[-1][:200].replace("|", "\\|")


def slope(points: list[dict], figure: str) -> float:
    """Growth between the last two points, on logarithms."""
    before, last = points[-2], points[-1]
    if min(before[figure], last[figure]) <= 0:
        return 0.0
    return math.log(last[figure] / before[figure]) / math.log(last["x"] / before["x"])


def draw(scaling: dict, folder: Path) -> None:
    """A figure a curve."""
    import matplotlib

    matplotlib.use("svg")
    # the same picture for the same figures
    matplotlib.rcParams["svg.hashsalt"] = "tidemill"
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in scaling["curves"].items():
        axis, figure, _ = CURVES[name]
        canvas, plot = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
        for line, points in lines.items():
            plot.plot([one["x"] for one in points], [one[figure] for one in points], marker="o", label=line)
        plot.set_xscale("log")
        plot.set_yscale("log")
        xs = sorted({point["x"] for points in lines.values() for point in points})
        plot.set_xticks(xs, [shown(x) for x in xs])
        plot.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        ticks = matplotlib.ticker.FuncFormatter(lambda value, _: shown(value))
        plot.yaxis.set_major_formatter(ticks)
        plot.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        least = min(point[figure] for points in lines.values() for point in points)
        most = max(point[figure] for points in lines.values() for point in points)
        if most / least < 100:
            plot.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 2, 5)))
            plot.set_ylim(least / 1.5, most * 1.5)
        plot.set_xlabel(axis)
        plot.set_ylabel({"cpu_seconds": "CPU seconds", "epoch_ms": "milliseconds an epoch"}.get(figure, figure))
        plot.grid(alpha=0.3)
        plot.legend()
        canvas.savefig(folder / f"{name}.svg", metadata={"Date": None})
        pyplot.close(canvas)


def shown(value: float) -> str:
    """A number on an axis."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g} {name}"
    return f"{value:g}"


def main() -> int:
    """Makes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=HERE / "out")
    parser.add_argument("--check", action="store_true", help="make the page in DIR: nothing under docs/ changes")
    asked = parser.parse_args()
    report = Report(asked.folder)
    target = asked.folder / "benchmarks.md" if asked.check else DOCS / "benchmarks.md"
    target.write_text(report.page(), encoding="utf-8")
    if report.scaling and not asked.check:
        draw(report.scaling, DOCS / "benchmarks")
    print(f"wrote {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
