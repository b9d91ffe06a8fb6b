"""Every fault of docs/faults.md has a test, and the page is what the tests say."""

from tests import faults


def test_every_fault_has_a_test_and_the_page_names_it() -> None:
    held = faults.tests()
    assert faults.missing(held) == []
    assert faults.TABLE.read_text() == faults.table(held)


def test_a_fault_without_a_test_would_be_found() -> None:
    held = faults.tests()
    assert faults.missing({number: names for number, names in held.items() if number != 12} | {99: ["x"]}) == [12, 99]
    assert faults.table(held | {12: ["else::test_x"]}) != faults.table(held)
