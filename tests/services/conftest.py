"""Servers that the tests of this folder start."""

import pytest
from object_store import object_store


@pytest.fixture(scope="session")
def server():
    """Return an S3 server."""
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    with object_store() as running:
        yield running


@pytest.fixture
def s3(server, monkeypatch):
    """Return an S3 server without faults, whose clients find it and its credentials in the environment."""
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    server.fail()
    return server
