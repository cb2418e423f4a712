"""The MariaDB driver on three real servers with GTID, and on a simulated cluster."""

from __future__ import annotations

import json
import socket
import sys
import threading
from contextlib import contextmanager, suppress

import pymysql
import pytest

from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.mariadb import MariaDB, client, copying, gtid, queries, rebuild, state
from drivers.mariadb.client import Session
from drivers.secret import Secret, SecretStore
from tests.drivers.contract import Contract, call
from tests.drivers.daemons import free_port, until
from tests.drivers.mariadb_cluster import PASSWORD, LongQuery, RealWorld, certify, connect, sql
from tests.drivers.simulated.mariadb import Channel, SimulatedWorld
from tests.drivers.simulated.mariadb import Cluster as Simulation


@contextmanager
def real(request):
    world = RealWorld(request.getfixturevalue("mariadb_servers"))
    world.servers.fresh()
    yield world
    world.close()


@contextmanager
def simulated(request):
    yield SimulatedWorld()


class TestContract(Contract):
    declared = MariaDB
    worlds = {"real": real, "simulated": simulated}


@pytest.fixture
def servers(mariadb_servers):
    mariadb_servers.fresh()
    return mariadb_servers


WARNING = "It could write to this server while that is read-only, unseen by the primary."


def act(name: str):
    return next(each for each in MariaDB.acts if each.name == name)


def failing(driver, name: str, **given) -> list[str]:
    chosen = act(name)
    return [each.text for each in chosen.conditions(driver, chosen.parse(given)) if not each.holds]


def perform(driver, name: str, **given):
    """The act as a plan performs it, its `before` by way of JSON."""
    chosen = act(name)
    params = chosen.parse(given)
    before = json.loads(json.dumps(chosen.before(driver, params)))
    return chosen.do(driver, params, before, call())


# What is observed


def test_a_primary_is_observed(servers):
    seen = servers.driver(1).observe()
    assert (seen.kind, seen.healthy, seen.facts["role"], seen.facts["read_only"]) == ("mariadb", True, "primary", False)
    assert "MariaDB" in seen.version
    assert (seen.facts["gtid_binlog"], seen.facts["gtid_executed"]) == ("0-1-1", "0-1-1")
    assert (seen.facts["server_id"], seen.facts["gtid_strict"], seen.facts["channels"]) == (1, True, [])
    assert (seen.facts["errant"], seen.facts["keeps_binlog"]) == (None, True)
    assert seen.facts["account"] == {"ignores_read_only": True, "may_write": False, "warning": None}
    assert seen.readings["clients"] >= 1
    assert 0 < seen.readings["latency_seconds"] < 5
    assert PASSWORD not in repr(seen)


def test_a_replica_tells_threads_lag_and_that_it_is_faithful(servers):
    seen = servers.driver(2).observe()
    assert (seen.healthy, seen.facts["role"], seen.facts["read_only"]) == (True, "replica", True)
    (channel,) = seen.facts["channels"]
    assert (channel["primary"], channel["running"], channel["error"]) == (servers.at(1), True, None)
    assert 0 <= seen.readings["lag_seconds"] < 60
    assert (seen.facts["errant"], seen.readings["errant_sources"]) == ([], 0)


def test_a_stopped_thread_is_unhealthy_and_its_lag_unknown(servers):
    servers.sql(2, "STOP SLAVE SQL_THREAD")
    seen = servers.driver(2).observe()
    assert seen.healthy is False
    assert seen.facts["channels"][0]["lag_seconds"] is None
    assert "lag_seconds" not in seen.readings


def test_an_account_that_may_not_see_replication_makes_health_unknown(servers):
    seen = servers.driver(2, user="stranger").observe()
    assert (seen.healthy, seen.facts["role"]) == (None, "unknown")


def test_an_account_with_all_rights_writes_past_read_only_and_the_stray_transaction_is_found(servers):
    seen = servers.driver(3, user="rebuild").observe()
    assert seen.facts["account"] == {"ignores_read_only": True, "may_write": True, "warning": WARNING}
    sql(servers.ports[3], "INSERT INTO app.writes (number) VALUES (99)", user="rebuild")
    seen = servers.driver(3).observe()
    assert (seen.healthy, seen.facts["errant"]) == (True, ["0-3-2"])
    assert servers.driver(3, peers=[]).observe().facts["errant"] is None


