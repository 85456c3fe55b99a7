"""A record without objects in it takes a shorter way to its row, and must come out the same."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from courier_async.catalog.rows import Flattener

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.integers(), max_size=2),
)
_RECORDS = st.dictionaries(st.text("aB_ 1", min_size=1, max_size=3), _VALUES, max_size=6)


@settings(deadline=None)  # a loaded machine is no failure
@given(st.lists(_RECORDS, min_size=1, max_size=6))
def test_flat_records_come_out_as_they_do_beside_an_object(records: list[dict[str, Any]]) -> None:
    flat, beside = Flattener("flat"), Flattener("beside")
    for record in records:
        longer = beside.row(record | {"zz": {"object": True}})

        assert longer.pop("zz_object") is True
        assert list(flat.row(record).items()) == list(longer.items())
        assert None not in flat.row(record).values()


def test_the_same_keys_with_other_types_are_another_shape() -> None:
    flattener = Flattener("t")

    assert flattener.row({"a": 1, "b": "x"}) == {"a": 1, "b": "x"}
    assert flattener.row({"a": 2**63, "b": None}) == {"a": str(2**63)}
    assert flattener.row({"a": {"c": 1}, "b": [1]}) == {"a_c": 1, "b": "[1]"}
    assert flattener.row({"a": float("nan"), "b": True}) == {"b": True}
