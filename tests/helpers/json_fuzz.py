"""Change one value of a JSON document into anything else that JSON can hold, or leave it out."""

import copy
from typing import Any

from hypothesis import strategies as st

NUMBERS = st.sampled_from([0, 1, -1, 2, 3, 255, 256, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.5, 1e300, -1e300])
TEXTS = st.sampled_from(
    [
        "",
        "x",
        "..",
        "../../outside",
        "/etc",
        "C:\\x",
        "a/b",
        "a\nb",
        "\x1b[31m",
        "\x00",
        "<img src='x'>",
        "é" * 300,
        "1",
    ]
)
PLAIN = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=4
)


def places_in(content: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where each value of a document stands: the keys and indices that lead to it."""
    inner = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [here, *(place for key, value in inner for place in places_in(value, (*here, key)))]


@st.composite
def changed(draw: Any, content: Any) -> Any:
    """Return `content` with one value changed or left out, anywhere in it."""
    place = draw(st.sampled_from(places_in(content)))
    if not place:
        return draw(VALUES)
    content = copy.deepcopy(content)
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    if draw(st.integers(0, 4)) == 0:
        del parent[place[-1]]
    else:
        parent[place[-1]] = draw(VALUES)
    return content