@pytest.mark.parametrize(
    ("grants", "version", "harmful"),
    [
        (["GRANT SUPER, INSERT ON *.* TO `p`@`%`"], "10.6.1-MariaDB", True),
        (["GRANT SUPER, INSERT ON *.* TO `p`@`%`"], "10.11.0-MariaDB", False),
        (
            ["GRANT READ_ONLY ADMIN ON *.* TO `p`@`%`", "GRANT SELECT (a, b), UPDATE (c) ON `d`.`t` TO `p`"],
            "11.4",
            True,
        ),
        (["GRANT READ_ONLY ADMIN, SELECT ON *.* TO `p`@`%`", "GRANT `role` TO `p`@`%`"], "11.4", False),
        (["GRANT ALL PRIVILEGES ON `d`.* TO `p`@`%`"], "11.4", False),
        (["GRANT ALL PRIVILEGES ON *.* TO `p`@`%` WITH GRANT OPTION"], "11.4", True),
    ],
)
def test_rights_are_judged_by_release_and_scope(grants, version, harmful):
    assert (state.account(grants, version)["warning"] is not None) == harmful


def test_semi_sync_is_what_happens_now_and_not_what_is_set(servers):
    wait = {"side": "primary", "state": "on"}
    assert failing(servers.driver(1), "set-semi-sync", **wait) == ["A replica is ready to acknowledge."]
    perform(servers.driver(2), "set-semi-sync", side="replica", state="on")
    assert failing(servers.driver(1), "set-semi-sync", **wait) == []
    perform(servers.driver(1), "set-semi-sync", **wait)
    servers.sql(1, "INSERT INTO app.writes (number) VALUES (1)")
    seen = servers.driver(1).observe().facts["semi_sync"]
    assert (seen["primary_side"], seen["synchronous"], seen["acknowledging_replicas"]) == (True, True, 1)
    assert servers.driver(2).observe().facts["semi_sync"]["synchronous"] is True
    assert servers.driver(3).observe().facts["semi_sync"]["synchronous"] is False
    servers.sql(2, "STOP SLAVE")
    servers.sql(1, "SET GLOBAL rpl_semi_sync_master_timeout=10", "INSERT INTO app.writes (number) VALUES (2)")
    seen = servers.driver(1).observe()
    assert (seen.facts["semi_sync"]["primary_side"], seen.facts["semi_sync"]["synchronous"]) == (True, False)
    assert seen.readings["semi_sync_unacknowledged"] == 1


def test_a_server_that_is_full_or_gone_is_down(servers):
    gone = servers.driver(1, port=free_port()).observe()
    assert (gone.healthy, gone.readings) == (False, {})
    servers.sql(1, "SET GLOBAL max_connections=10")
    links = []
    try:
        with suppress(pymysql.OperationalError):
            while len(links) < 30:
                links += [connect(servers.ports[1], "copy")]
        full, ours = servers.driver(1, user="stranger").observe(), servers.driver(1).observe()
    finally:
        for link in links:
            link.close()
        until(lambda: servers.sql(1, "SET GLOBAL max_connections=151") == [])
    assert full.healthy is False
    assert "Too many connections" in full.facts["error"]
    assert ours.healthy is True  # CONNECTION ADMIN has a place of its own


@pytest.mark.parametrize("answer", [b"", b"\x4a\x00\x00\x00\x0a10.11", b"HTTP/1.1 400 Bad Request\r\n\r\n", None])
def test_silence_half_an_answer_and_another_protocol_are_down(answer, monkeypatch, place):
    monkeypatch.setattr(client, "READ_SECONDS", 0.3)
    (place / "password").write_text(PASSWORD)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            accepted, _ = listener.accept()
            with accepted:
                if answer is None:
                    accepted.recv(1)  # hangs until the other side gives up
                else:
                    accepted.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        facts = {"host": "127.0.0.1", "port": port, "user": "portal", "password": f"file:{place}/password"}
        seen = MariaDB(facts, SecretStore()).observe()
        thread.join()
    assert (seen.healthy, bool(seen.facts["error"])) == (False, True)


