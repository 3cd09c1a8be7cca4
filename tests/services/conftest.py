"""Servers that the tests of this folder use."""

import pytest


@pytest.fixture
def s3(s3_server, monkeypatch):
    """Return an S3 server without faults, whose clients find it and its credentials in the environment."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    s3_server.fail()
    return s3_server
