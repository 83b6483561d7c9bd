"""Fixtures: a PostgreSQL for all tests, and an empty database for each of them."""

import pytest

from postgres import Postgres


@pytest.fixture(scope="session")
def cluster():
    """A test may stop it and start it again; all databases of it are gone meanwhile."""
    running = Postgres()
    yield running
    running.close()


@pytest.fixture
def database(cluster):
    """An empty database, as a URL."""
    url = cluster.fresh_database()
    yield url
    if cluster.process is None:
        cluster.start()
    cluster.drop(url)
