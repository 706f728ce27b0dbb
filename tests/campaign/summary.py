"""The page that says what a ledger holds. Generated: nothing on it is written by hand."""

from collections import Counter

from cells import cells
from ledger import Ledger
from plans import MIX, SERVER_KILLED, STEPS

KINDS = {
    "step": "killed at a step of an epoch",
    "random": "killed at a random time",
    "term": "asked to end, killed while it did",
    "recovery": "killed while it recovered, up to five times in a row",
    "zombie": "stopped at a step, while a second process tried its checkpoint",
    "server": "killed after the server of its sink was killed and started again",
}


def page(ledger: Ledger, sinks: list[str]) -> str:
    """The page, as Markdown."""
    blocks, cycles = ledger.blocks, ledger.cycles
    trials = len(cycles)
    failed = [block for block in blocks if block["result"] != "passed"]
    lines = [
        "# The kill campaign",
        "",
        "Made by `make campaign` from [ledger.jsonl](ledger.jsonl). Every cycle starts the program on the checkpoint",
        "that the cycle before left, breaks it, and looks at once at what a reader sees. Every block ends with an",
        "undisturbed run, whose rows and dead letters must be those that an oracle computes from the input.",
        "",
        f"**{trials} cycles in {len(blocks)} blocks, {ledger.kills()} processes killed: "
        f"{sum(block['lost'] for block in blocks)} rows lost, {sum(block['doubled'] for block in blocks)} doubled, "
        f"{len(failed)} blocks failed.**",
        "",
    ]
    if trials and not failed:
        lines += [
            f"No failure in {trials} cycles bounds the chance of one per cycle below 3/{trials} = "
            f"{100 * 3 / trials:.3f} %",
            "with 95 % confidence, for these pipelines and faults. It is not never.",
            "",
        ]
    rows, letters = (sum(block[what] for block in blocks) for what in ("rows", "letters"))
    looks = sum(block["looks"] for block in blocks)
    lines += [
        f"Compared: {rows} rows, {letters} dead letters; {looks} looks at the sinks right after a kill (not in Kafka).",
        "",
    ]
    lines += kinds(cycles) + steps(ledger, sinks) + programs(blocks)
    return "\n".join(lines)


def kinds(cycles: list[dict]) -> list[str]:
    """How the cycles were broken."""
    counts = Counter(cycle["kind"] for cycle in cycles)
    never = sum(1 for cycle in cycles if cycle["step"] and not cycle["fired"])
    lines = ["| cycles | share wanted | how |", "|---|---|---|"]
    lines += [f"| {counts[kind]} | {share} % | {KINDS[kind]} |" for kind, share in MIX.items()]
    share = f"{100 * SERVER_KILLED:g} % of Postgres and Redis"
    lines.append(f"| {counts['server']} | {share} | {KINDS['server']} |")
    return [*lines, "", f"Faults that were planned and never came: {never}.", ""]


def steps(ledger: Ledger, sinks: list[str]) -> list[str]:
    """Hits of every step in every cell."""
    columns = cells(sinks)
    hits = {cell.name: ledger.hits(cell.name) for cell in columns}
    lines = ["## Hits of every step, by sink and state", ""]
    lines += ["| step | " + " | ".join(cell.name for cell in columns) + " |", "|---|" + "---|" * len(columns)]
    for step in STEPS:
        lines.append(f"| {step} | " + " | ".join(str(hits[cell.name][step]) for cell in columns) + " |")
    return [*lines, ""]


def programs(blocks: list[dict]) -> list[str]:
    """Which builds ran."""
    counts: Counter[str] = Counter()
    for block in blocks:
        counts[block["build"]] += block["cycles"]
    lines = ["## Builds", "", "| SHA-256 of the program | cycles |", "|---|---|"]
    return [*lines, *(f"| {build} | {count} |" for build, count in counts.items()), ""]
