"""Asks an A2A agent one question and prints its answer.

    python3 ask.py http://127.0.0.1:20000 "How is the weather in Geneva?"
"""

import sys

import a2a

if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: ask.py URL TEXT")
    try:
        print(a2a.ask(sys.argv[1], " ".join(sys.argv[2:])))
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit(f"ask.py: {error}")
