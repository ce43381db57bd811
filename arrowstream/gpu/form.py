"""The registration of the form of rows that lie on the GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable

from arrowstream.core.rows.forms import FORMS, Form, register_form
from arrowstream.gpu.device import Device
from arrowstream.gpu.download import brought_back
from arrowstream.gpu.rows import DeviceRows
from arrowstream.gpu.steps.groups import grouped
from arrowstream.gpu.steps.lookups import looked_up

_REGISTERING = threading.Lock()


def register(name: str, device: Callable[[], Device]) -> None:
    """Register the form, so that batches can hold rows of it; once for each name.

    Parameters
    ----------
    name
        The name of the form.
    device
        Returns the device; called when the first batch is given to it.
    """
    form = Form(
        name,
        DeviceRows,
        from_arrow=lambda record: DeviceRows.of(record, device()),
        to_arrow=brought_back,
        num_rows=lambda rows: int(rows.num_rows),
        nbytes=lambda rows: int(rows.nbytes),
        slice=lambda rows, offset, length: rows.device.run(lambda: rows.sliced(offset, length)),
        grouped=grouped,
        looked_up=looked_up,
    )
    with _REGISTERING:
        if name not in FORMS:
            register_form(form)
