"""The stages of pipeline.yaml: readings of thermometers on their way to a report.

    python3 readings.py ingest|validate|fahrenheit|kelvin

Each stage works on what it was given and hands it to the next, which are its peers.
"""

import sys

import a2a

UNITS = {"fahrenheit": ("F", lambda c: c * 9 / 5 + 32), "kelvin": ("K", lambda c: c + 273.15)}


def ingest(text):
    """`Oslo 4, Lima 17` → one reading a line."""
    lines = [line.strip() for line in text.split(",")]
    return "\n".join(line for line in lines if line)


def validate(text):
    """Keeps what is a place and a number."""
    kept = []
    for line in text.splitlines():
        place, _, number = line.rpartition(" ")
        try:
            kept.append(f"{place} {float(number)}")
        except ValueError:
            a2a.log(f"validate: dropped {line!r}")
    return "\n".join(kept)


def convert(unit, text):
    sign, from_celsius = UNITS[unit]
    readings = (line.rpartition(" ") for line in text.splitlines())
    return "\n".join(f"{place} {round(from_celsius(float(c)), 2):g} {sign}" for place, _, c in readings)


def main(stage):
    work = {"ingest": ingest, "validate": validate}.get(stage) or (lambda t: convert(stage, t))

    def answer(text):
        done = work(text)
        a2a.log(f"{stage}: {len(done.splitlines())} readings")
        # Stages in parallel all get the same; the last ones have nobody behind them.
        behind = a2a.ask_all(a2a.peers(), done)
        return "\n".join(behind) if behind else done

    about = f"The stage {stage} of a pipeline of temperatures in Celsius"
    skill = a2a.skill(stage, about, "Oslo 4, Lima 17")
    a2a.serve(stage, about, skill, answer, a2a.first_question)


if __name__ == "__main__":
    main(sys.argv[1])
