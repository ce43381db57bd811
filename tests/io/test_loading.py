"""Machine code that is loaded in the background."""

import pytest

from arrowstream.io.loading import Loading, are_ready


class Code:
    """Machine code that is loaded by hand."""

    def __init__(self, *, kept: bool, fails: bool = False) -> None:
        self.is_kept, self.is_ready, self.fails = kept, False, fails

    def load(self) -> None:
        if self.fails:
            raise OSError("no LLVM")
        self.is_ready = True


@pytest.mark.parametrize(("kept", "least"), [(True, 100), (False, 1_000)])
def test_machine_code_is_loaded_once_the_bytes_are_worth_it(kept: bool, least: int) -> None:
    loading, codes = Loading(100, 1_000), [Code(kept=True), Code(kept=kept)]
    for nbytes, expected in ((least - 1, False), (1, True), (1, True)):
        loading.expect(codes, nbytes)  # type: ignore[arg-type]
        loading.wait()
        assert are_ready(codes) == expected  # type: ignore[arg-type]


def test_code_that_cannot_be_loaded_is_tried_once(caplog: pytest.LogCaptureFixture) -> None:
    loading, broken = Loading(100, 1_000), [Code(kept=True, fails=True)]
    for _ in range(2):
        loading.expect(broken, 100)  # type: ignore[arg-type]
        loading.wait()
    assert not are_ready(broken)  # type: ignore[arg-type]
    assert [record.message for record in caplog.records] == [
        "numba does not work: Polars reads text files alone, which takes longer"
    ]
