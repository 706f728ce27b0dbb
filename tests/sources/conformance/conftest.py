"""Where the suite finds the systems, the queries and the records."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "kinesis")]
sys.path[:0] = [str(HERE.parents[1] / name) for name in ("services", "kill", "campaign")]
