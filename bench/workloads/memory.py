"""Peak memory: of W1 as its input grows, which should follow its state and not its rows; and of a pipeline that waits."""

from suite import HERE, Suite

SHARES = (4, 2, 1)


def run(suite: Suite) -> None:
    """W1 over a quarter, a half and all of the events."""
    for share in SHARES:
        events = max(1000, suite.asked.events // share)
        folder = suite.fresh("memory")
        env = {"DATA": str(suite.events(events)), "OUT": str(folder)}
        took = suite.tidemill(HERE / "pipelines" / "w1.sql", folder, env)
        suite.add("memory", "tidemill", events=events, peak_mib=round(took.peak_bytes / 2**20))
    folder = suite.fresh("memory-idle")
    env = {"DATA": str(suite.events(1000)), "OUT": str(folder)}
    took = suite.tidemill(HERE / "pipelines" / "w2.sql", folder, env)
    suite.add("memory-small", "tidemill", events=1000, peak_mib=round(took.peak_bytes / 2**20))
