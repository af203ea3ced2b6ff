"""The maps agent: how far apart are the places that the question names?"""

import math

import a2a
import places

SKILL = {
    "id": "distance",
    "name": "Distance",
    "description": "Says how far two cities are apart",
    "tags": ["maps", "distance"],
    "examples": ["How far is Geneva from Paris?"],
}

EARTH_KM = 6371


def distance_km(one, other):
    """The great circle between two places (the haversine formula)."""
    lat1, lon1, lat2, lon2 = (
        math.radians(degree) for place in (one, other) for degree in places.PLACES[place][:2]
    )
    half = math.sin((lat2 - lat1) / 2) ** 2
    half += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_KM * math.asin(math.sqrt(half))


def answer(text):
    found = places.named_in(text)
    a2a.log(f"maps: asked about {' and '.join(found) or 'no place that I know'}")
    if len(found) < 2:
        return "Name two cities and I say how far they are apart."
    pairs = zip(found, found[1:])
    return " ".join(f"{a} to {b}: {distance_km(a, b):.0f} km." for a, b in pairs)


if __name__ == "__main__":
    a2a.serve("maps", "Says how far two cities are apart", SKILL, answer)
