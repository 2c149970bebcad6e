from tests.unit.drawings import DESIGN, drawn


def test_the_drawings_in_the_design_are_those_of_the_code() -> None:
    assert DESIGN.read_text("utf-8") == drawn(), "run `make drawings`"
