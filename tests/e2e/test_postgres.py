"""The PostgreSQL of the tests: its databases are fresh, and it can go away and come back."""

import pathlib
import signal
import subprocess

import pytest

from process import PATIENCE, ROOT


def name(url: str) -> str:
    return url.rpartition("/")[2]


def test_each_database_is_empty_and_its_own(cluster, database):
    other = cluster.fresh_database()
    cluster.ask("CREATE TABLE jobs (id bigint)", name(database))
    there = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert cluster.ask(there, name(database)) == [["1"]]
    assert cluster.ask(there, name(other)) == [["0"]]
    cluster.drop(other)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
def test_what_was_committed_is_there_when_it_comes_back(cluster, database, how):
    cluster.ask("CREATE TABLE jobs (id bigint)", name(database))
    cluster.ask("INSERT INTO jobs VALUES (7)", name(database))
    cluster.stop(how)
    with pytest.raises(AssertionError, match="psql.*refused"):
        cluster.ask("SELECT 1")
    cluster.start()
    assert cluster.ask("SELECT id FROM jobs", name(database)) == [["7"]]


def test_a_command_runs_beside_a_postgres_that_ends_with_it():
    script = 'test "${PARKADE_TEST_POSTGRES%:*}" = postgres://parkade@127.0.0.1 && echo "$PARKADE_TEST_POSTGRES" && exit 7'
    command = [ROOT / "scripts" / "with_postgres", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 7, done.stderr
    port = done.stdout.strip().rpartition(":")[2].partition("/")[0]
    listening = [row.split()[1] for row in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:] if row.split()[3] == "0A"]
    assert f"{int(port):04X}" not in [address.rpartition(":")[2] for address in listening]