def test_refused_credentials_are_permanent_and_not_repeated(servers, secret):
    with pytest.raises(PermanentError, match=r"refuses portal \(error 1045\)") as caught:
        servers.driver(1, password=secret("wrong-password")).observe()
    assert "wrong-password" not in str(caught.value)


def test_a_connection_that_breaks_inside_a_reading_is_down(servers, monkeypatch):
    rows = Session.rows

    def lose(self, statement, *values):
        if "SLAVES" in statement:
            raise client.meaning(pymysql.OperationalError(2013, "lost later"), "here", "portal")
        return rows(self, statement, *values)

    monkeypatch.setattr(Session, "rows", lose)
    assert servers.driver(1).observe().facts["error"].endswith("lost later")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"user": "a';--"}, {"host": "$(id)"}, {"port": 0}, {"password": "plain"}, {"peers": "10.0.0.1:3306"}),
        *({"peers": ["10.0.0.1"]}, {"peers": ["10.0.0.1:x"]}, {"peers": ["$(id):1"]}, {"tls": "no"}),
    ],
)
def test_odd_facts_are_refused(wrong):
    facts = {"host": "127.0.0.1", "port": 1, "user": "portal", "password": "env:X", **wrong}
    with pytest.raises(InvalidInput):
        MariaDB(facts, SecretStore()).observe()


def test_with_an_authority_the_server_proves_itself(servers):
    assert servers.driver(1, ca=f"{servers.folder}/server-ca.pem").observe().healthy is True
    with pytest.raises(PermanentError, match="is not trusted"):
        servers.driver(1, ca=str(certify(servers.folder, "stranger"))).observe()
    with pytest.raises(PermanentError, match="is not trusted"):
        servers.driver(1, tls=True).observe()  # the system's authorities did not sign it
    with pytest.raises(PermanentError, match="cannot be read"):
        servers.driver(1, ca=f"{servers.folder}/nothing.pem").observe()


# Queries and read-only


def test_a_later_query_of_the_same_connection_is_not_stopped(servers):
    query = LongQuery(servers.ports[1])
    kill = act("kill-query")
    params = kill.parse({"connection": query.connection})
    before = kill.before(servers.driver(1), params)
    sql(servers.ports[1], f"KILL QUERY {query.connection}")
    query.thread.join(10)
    later = LongQuery(servers.ports[1], link=query.link)
    assert (later.connection, kill.done(servers.driver(1), params, before)) == (query.connection, True)
    assert kill.do(servers.driver(1), params, before, call()) == {"stopped": False}
    assert later.error is None
    assert kill.do(servers.driver(1), params, kill.before(servers.driver(1), params), call()) == {"stopped": True}
    later.thread.join(10)
    assert later.error.args[0] == 1317
    later.link.close()


def test_replication_is_not_a_query_to_stop(servers):
    (row,) = servers.sql(1, "SELECT MIN(ID) AS it FROM information_schema.PROCESSLIST WHERE COMMAND='Binlog Dump'")
    refused = failing(servers.driver(1), "kill-query", connection=row["it"])
    assert "It is a client's, not part of replication." in refused


def test_values_of_a_statement_are_not_kept():
    shown = queries.without_values("""UPDATE t SET a='it''s \\' secret', b="x", c=12.5 WHERE d1=0x1F AND e='cut off""")
    assert shown == "UPDATE t SET a=?, b=?, c=? WHERE d1=? AND e=?"


def test_read_only_waits_for_nobody_when_writers_are_stopped(servers):
    with connect(servers.ports[1], "app") as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLES app.writes WRITE")
        with pytest.raises(TransientError, match="sessions hold locks"):
            perform(servers.driver(1), "set-read-only", state="on")
        assert servers.writable() == [1]
        assert perform(servers.driver(1), "set-read-only", state="on", stop_writers=True)["closed_sessions"] >= 1
        assert servers.writable() == []
        with pytest.raises(pymysql.MySQLError):
            cursor.execute("UNLOCK TABLES")
        holder._force_close()
    assert servers.driver(2).observe().healthy is True  # replication was not closed with the clients


