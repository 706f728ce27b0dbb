"""Kills while shards are split and merged; `kinesis_kill.py --kills 100` is the long form."""

import random

from kinesis_kill import campaign

KILLS = 10


def test_kills_lose_nothing_and_double_nothing(tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    told = campaign(tmp_path, KILLS, seed)
    assert told.startswith(f"{KILLS} kills"), told
