"""The agents of distributed-dag.yaml: words are counted by many and reported by one.

    python3 words.py collector|mapper|reducer|reporter

The collector tells the reducer how many parts there will be and gives each mapper a part; each
mapper hands its counts to the reducer; the reducer hands the sum to the reporter.
"""

import collections
import json
import os
import re
import sys
import threading

import a2a


def collector(text):
    lines = [line for line in re.split(r"[\n.;]", text) if line.strip()]
    urls = {a2a.card_of(url)["name"]: [] for url in a2a.peers()}
    for url in a2a.peers():
        urls[a2a.card_of(url)["name"]].append(url)
    mappers = urls["mapper"]
    parts = ["\n".join(lines[n :: len(mappers)]) for n in range(len(mappers))]
    a2a.ask(urls["reducer"][0], json.dumps({"parts": len(parts)}))
    with a2a.ThreadPoolExecutor(max_workers=len(parts)) as pool:
        replies = list(pool.map(a2a.ask, mappers, parts))
    # The mapper whose part was the last one brings the report.
    return next(reply for reply in replies if reply.startswith("report"))


def mapper(text):
    counts = collections.Counter(re.findall(r"\w+", text.lower()))
    me = os.environ.get("A2ARUN_INDEX", "?")
    a2a.log(f"mapper {me}: {sum(counts.values())} words, {len(counts)} different ones")
    return a2a.ask(a2a.peers()[0], json.dumps({"counts": counts}))


class Reducer:
    """Adds up until every part is in."""

    def __init__(self):
        self.lock = threading.Lock()
        self.missing, self.sum = 0, collections.Counter()

    def __call__(self, text):
        message = json.loads(text)
        with self.lock:
            if "parts" in message:
                self.missing, self.sum = message["parts"], collections.Counter()
                return f"waiting for {self.missing} parts"
            self.sum.update(message["counts"])
            self.missing -= 1
            if self.missing:
                return f"{self.missing} parts are missing"
            total = self.sum
        return a2a.ask(a2a.peers()[0], json.dumps(total))


def reporter(text):
    counts = json.loads(text)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
    shown = ", ".join(f"{word} {count}" for word, count in most)
    report = f"report of {sum(counts.values())} words: {shown}"
    a2a.log(report)
    return report


def main(role):
    answer = {"collector": collector, "mapper": mapper, "reducer": Reducer(), "reporter": reporter}
    about = f"The {role} of a count of words"
    skill = a2a.skill(role, about, "To be or not to be. To do is to be.")
    a2a.serve(role, about, skill, answer[role], a2a.first_question)


if __name__ == "__main__":
    main(sys.argv[1])
