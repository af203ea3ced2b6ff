"""The hub: asks every connected agent and answers from their answers."""

import os
from concurrent.futures import ThreadPoolExecutor

import a2a

SKILL = {
    "id": "travel",
    "name": "Travel advice",
    "description": "Answers a question about a journey from what its workers know",
    "tags": ["travel"],
    "examples": ["How is the weather in Geneva, and how far is it from Paris?"],
}


def consult(url, text):
    try:
        return f"{a2a.card_of(url)['name']}: {a2a.ask(url, text)}"
    except Exception as error:  # one silent worker must not silence the others
        return f"{url} did not answer: {error}"


def answer(text):
    urls = a2a.peers()
    a2a.log(f"controller: asking {len(urls)} agents: {text}")
    if not urls:
        return "I have nobody to ask."
    with ThreadPoolExecutor(max_workers=min(32, len(urls))) as pool:
        answers = list(pool.map(lambda url: consult(url, text), urls))
    a2a.log(f"controller: {len(answers)} answers are in")
    return "\n".join(answers)


def first_question(url):
    text = os.environ.get("FIRST_QUESTION")
    if not text:
        return
    try:
        for line in a2a.ask(url, text).splitlines():
            a2a.log(f"answer: {line}")
    except Exception as error:
        a2a.log(f"controller: the first question failed: {error}")
        return
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ask.py")
    a2a.log(f"ask more: python3 {script} {url} 'TEXT'")


if __name__ == "__main__":
    a2a.serve("controller", "Answers from its workers' answers", SKILL, answer, first_question)