def test_an_open_transaction_cannot_commit_past_read_only(servers):
    with connect(servers.ports[1], "rebuild", autocommit=False) as holder, holder.cursor() as cursor:
        cursor.execute("INSERT INTO app.writes (number) VALUES (7)")
        perform(servers.driver(1), "set-read-only", state="on", stop_writers=True)
        with pytest.raises(pymysql.MySQLError):
            holder.commit()
        holder._force_close()
    assert servers.numbers(1) == [0]


def test_a_second_member_is_not_made_writable(servers):
    refused = ["It follows no primary.", "No other member takes writes."]
    assert failing(servers.driver(2), "set-read-only", state="off") == refused
    servers.sql(2, "STOP SLAVE", "RESET SLAVE ALL")
    with pytest.raises(PermanentError, match="takes writes already"):
        perform(servers.driver(2), "set-read-only", state="off")


def test_a_silent_member_might_take_writes():
    here = Simulation()
    here.server(1).read_only = True
    del here.servers[3302]
    assert failing(here.driver(1), "set-read-only", state="off") == ["No other member takes writes."]
    with pytest.raises(TransientError, match="is not known"):
        perform(here.driver(1), "set-read-only", state="off")
    assert here.server(1).read_only is True
    perform(here.driver(1), "set-read-only", state="off", silent_members_are_stopped=True)
    assert here.server(1).read_only is False


# Promotion and following


def test_what_was_received_is_applied_before_promotion(servers):
    servers.sql(2, "STOP SLAVE SQL_THREAD")
    servers.sql(1, "INSERT INTO app.writes (number) VALUES (1)", "SET GLOBAL read_only=1")
    until(lambda: servers.channel(2)["Gtid_IO_Pos"] == "0-1-2")
    until(servers.settled)
    assert servers.numbers(2) == [0]
    assert failing(servers.driver(2), "promote-replica") == []
    perform(servers.driver(2), "promote-replica")
    assert (servers.numbers(2), servers.writable()) == ([0, 1], [2])


def test_a_relay_log_that_starting_would_drop_is_not_promoted(servers):
    """Even where a stray transaction makes the position look far enough."""
    servers.sql(2, "STOP SLAVE SQL_THREAD")
    servers.sql(1, "INSERT INTO app.writes (number) VALUES (1)", "SET GLOBAL read_only=1")
    until(lambda: servers.channel(2)["Gtid_IO_Pos"] == "0-1-2")
    servers.sql(2, "STOP SLAVE", "SET gtid_seq_no=50", "INSERT INTO app.writes (number) VALUES (99)")
    assert failing(servers.driver(2), "promote-replica") == ["What it received can all be applied."]
    with pytest.raises(PermanentError, match="starting it now would drop the rest"):
        perform(servers.driver(2), "promote-replica")
    assert servers.writable() == []


def test_only_the_furthest_replica_is_promoted_and_never_beside_a_primary(servers):
    assert failing(servers.driver(2), "promote-replica") == ["No other member takes writes."]
    servers.sql(2, "STOP SLAVE IO_THREAD")
    servers.sql(1, "INSERT INTO app.writes (number) VALUES (1)", "SET GLOBAL read_only=1")
    until(servers.settled)
    assert failing(servers.driver(2), "promote-replica") == ["No other member has more."]
    with pytest.raises(PermanentError, match=r"has 0-1-2"):
        perform(servers.driver(2), "promote-replica")
    assert failing(servers.driver(3), "promote-replica") == []


def test_a_primary_that_does_not_answer_is_replaced_only_when_somebody_says_so():
    here = Simulation()
    del here.servers[3301]
    here.server(3).channel, here.server(2).channel = Channel(3301, sql=True), Channel(3301, sql=True)
    assert failing(here.driver(2), "promote-replica") == ["No other member takes writes."]
    with pytest.raises(PermanentError, match="does not answer"):
        perform(here.driver(2), "promote-replica")
    perform(here.driver(2), "promote-replica", silent_members_are_stopped=True)
    assert (here.server(2).read_only, here.server(2).channel, here.server(3).read_only) == (False, None, True)
    unknown = here.driver(3, peers=["127.0.0.1:3303"])
    assert failing(unknown, "promote-replica") == ["Its primary is a known member that can be asked."]


