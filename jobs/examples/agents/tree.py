"""The agents of hierarchical-tree.yaml: stations measure, regions take the mean of those below.

    python3 tree.py station|region

A station's place is `config: {place: Oslo}`, which comes as AGENT_PLACE.
"""

import os
import sys

import a2a
import places

NAME = os.environ["AGENT_ID"]


def station(_text):
    place = os.environ["AGENT_PLACE"]
    degrees = int(places.PLACES[place][2].split()[0])
    a2a.log(f"{NAME}: {degrees} degrees")
    return f"{place} {degrees}"


def region(text):
    """`Geneva 12`, `Oslo 4` from below → `europe 8 (Geneva 12, Oslo 4)`."""
    below = sorted(a2a.ask_all(a2a.peers(), text))
    degrees = [float(answer.split(" (")[0].rsplit(" ", 1)[1]) for answer in below]
    mean = sum(degrees) / len(degrees)
    a2a.log(f"{NAME}: {len(below)} answers from below")
    return f"{NAME} {mean:g} ({', '.join(below)})"


if __name__ == "__main__":
    ROLE = sys.argv[1]
    ABOUT = f"A {ROLE} of a network of thermometers"
    SKILL = a2a.skill(ROLE, ABOUT, "How warm is it?")
    a2a.serve(NAME, ABOUT, SKILL, {"station": station, "region": region}[ROLE], a2a.first_question)
