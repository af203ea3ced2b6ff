"""Adds up its share of 1..1,000,000: the share follows from rank and size.

    a2arun -np 4 -- python3 jobs/examples/program-mode/partial_sum.py
"""

import os

rank = int(os.environ.get("A2ARUN_RANK", "0"))
size = int(os.environ.get("A2ARUN_SIZE", "1"))
total = sum(range(1 + rank, 1_000_001, size))
print(f"rank {rank} of {size}: {total}", flush=True)
