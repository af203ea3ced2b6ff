"""The weather agent: how is it in the places that the question names?"""

import a2a
import places

SKILL = {
    "id": "weather",
    "name": "Weather",
    "description": "Says how the weather is in a city",
    "tags": ["weather", "city"],
    "examples": ["How is the weather in Geneva?"],
}


def answer(text):
    found = places.named_in(text)
    a2a.log(f"weather: asked about {', '.join(found) or 'no place that I know'}")
    if not found:
        return f"I know the weather in {', '.join(places.PLACES)}."
    return " ".join(f"{place}: {places.PLACES[place][2]}." for place in found)


if __name__ == "__main__":
    a2a.serve("weather", "Says how the weather is", SKILL, answer)
