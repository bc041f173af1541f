"""The input blobs of one session, as the data floor cuts them for its row of a split file."""

from collections.abc import Mapping, Sequence

import numpy as np

from generator.data.sessions.ragged import Sessions
from generator.data.windows import Blobs, WindowSizes, blobs, rows_of


def row_of(pages: Sequence[int], dwells: Sequence[float], bought: Sequence[int], columns: Mapping[str, int]) -> Blobs:
    """Return the blobs of a session, batch size 1; ids of 0 are passed over, seconds floored at 1."""
    items = np.asarray([item for item in bought if item], np.int32)
    session = Sessions(
        offset=np.asarray([0, len(pages)]),
        page=np.asarray(pages, np.int32).reshape(-1),
        dwell=np.maximum(np.asarray(dwells, np.float32).reshape(-1), 1),
        bought_offset=np.asarray([0, len(items)]),
        bought=items,
        start=np.full(1, np.nan),
        user=np.full(1, -1, np.int32),
        label=np.zeros(1, np.int32),
    )
    sizes = WindowSizes.of(columns)
    if not any(columns.values()):
        return {}
    (found,) = blobs(session, rows_of(session, sizes.window, "last"), sizes)
    return {name: values for name, values in found.items() if name != "label"}
