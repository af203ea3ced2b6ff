"""One share of a sum. Every copy gets its own rank and the same size."""

import os

RANK = int(os.environ.get("A2ARUN_RANK", "0"))
SIZE = int(os.environ.get("A2ARUN_SIZE", "1"))

if __name__ == "__main__":
    share = range(1 + RANK, 1_000_001, SIZE)
    print(f"rank {RANK} of {SIZE}: {sum(share)}", flush=True)
