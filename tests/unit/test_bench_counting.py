"""What services and the kernel say of themselves, as the benchmark of the control plane reads it."""

from tests.bench.plane.counting import parse_connections, passed, statements

LOG = """\
mill|LOG:  statement: BEGIN
mill|LOG:  execute <unnamed>: SELECT state FROM worker WHERE id = $1 FOR SHARE
mill|DETAIL:  Parameters: $1 = 'wrk_1'
mill|LOG:  execute _pg3_12: WITH chosen AS MATERIALIZED (
\t\tSELECT id FROM document)
\tUPDATE page SET rung_at = now()
other|LOG:  statement: BEGIN
mill|LOG:  statement: COMMIT
|LOG:  checkpoint starting: time
"""
SOCKETS = """\
0      0      127.0.0.1:5432   127.0.0.1:40001
\t bbr wscale:10,10 rto:204 bytes_sent:90 bytes_retrans:1 bytes_acked:80 bytes_received:20 segs_out:5
0      72     127.0.0.1:5432   127.0.0.1:40002
\t bbr wscale:10,10 rto:204 bytes_received:7 segs_in:2
"""
ONE, TWO = "127.0.0.1:5432 127.0.0.1:40001", "127.0.0.1:5432 127.0.0.1:40002"


def test_statements_of_one_database_by_their_first_word():
    found = statements(LOG.splitlines(keepends=True), "mill")
    assert found == {"BEGIN": 1, "SELECT": 1, "WITH": 1, "COMMIT": 1}


def test_bytes_of_connections_both_ways():
    assert parse_connections(SOCKETS) == {ONE: 100, TWO: 7}


def test_bytes_between_two_looks():
    assert passed({ONE: 60, "closed since": 1000}, {ONE: 100, TWO: 7}) == 47
