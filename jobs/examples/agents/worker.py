"""A worker of elastic.yaml: says which copy it is and where it runs."""

import os

import a2a

SKILL = {
    "id": "presence",
    "name": "Presence",
    "description": "Says which copy of the worker this is",
    "tags": ["demo"],
    "examples": ["Who is there?"],
}

ME = "worker {A2ARUN_INDEX} (rank {A2ARUN_RANK} of {A2ARUN_SIZE}) on {A2ARUN_NODE}".format(
    **{
        name: os.environ.get(name, "?")
        for name in ("A2ARUN_INDEX", "A2ARUN_RANK", "A2ARUN_SIZE", "A2ARUN_NODE")
    }
)


def answer(text):
    a2a.log(f"worker: was asked: {text}")
    return f"here is {ME}"


if __name__ == "__main__":
    a2a.serve("worker", "Says which copy of the worker it is", SKILL, answer)
