"""A folder that outgrows one machine: reading and preparing go through joblib, and joblib to a Dask cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from medtl.errors import InputError


@contextmanager
def work_on(address: str | None) -> Iterator[None]:
    """Inside, files are read and prepared by the workers of a Dask cluster.

    The workers need this medtl and must see the same folders under the same paths. What they send back, patients'
    identifiers of the headers included, crosses the network between them and here; it is hashed here.

    Args:
        address: of the scheduler, such as "tcp://10.0.0.5:8786"; None: this machine alone.

    Raises:
        InputError: `distributed` is not installed, or no scheduler answers there.
    """
    if not address:
        yield
        return
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise InputError("--cluster needs Dask: pip install 'medtl[cluster]'") from error
    import joblib

    try:
        client = Client(address, timeout=10, set_as_default=True)
    except (OSError, TimeoutError, ValueError) as error:
        raise InputError(
            f"no Dask scheduler answers at {address}: start one with `dask scheduler`, and give the address it prints"
        ) from error
    with client, joblib.parallel_config(backend="dask"):
        yield