def test_promotion_is_not_taken_back_once_writes_were_accepted(servers):
    servers.sql(1, "SET GLOBAL read_only=1")
    promote, params = act("promote-replica"), act("promote-replica").parse({})
    before = promote.before(servers.driver(2), params)
    promote.do(servers.driver(2), params, before, call())
    servers.sql(2, "INSERT INTO app.writes (number) VALUES (1)")
    with pytest.raises(PermanentError, match="has taken writes since"):
        promote.undo(servers.driver(2), params, before, call())
    assert servers.writable() == [2]


def test_a_server_with_own_transactions_does_not_follow(servers):
    servers.sql(3, "INSERT INTO app.writes (number) VALUES (99)")
    refused = ["It holds no transaction that the new primary lacks.", "The new primary has all that it received."]
    assert failing(servers.driver(3), "follow-primary", primary=servers.at(2)) == refused
    with pytest.raises(PermanentError, match="0-3-2"):
        perform(servers.driver(3), "follow-primary", primary=servers.at(2))
    assert servers.channel(3)["Master_Port"] == servers.ports[1]


def test_nobody_follows_in_a_circle_or_while_it_takes_writes(servers):
    expected = ["It is read-only.", "The new primary does not follow this one."]
    assert failing(servers.driver(1), "follow-primary", primary=servers.at(2)) == expected


def test_a_replica_without_a_right_to_follow_says_so(servers, secret):
    servers.sql(3, "STOP SLAVE", "RESET SLAVE ALL")
    wrong = servers.driver(3, replication_password=secret("wrong-password"))
    with pytest.raises(PermanentError, match="cannot receive") as caught:
        perform(wrong, "follow-primary", primary=servers.at(1))
    assert "wrong-password" not in str(caught.value)


# Rebuilding


def test_a_rebuilt_replica_is_a_faithful_copy(servers):
    servers.sql(
        1,
        "CREATE TABLE app.things (data BLOB, size INT AS (LENGTH(data)) STORED) COMMENT 'a;\n--b'",
        "INSERT INTO app.things (data) VALUES (X'00FF270D0A'), ('DELIMITER ;;\n-- SET GLOBAL gtid_slave_pos=''9'';\n')",
        "CREATE VIEW app.seen AS SELECT COUNT(*) AS `it;` FROM app.things",
        "CREATE TRIGGER app.before_things BEFORE INSERT ON app.things FOR EACH ROW SET NEW.data = NEW.data",
        "CREATE PROCEDURE app.twice()\nBEGIN\n  SELECT 1;\n  SELECT 2;\nEND",
        "CREATE EVENT app.often ON SCHEDULE EVERY 1 SECOND DO INSERT INTO app.writes (number) VALUES (UUID_SHORT())",
        "CREATE USER only_there@'10.%' IDENTIFIED BY 'x'",
    )
    until(servers.settled)
    servers.sql(3, "CREATE DATABASE stray", "CREATE USER stray@'%'", "DELETE FROM app.things")
    assert failing(servers.driver(2), "rebuild-replica", primary=servers.at(1)) == [
        "It does not replicate as it should."
    ]
    progress, lines = [], []
    chosen, driver = act("rebuild-replica"), servers.driver(3)
    params = chosen.parse({"primary": servers.at(1)})
    listening = Call("op:1", log=lines.append, progress=lambda *each: progress.append(each))
    chosen.do(driver, params, chosen.before(driver, params), listening)
    until(servers.settled)
    same = "SELECT HEX(data) AS data, size FROM app.things ORDER BY size"
    assert servers.sql(3, same) == servers.sql(1, same)
    assert servers.sql(3, "CALL app.twice()", "SELECT * FROM app.seen") == [{"it;": 2}]
    assert servers.sql(3, "SELECT STATUS FROM information_schema.EVENTS") == [{"STATUS": "SLAVESIDE_DISABLED"}]
    names = "SELECT User, Host FROM mysql.user ORDER BY 1, 2"
    assert servers.sql(3, names) == servers.sql(1, names)
    assert [row["Database"] for row in servers.sql(3, "SHOW DATABASES LIKE 'stray'")] == []
    assert servers.driver(3).observe().facts["errant"] == []
    assert progress[-1][0] == progress[-1][1] > 0
    assert "dropped database stray" in lines
    servers.sql(1, "DROP USER only_there@'10.%'")
    until(servers.settled)


