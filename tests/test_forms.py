"""The registries of forms of rows and of backends refuse what would be mistaken for another."""

from dataclasses import replace

import polars as pl
import pytest

from arrowstream.backends.arrow.backend import ArrowBackend
from arrowstream.backends.registry import backends, register_backend, unregister_backend
from arrowstream.core.batch import Batch
from arrowstream.core.rows.forms import FORMS, form_of, register_form
from arrowstream.errors import PlanError


def test_a_form_may_be_registered_again_but_not_another_of_its_name_or_type() -> None:
    polars = FORMS["polars"]
    register_form(polars)
    assert FORMS["polars"] is polars
    for other in (replace(polars, type=dict), replace(polars, name="other")):
        with pytest.raises(PlanError, match="called 'polars' exists already"):
            register_form(other)


def test_rows_of_a_subtype_have_the_form_of_their_type_and_other_objects_none() -> None:
    class Special(pl.DataFrame):
        pass

    batch = Batch(Special({"x": [1]}))
    assert batch.is_polars and form_of(Special()).name == "polars"
    with pytest.raises(PlanError) as raised:
        Batch([1, 2])
    assert raised.value.found == "builtins.list"


def test_backends_have_names_of_their_own_and_those_of_arrowstream_stay() -> None:
    class Renamed(ArrowBackend):
        name = "auto"

    known = backends()
    for backend in (ArrowBackend(), Renamed()):
        with pytest.raises(PlanError, match="cannot be called"):
            register_backend(backend)
    for name in ("arrow", "polars", "toy"):
        with pytest.raises(PlanError, match=f"no registered backend is called {name!r}"):
            unregister_backend(name)
    assert backends() == known
