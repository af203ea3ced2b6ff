"""A voter of collaborative-mesh.yaml: every voter asks every other one, and all agree.

`config: {favourite: Lima}` of its agent comes as AGENT_FAVOURITE.
"""

import collections
import os

import a2a

NAME = os.environ["AGENT_ID"]
FAVOURITE = os.environ.get("AGENT_FAVOURITE", "Geneva")


def outcome(votes):
    """Most votes; of equals the first in the alphabet, so that everybody sees the same."""
    ranked = sorted(collections.Counter(votes).items(), key=lambda item: (-item[1], item[0]))
    place, count = ranked[0]
    return f"{place} with {count} of {len(votes)} votes"


def answer(text):
    if text == "vote":
        a2a.log(f"{NAME}: somebody asked; my vote is {FAVOURITE}")
        return FAVOURITE
    # Each peer is asked directly: there is no chair.
    votes = a2a.ask_all(a2a.peers(), "vote") + [FAVOURITE]
    return f"{NAME} counts: {outcome(votes)}"


def first_question(url):
    """All voters count; one of them asks them to."""
    if "FIRST_QUESTION" in os.environ:
        a2a.wait_for(a2a.peers())
        counts = a2a.ask_all([url] + a2a.peers(), "count")
        for line in sorted(counts):
            a2a.log(f"answer: {line}")


if __name__ == "__main__":
    SKILL = a2a.skill("vote", "Votes for a place to meet, and counts all votes", "count")
    a2a.serve(NAME, "Votes for a place to meet", SKILL, answer, first_question)