def test_a_rebuild_that_was_cut_off_is_no_replica_and_begins_anew(servers):
    servers.sql(3, "INSERT INTO app.writes (number) VALUES (99)")
    chosen, driver = act("rebuild-replica"), servers.driver(3)
    params = chosen.parse({"primary": servers.at(1)})
    before = chosen.before(driver, params)
    for effects in (2, 6, 12, 20):
        left = iter(range(effects))
        with pytest.raises(StaleFence):
            chosen.do(driver, params, before, Call("op:1", alive=lambda left=left: next(left, None) is not None))
        assert chosen.done(driver, params, before) is False
    assert failing(servers.driver(3), "follow-primary", primary=servers.at(1)) == ["Its own position is known."]
    chosen.do(driver, params, before, call())
    until(servers.settled)
    assert servers.numbers(3) == [0]


def test_two_do_not_rebuild_at_once(servers, monkeypatch):
    monkeypatch.setattr(rebuild, "CLAIM", rebuild.CLAIM.replace("10", "0"))
    servers.sql(3, "STOP SLAVE")
    with connect(servers.ports[3], "rebuild") as other, other.cursor() as cursor:
        cursor.execute(rebuild.CLAIM)
        with pytest.raises(TransientError, match="by somebody else"):
            perform(servers.driver(3), "rebuild-replica", primary=servers.at(1))
    assert servers.numbers(3) == [0]


def test_a_copy_that_ends_early_is_not_taken_for_a_whole_one(servers, place):
    servers.sql(3, "STOP SLAVE")
    for number, lines in enumerate((["print('CREATE DATABASE app;')"], ["print('x', file=sys.stderr)", "sys.exit(3)"])):
        fake = place / f"dump{number}"
        fake.write_text("\n".join([f"#!{sys.executable}", "import sys", *lines]))
        fake.chmod(0o755)
        with pytest.raises(TransientError, match=("ended early", "ended with 3: x")[number]):
            perform(servers.driver(3, dump_program=str(fake)), "rebuild-replica", primary=servers.at(1))
    assert servers.channel(3) is None
    missing = servers.driver(3, dump_program="/nowhere/mariadb-dump")
    assert "The program that copies is installed." in failing(missing, "rebuild-replica", primary=servers.at(1))


def test_the_program_that_copies_gets_the_password_in_a_file_only(place):
    fake = place / "dump"
    show = "print(sys.argv[2:], sorted(os.environ), open(sys.argv[1].partition('=')[2]).read())"
    fake.write_text(f"#!{sys.executable}\nimport os, sys\n{show}\n")
    fake.chmod(0o755)
    options = copying.option_file("127.0.0.1", 3306, "rebuild", Secret('a\\b"c'), "/ca.pem", True)
    with copying.dumped(fake, options, ["--app", "b"]) as lines:
        told = "".join(lines)
    argv, _, rest = told.partition("]")
    assert ("a\\\\b" in argv, "'--databases', '--', '--app', 'b'" in argv) == (False, True)
    assert 'password="a\\\\b"c"' in rest
    assert "ssl-verify-server-cert\nssl-ca=/ca.pem\n" in rest


# GTIDs


@pytest.mark.parametrize("text", ["1-2", "a-b-c", "0-1-2;DROP", "0-1--2", "-0-1-2"])
def test_what_is_no_gtid_is_refused(text):
    with pytest.raises(PermanentError):
        gtid.parse(text)


def test_positions_are_compared_by_domain_and_histories_by_server():
    assert gtid.parse("0-1-5, 1-2-3", None, "0-1-7") == {(0, 1): 7, (1, 2): 3}
    assert gtid.covers("0-2-7,1-1-1", "0-1-7") is True
    assert (gtid.covers("0-2-6", "0-1-7"), gtid.covers("", "0-1-0"), gtid.covers("", "")) == (False, False, True)
    assert gtid.shown(gtid.beyond(gtid.parse("0-1-5,0-2-6"), gtid.parse("0-1-9"))) == "0-2-6"
