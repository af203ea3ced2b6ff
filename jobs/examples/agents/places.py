"""A small atlas, so that the examples need no network: latitude, longitude, usual weather."""

import re

PLACES = {
    "Geneva": (46.20, 6.14, "12 degrees, a light wind from the lake"),
    "Paris": (48.86, 2.35, "14 degrees, showers in the afternoon"),
    "London": (51.51, -0.13, "11 degrees, drizzle"),
    "Chicago": (41.88, -87.63, "7 degrees, windy"),
    "Tokyo": (35.68, 139.69, "19 degrees, clear"),
    "Nairobi": (-1.29, 36.82, "22 degrees, sunny"),
    "Lima": (-12.05, -77.04, "17 degrees, mist from the sea"),
    "Oslo": (59.91, 10.75, "4 degrees, snow in the hills"),
}


def named_in(text):
    """The places that the text names, in its order, each once."""
    words = re.findall(r"\w+", text)
    found = [place for word in words for place in PLACES if place.lower() == word.lower()]
    return list(dict.fromkeys(found))
