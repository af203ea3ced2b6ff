"""The hub: asks every connected agent and answers from their answers."""

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


if __name__ == "__main__":
    a2a.serve("controller", "Answers from its workers' answers", SKILL, answer, a2a.first_question)
