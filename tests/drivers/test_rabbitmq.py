"""The RabbitMQ driver on a real broker: acts under load, killed in between, refused, cut off."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import amqp
import pytest
from amqp.exceptions import AccessRefused

from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.rabbitmq import RabbitMQ, consumers, link, management
from drivers.rabbitmq.consumers import PauseConsumers, ResumeConsumers
from drivers.rabbitmq.guards import Guard
from drivers.rabbitmq.link import Mover
from drivers.rabbitmq.messages import MoveMessages, PurgeQueue
from drivers.rabbitmq.policies import DeletePolicy, SetPolicy
from drivers.secret import SecretStore
from tests.drivers.contract import Contract, World, call
from tests.drivers.daemons import free_port, until
from tests.drivers.rabbit import PASSWORD, Application, started
from tests.drivers.simulated.rabbitmq import EXAMPLES, FREE_TEXT, OLD_POLICY, RabbitWorld
from tests.drivers.tls_front import certified, cut_off, tls_front

pytestmark = pytest.mark.long

PLACE = "a/b %2F"
"""A virtual host whose name must be quoted whole."""


@pytest.fixture(scope="module")
def broker(ground):
    with started(ground) as made:
        made.ask("PUT", "vhosts", PLACE)
        made.place = PLACE
        made.account("portal", tags="administrator")
        made.account("shop")
        yield made


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(consumers, "POLL_SECONDS", 0.05)


class RealWorld(World):
    """`orders` has a living consumer; what is purged and moved lies in queues that nobody reads."""

    driver_class = RabbitMQ
    free_text = FREE_TEXT
    examples = EXAMPLES | {
        "purge-queue": {"queue": "bin", "confirm": "bin"},
        "move-messages": {"queue": "back.dead", "limit": 100},
    }

    def __init__(self, broker):
        self.broker = broker
        broker.ask("PUT", "exchanges", broker.place, "dead", content={"type": "direct"})
        for name in ("orders", "bin"):
            broker.queue(name)

    def driver(self):
        return self.broker.driver()

    def unreachable(self):
        return self.broker.driver(url=f"http://127.0.0.1:{free_port()}")

    def picture(self):
        queues = [self.broker.ready(name) for name in ("bin", "back", "back.dead")]
        policies = self.broker.ask("GET", "policies", self.broker.place)
        return queues, self.broker.rights(), sorted(policies, key=lambda one: one["name"])

    def prepare(self, act):
        self.broker.account("shop")
        for name in ("limits", "old"):
            with suppress(AssertionError):
                self.broker.ask("DELETE", "policies", self.broker.place, name)
        self.broker.ask("PUT", "policies", self.broker.place, "old", content=OLD_POLICY)
        self.broker.publish("bin", "one", "two")
        self.broker.dead("back", "back.dead", "one", "two")
        if act.name == "resume-consumers":
            self.broker.account("shop", Guard(".*").without("orders").expression)


@contextmanager
def real(request):
    broker = request.getfixturevalue("broker")
    world = RealWorld(broker)
    with Application(broker, "orders", works=False):
        yield world
    broker.account("shop")


@contextmanager
def simulated(_):
    yield RabbitWorld()


class TestContract(Contract):
    declared = RabbitMQ
    worlds = {"real": real, "simulated": simulated}


def begun(act, driver, given):
    params = act.parse(given)
    return act, driver, params, act.before(driver, params)


def unmet(act, driver, given):
    return [each.seen for each in act.conditions(driver, act.parse(given)) if not each.holds]


# What is read


def test_it_tells_queues_dead_letters_and_rates(broker):
    broker.dead("seen", "seen.dead", "one", "two", "three")
    broker.publish("seen", "four")
    driver = broker.driver()

    def queues():
        shown = {one["name"]: one for one in driver.observe().facts["queues"]}
        return shown if (shown["seen.dead"]["messages"], shown["seen"]["messages"]) == (3, 1) else None

    shown = until(queues)
    assert {name: shown[name]["dead_letters"] for name in ("seen", "seen.dead")} == {"seen": False, "seen.dead": True}
    seen = until(lambda: (o := driver.observe()).readings["memory_bytes"] and o)
    assert (seen.kind, seen.healthy, seen.version) == ("rabbitmq", True, "3.10.8")
    assert (seen.facts["vhost"], seen.facts["alarms"], seen.facts["queues_left_out"]) == (PLACE, [], 0)
    assert (seen.readings["nodes"], seen.readings["nodes_running"]) == (1.0, 1.0)
    assert seen.readings["dead_letters"] >= 3
    assert PASSWORD not in repr(seen)


def test_dead_letters_are_found_through_an_exchange_and_a_policy(broker):
    broker.ask("PUT", "exchanges", PLACE, "graves", content={"type": "fanout"})
    for name in ("policed", "policed.dead"):
        broker.queue(name)
    broker.ask("POST", "bindings", PLACE, "e", "graves", "q", "policed.dead", content={"routing_key": ""})
    definition = {"dead-letter-exchange": "graves"}
    broker.ask("PUT", "policies", PLACE, "graves", content={"pattern": "^policed$", "definition": definition})

    def dead():
        return {one["name"] for one in broker.driver().observe().facts["queues"] if one["dead_letters"]}

    assert until(lambda: "policed.dead" in dead() and dead()) >= {"policed.dead"}


def test_a_node_in_alarm_is_unhealthy_and_nothing_is_moved_then(broker):
    driver = broker.driver()
    transport = RabbitWorld().driver().transport
    alarmed = type("Alarmed", (RabbitMQ,), {"transport": transport})(driver.facts, driver.secrets)
    answers = transport.handler

    def with_alarm(request):
        answer = answers(request)
        if request.url.path.endswith("/nodes"):
            return type(answer)(200, json=[{**answer.json()[0], "mem_alarm": True, "partitions": ["rabbit@other"]}])
        return answer

    transport.handler = with_alarm
    seen = alarmed.observe()
    assert (seen.healthy, seen.facts["alarms"]) == (False, ["rabbit@simulated: memory"])
    assert unmet(MoveMessages(), alarmed, {"queue": "orders.dead"}) == ["rabbit@simulated"]


# Who may not, and what does not answer


def test_wrong_credentials_are_permanent_and_not_repeated(broker, secret):
    wrong = broker.driver(password=secret("wrong-password-here"))
    for look in (wrong.observe, lambda: wrong.counts("orders")):
        with pytest.raises(PermanentError) as caught:
            look()
        assert "wrong-password-here" not in str(caught.value)
    with pytest.raises(PermanentError, match="refuses these credentials"):
        broker.driver(user="shop").observe()  # an account without a tag may not use the management API


def test_an_account_that_may_leave_no_mark_is_refused_before_anything_is_lost(broker):
    broker.account("watcher", tags="monitoring")
    broker.queue("kept")
    broker.publish("kept", "one")
    watcher = broker.driver(user="watcher")
    assert watcher.observe().healthy is True
    act, _, params, before = begun(PurgeQueue(), broker.driver(), {"queue": "kept", "confirm": "kept"})
    with pytest.raises(PermanentError, match="refuses these credentials"):
        act.do(watcher, params, before, call())
    assert broker.ready("kept") == 1
    broker.ask("DELETE", "users", "watcher")


def test_an_unknown_virtual_host_or_queue_is_told(broker):
    with pytest.raises(PermanentError, match="no virtual host"):
        broker.driver(vhost="nowhere").observe()
    with pytest.raises(PermanentError, match="NOT_FOUND"):
        broker.driver().counts("none")
    given = {"queue": "none", "confirm": "none"}
    assert unmet(PurgeQueue(), broker.driver(), given) == ["there is no such queue"]


def test_tls_is_verified_on_both_ways(broker, place):
    certificate, authority = certified(place)
    with tls_front(certificate, broker.web) as web, tls_front(certificate, broker.port) as port:
        secure = {"url": f"https://127.0.0.1:{web}", "amqp_port": port}
        broker.queue("tls")
        trusting = broker.driver(**secure, ca=str(authority))
        assert (trusting.observe().healthy, trusting.counts("tls")) == (True, (0, 0))
        wary = broker.driver(**secure)
        assert "certificate verify failed" in wary.observe().facts["error"]
        with pytest.raises(TransientError, match="certificate verify failed"):
            wary.counts("tls")
    with pytest.raises(PermanentError, match="cannot be read"):
        broker.driver(url="https://127.0.0.1", ca=str(place / "none.pem")).observe()


_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "


@pytest.mark.parametrize(
    "answer", [b"", _HEAD + b'100\r\n\r\n{"a": 1', _HEAD + b"4\r\n\r\n<htm", b"AMQP\x00\x00\x09\x01"]
)
def test_half_an_answer_is_none(broker, answer):
    with cut_off(answer) as port:
        driver = broker.driver(url=f"http://127.0.0.1:{port}", amqp_port=port)
        assert driver.observe().healthy is False
        with pytest.raises(TransientError):
            driver.counts("orders")


def test_what_hangs_is_down_after_its_time(broker, monkeypatch):
    monkeypatch.setattr(management, "READ_SECONDS", 0.2)
    monkeypatch.setattr(link, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        port = silent.getsockname()[1]
        driver = broker.driver(url=f"http://127.0.0.1:{port}", amqp_port=port)
        assert driver.observe().healthy is False
        with pytest.raises(TransientError):
            driver.counts("orders")


@pytest.mark.parametrize(
    "facts",
    [
        *({"url": "amqp://x"}, {"url": "http://u:p@x"}, {"user": "a b"}, {"vhost": ""}, {"vhost": "a\nb"}),
        *({"amqp_port": "5672"}, {"amqp_host": "-x"}, {"amqp_tls": 1}, {"ca": "relative"}),
    ],
)
def test_odd_facts_are_refused(facts):
    with pytest.raises(InvalidInput):
        RabbitMQ({"url": "http://10.0.0.7:15672", "user": "portal", "password": "env:X", **facts}, SecretStore())


@pytest.mark.parametrize("name", [".", ".."])
def test_names_that_cannot_be_quoted_are_refused(broker, name):
    """The broker would take `queues/vhost/..` for the list of all queues."""
    for act, given in (
        (PurgeQueue(), {"queue": name, "confirm": name}),
        (MoveMessages(), {"queue": name}),
        (MoveMessages(), {"queue": "orders", "to": name}),
        (PauseConsumers(), {"queue": name}),
        (ResumeConsumers(), {"queue": name}),
    ):
        with pytest.raises(InvalidInput):
            act.parse(given)
    with pytest.raises(InvalidInput):
        broker.driver().queue(name)


# Purging


def test_a_purge_counts_and_is_not_repeated_on_what_came_later(broker):
    broker.queue("flood")
    broker.publish("flood", *map(str, range(50)))
    act, driver, params, before = begun(PurgeQueue(), broker.driver(), {"queue": "flood", "confirm": "flood"})
    assert before["messages"] == 50
    assert act.do(driver, params, before, call()) == {"purged": 50}
    broker.publish("flood", "fresh")
    assert act.done(driver, params, before) is True
    assert act.do(driver, params, before, call()) == {"purged": 50}
    assert broker.ready("flood") == 1
    again = act.before(driver, params)
    assert act.done(driver, params, again) is False
    assert act.do(driver, params, again, call()) == {"purged": 1}


def test_a_purge_needs_the_name_twice_and_a_claim(broker):
    with pytest.raises(InvalidInput, match="not repeated"):
        PurgeQueue().parse({"queue": "flood", "confirm": "floods"})
    broker.queue("claimed")
    broker.publish("claimed", "one")
    act, driver, params, before = begun(PurgeQueue(), broker.driver(), {"queue": "claimed", "confirm": "claimed"})
    for allowed in (0, 1):
        asked = iter([True] * allowed + [False])
        with pytest.raises(StaleFence):
            act.do(driver, params, before, Call("t", alive=lambda: next(asked)))  # noqa: B023 (asked at once)
    assert broker.ready("claimed") == 1


# Moving


def test_dead_letters_go_back_to_where_they_died_as_they_were(broker):
    """Properties and headers stay, but for `user_id`, which the broker refuses from another account."""
    kept = {"application_headers": {"x-shop": "7"}, "priority": 3, "delivery_mode": 2}
    broker.dead("one", "all.dead", "a", "b", user_id="portal", **kept)
    broker.dead("two", "all.dead", "c", content_encoding="utf-8", content_type="text/plain", correlation_id="k")
    mover = broker.driver(user="mover")
    broker.account("mover", tags="administrator")
    told = []
    act, driver, params, before = begun(MoveMessages(), mover, {"queue": "all.dead"})
    result = act.do(driver, params, before, Call("t", progress=lambda *both: told.append(both)))
    assert (result, told[-1], broker.ready("all.dead")) == ({"moved": 3, "left": {}}, (3, 3), 0)
    one, two = broker.drained("one"), broker.drained("two")
    assert ([message.body for message in one], [message.body for message in two]) == (["a", "b"], ["c"])
    assert (one[0].properties["priority"], one[0].properties["delivery_mode"]) == (3, 2)
    assert (two[0].properties["correlation_id"], two[0].properties["content_type"]) == ("k", "text/plain")
    assert one[0].properties["application_headers"]["x-shop"] == "7"
    broker.ask("DELETE", "users", "mover")


class Died(BaseException):
    """The worker is no more."""


@pytest.mark.parametrize("last", ["take", "give", "forget"])
@pytest.mark.parametrize("instant", ["before", "after"])
def test_no_message_is_lost_wherever_the_worker_dies(broker, monkeypatch, last, instant):
    """It dies at its third message, just before or just after a step; a second worker finishes the run."""
    source, target = f"{last}.{instant}.dead", f"{last}.{instant}"
    broker.dead(target, source, *"abcdef")
    step, count = getattr(Mover, last), [0]

    def dying(*arguments):
        count[0] += 1
        if count[0] == 3 and instant == "before":
            raise Died
        result = step(*arguments)
        if count[0] == 3:
            raise Died
        return result

    monkeypatch.setattr(Mover, last, dying)
    act, driver, params, before = begun(MoveMessages(), broker.driver(), {"queue": source})
    with pytest.raises(Died):
        act.do(driver, params, before, call())
    monkeypatch.undo()
    assert act.done(driver, params, before) is False
    until(lambda: broker.ready(source) >= 3)
    act.do(driver, params, before, call())
    moved = Counter(message.body for message in broker.drained(target))
    twice = 1 if (last, instant) in (("give", "after"), ("forget", "before")) else 0
    assert (set(moved), moved.total(), broker.ready(source)) == (set("abcdef"), 6 + twice, 0)
    assert act.done(driver, params, before) is True


_WORKER = """
import sys
from drivers.acts import Call
from drivers.rabbitmq import RabbitMQ, messages
from drivers.secret import SecretStore
import json
facts, given, before = map(json.loads, sys.argv[1:])
messages.BATCH = 1
act = messages.MoveMessages()
act.do(RabbitMQ(facts, SecretStore()), act.parse(given), before, Call("t", progress=lambda *n: print(*n, flush=True)))
"""


def test_a_worker_killed_with_sigkill_loses_nothing(broker):
    bodies = [str(number) for number in range(300)]
    broker.dead("killed", "killed.dead", *bodies)
    act, driver, params, before = begun(MoveMessages(), broker.driver(), {"queue": "killed.dead"})
    words = [json.dumps(each) for each in (dict(driver.facts), {"queue": "killed.dead"}, before)]
    root = str(Path(__file__).parents[2])
    for after in (20, 60):
        child = subprocess.Popen(
            [sys.executable, "-c", _WORKER, *words], stdout=subprocess.PIPE, text=True, cwd=root, env={**os.environ}
        )
        for _, _line in zip(range(after), child.stdout, strict=False):
            pass
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        until(lambda: broker.ready("killed") + broker.ready("killed.dead") >= 300)
    assert broker.ready("killed.dead") > 0
    act.do(driver, params, before, call())
    moved = Counter(message.body for message in broker.drained("killed"))
    assert (set(moved), broker.ready("killed.dead")) == (set(bodies), 0)
    assert 300 <= moved.total() <= 302


def test_a_message_that_fails_again_is_left_and_does_not_go_round(broker):
    """The first worker dies; the consumer refuses what it gets; the second worker leaves what has come back."""
    broker.dead("poison", "poison.dead", *"abcd")
    act, driver, params, before = begun(MoveMessages(), broker.driver(), {"queue": "poison.dead"})
    asked, lines = iter([True] * 3 + [False]), []
    with pytest.raises(StaleFence):
        act.do(driver, params, before, Call("t", alive=lambda: next(asked)))
    with broker.channel() as channel:
        while message := channel.basic_get("poison"):
            channel.basic_reject(message.delivery_info["delivery_tag"], requeue=False)
    until(lambda: broker.ready("poison.dead") == 4)
    result = act.do(driver, params, before, Call("t", log=lines.append))
    assert result == {"moved": 2, "left": {"failed again": 2}}
    assert lines[-1] == "left where they are: 2 failed again"
    assert [message.body for message in broker.drained("poison")] == ["c", "d"]
    until(lambda: broker.ready("poison.dead") == 2)
    assert act.done(driver, params, before) is True
    another = begun(MoveMessages(), driver, {"queue": "poison.dead"})
    assert another[0].do(*another[1:], call()) == {"moved": 2, "left": {}}


def test_what_has_no_way_back_stays_and_what_has_goes(broker):
    broker.dead("gone", "mixed.dead", "a", "b")
    broker.dead("here", "mixed.dead", "c")
    broker.publish("mixed.dead", "d")
    broker.ask("DELETE", "queues", PLACE, "gone")
    act, driver, params, before = begun(MoveMessages(), broker.driver(), {"queue": "mixed.dead"})
    result = act.do(driver, params, before, call())
    assert result == {"moved": 1, "left": {"for gone, which does not exist": 2, "without a queue of origin": 1}}
    until(lambda: broker.ready("mixed.dead") == 3)
    assert [message.body for message in broker.drained("here")] == ["c"]
    act, driver, params, before = begun(MoveMessages(), broker.driver(), {"queue": "mixed.dead"})
    with pytest.raises(PermanentError, match="no message could be moved: 2 for gone"):
        act.do(driver, params, before, call())
    until(lambda: broker.ready("mixed.dead") == 3)
    named = begun(MoveMessages(), broker.driver(), {"queue": "mixed.dead", "to": "here"})
    assert named[0].do(*named[1:], call()) == {"moved": 3, "left": {}}


def test_a_queue_that_takes_no_more_is_asked_again(broker):
    broker.queue("full", **{"x-max-length": 2, "x-overflow": "reject-publish"})
    broker.queue("full.dead")
    broker.publish("full.dead", *"abcd")
    act, driver, params, before = begun(MoveMessages(), broker.driver(), {"queue": "full.dead", "to": "full"})
    with pytest.raises(TransientError, match="takes no more"):
        act.do(driver, params, before, call())
    until(lambda: broker.ready("full") + broker.ready("full.dead") == 4)
    assert broker.ready("full") >= 2


def test_the_confirmation_of_a_returned_message_is_not_taken_for_the_next_one(broker):
    """First a message without a queue, then one whose queue is full: the second must not be thought safe."""
    broker.queue("brim", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    for origin, body in (("vanished", "lost"), ("brim", "kept")):
        deaths = [{"queue": origin, "exchange": "", "reason": "rejected", "count": 1, "routing-keys": [origin]}]
        broker.queue("brim.dead")
        broker.publish("brim.dead", body, application_headers={"x-death": deaths})
    broker.publish("brim", "first")
    act, driver, params, before = begun(MoveMessages(), broker.driver(), {"queue": "brim.dead"})
    with pytest.raises(TransientError, match="takes no more"):
        act.do(driver, params, before, call())
    until(lambda: broker.ready("brim.dead") == 2)


def test_a_moved_message_goes_nowhere_else_and_keeps_its_bytes(broker):
    """`CC` would route copies elsewhere; a library that decodes the text would encode it in another way."""
    for name in ("bytes", "bytes.dead", "copies"):
        broker.queue(name)
    broker.publish("bytes.dead", b"+AGE-", content_encoding="utf-7", application_headers={"CC": ["copies"], "n": 1})
    broker.drained("copies")
    act, driver, params, before = begun(MoveMessages(), broker.driver(), {"queue": "bytes.dead", "to": "bytes"})
    assert act.do(driver, params, before, call())["moved"] == 1
    with broker.channel() as channel:
        channel.auto_decode = False
        message = channel.basic_get("bytes", no_ack=True)
    assert (bytes(message.body), message.properties["application_headers"]["n"]) == (b"+AGE-", 1)
    assert broker.ready("copies") == 0


def test_a_move_is_declined_where_looking_would_drop_messages(broker):
    broker.queue("bin")
    broker.queue("quorum.dead", **{"x-queue-type": "quorum", "x-delivery-limit": 2})
    assert unmet(MoveMessages(), broker.driver(), {"queue": "quorum.dead"}) == ["the limit is 2"]
    assert unmet(MoveMessages(), broker.driver(), {"queue": "bin", "to": "none"}) == ["there is no such queue"]
    with pytest.raises(InvalidInput, match="in that queue already"):
        MoveMessages().parse({"queue": "bin", "to": "bin"})
    broker.ask("DELETE", "queues", PLACE, "quorum.dead")


# Pausing


def test_a_paused_queue_delivers_nothing_and_loses_nothing_under_load(broker):
    """A publisher that waits for confirmations goes on all the time; a consumer works, is refused, and works again."""
    broker.queue("load")
    stop, sent = threading.Event(), []

    def send():
        with broker.channel() as channel:
            while not stop.is_set():
                channel.basic_publish(amqp.Message(str(len(sent))), routing_key="load", mandatory=True)
                sent.append(str(len(sent)))
                stop.wait(0.005)

    publisher = threading.Thread(target=send)
    with Application(broker, "load") as consumer:
        publisher.start()
        until(lambda: len(consumer.worked) > 20)
        act, driver, params, before = begun(PauseConsumers(), broker.driver(), {"queue": "load"})
        assert (before["readers"], before["consumers"]) == (["shop"], 1)
        assert act.do(driver, params, before, call()) == {"refused": ["shop"]}
        worked = len(consumer.worked)
        mark, refused = len(sent), consumer.refused
        until(lambda: len(sent) > mark + 50 and consumer.refused > refused + 2)
        assert (len(consumer.worked), act.done(driver, params, before)) == (worked, True)
        assert driver.observe().facts["paused"] == ["load"]
        assert act.undo(driver, params, before, call()) == {"admitted": ["shop"]}
        until(lambda: len(consumer.worked) > worked + 50)
        stop.set()
        publisher.join()
        until(lambda: set(consumer.worked) == set(sent))
    assert broker.rights() == {"portal": ".*", "shop": ".*"}


@pytest.mark.parametrize("name", ["plain", "a.b", "a|b", "(x)", "\\z", "[a]", "ä ö", "^$", "-rf", "a)(?:b"])
def test_only_the_named_queue_is_refused(broker, name):
    """The broker's own expression engine decides, on names that mean something to it."""
    others = [name + "x", "x" + name, "neighbour"]
    for queue in (name, *others):
        broker.queue(queue)
    act, driver, params, before = begun(PauseConsumers(), broker.driver(), {"queue": name})
    act.do(driver, params, before, call())

    def readable(queue):
        try:
            with broker.channel("shop") as channel:
                channel.basic_get(queue)
        except AccessRefused:
            return False
        return True

    assert [readable(queue) for queue in (name, *others)] == [False, True, True, True]
    act.undo(driver, params, before, call())
    assert readable(name)
    assert broker.rights() == {"portal": ".*", "shop": ".*"}
    for queue in (name, *others):
        broker.ask("DELETE", "queues", PLACE, queue)


CHOSEN = [".*", "^(orders|returns)$", "shop", "^shop\\.(?!secret)", "(?i)SHOP", "a|^b$", "[()]+", ""]


@pytest.mark.parametrize("chosen", CHOSEN)
def test_what_was_chosen_comes_back_exactly(chosen):
    guard = Guard.parse(chosen)
    assert guard == Guard(chosen)
    both = Guard.parse(Guard.parse(guard.without("a)b\\z").expression).without("orders").expression)
    assert both == Guard(chosen, frozenset({"a)b\\z", "orders"}))
    assert Guard.parse(both.again("orders").expression).again("a)b\\z").expression == chosen


def test_two_paused_queues_are_let_in_one_by_one_and_limits_stay(broker):
    broker.account("shop", "^(one|two)\\.q$")
    for name in ("one.q", "two.q", "three.q"):
        broker.queue(name)
    driver = broker.driver()
    for name in ("one.q", "two.q"):
        act = PauseConsumers()
        act.do(driver, params := act.parse({"queue": name}), act.before(driver, params), call())
    assert driver.observe().facts["paused"] == ["one.q", "two.q"]
    act, driver, params, before = begun(ResumeConsumers(), driver, {"queue": "one.q"})
    assert (before["refused"], act.do(driver, params, before, call())) == (["shop"], {"admitted": ["shop"]})
    with broker.channel("shop") as channel:
        assert channel.basic_get("one.q") is None
    for name in ("two.q", "three.q"):
        with broker.channel("shop") as channel, pytest.raises(AccessRefused):
            channel.basic_get(name)
    assert act.undo(driver, params, before, call()) == {"refused": ["shop"]}
    assert driver.observe().facts["paused"] == ["one.q", "two.q"]
    for name in ("one.q", "two.q"):
        resume = begun(ResumeConsumers(), driver, {"queue": name})
        resume[0].do(*resume[1:], call())
    assert broker.rights()["shop"] == "^(one|two)\\.q$"
    broker.account("shop")


def test_a_pause_that_was_killed_is_finished_by_another_worker(broker):
    broker.queue("halfway")
    with Application(broker, "halfway"):
        until(lambda: broker.driver().counts("halfway")[1] == 1)
        act, driver, params, before = begun(PauseConsumers(), broker.driver(), {"queue": "halfway"})
        asked = iter([True, False])
        with pytest.raises(StaleFence):
            act.do(driver, params, before, Call("t", alive=lambda: next(asked)))
        assert act.done(driver, params, before) is False
        assert unmet(act, driver, {"queue": "halfway"}) == []
        act.do(driver, params, before, call())
        assert act.done(driver, params, before) is True
        act.undo(driver, params, before, call())
        until(lambda: driver.counts("halfway")[1] == 1)


def test_the_portals_own_account_cannot_be_refused(broker):
    broker.queue("own")
    with Application(broker, "own", user="portal"):
        seen = until(lambda: unmet(PauseConsumers(), broker.driver(), {"queue": "own"}))
    assert seen == ["portal does"]


# Policies


def test_a_policy_counts_and_the_former_one_comes_back(broker):
    broker.queue("limited")
    given = {"name": "cap", "pattern": "^limited$", "max_length": 3, "overflow": "reject-publish", "priority": 5}
    driver = broker.driver()
    first = begun(SetPolicy(), driver, given)
    assert first[3] == {"policy": None}
    first[0].do(*first[1:], call())
    second = begun(SetPolicy(), driver, {**given, "max_length": 9})
    second[0].do(*second[1:], call())
    assert until(lambda: driver.queue("limited").get("effective_policy_definition"))["max-length"] == 9
    assert second[0].undo(*second[1:], call())["policy"]["definition"] == {
        "max-length": 3,
        "overflow": "reject-publish",
    }
    assert first[0].undo(*first[1:], call()) == {"policy": None}


def test_a_policy_that_would_drop_messages_or_leads_nowhere_is_declined(broker):
    broker.queue("long")
    broker.publish("long", *map(str, range(5)))
    driver = broker.driver()
    dropping = {"name": "cap", "pattern": "^long", "max_length": 3, "overflow": "drop-head"}
    assert until(lambda: unmet(SetPolicy(), driver, dropping)) == ["long holds 5"]
    assert unmet(SetPolicy(), driver, {**dropping, "max_length": 5}) == []
    nowhere = {"name": "cap", "pattern": "x", "dead_letter_exchange": "nowhere"}
    assert unmet(SetPolicy(), driver, nowhere) == ["there is none"]
    with pytest.raises(InvalidInput, match="must limit"):
        SetPolicy().parse({"name": "cap", "pattern": "x"})
    act, driver, params, before = begun(SetPolicy(), driver, {"name": "cap", "pattern": "(", "message_ttl_ms": 5})
    with pytest.raises(PermanentError, match="refuses policies"):
        act.do(driver, params, before, call())
    with pytest.raises(InvalidInput, match="regular expression"):
        unmet(act, driver, {**dropping, "pattern": "("})


def test_a_policy_changed_by_somebody_else_is_left(broker):
    driver = broker.driver()
    act, _, params, before = begun(SetPolicy(), driver, {"name": "cap", "pattern": "^x$", "message_ttl_ms": 60_000})
    act.do(driver, params, before, call())
    other = {"pattern": "^y$", "definition": {"max-length": 1}, "priority": 0, "apply-to": "queues"}
    broker.ask("PUT", "policies", PLACE, "cap", content=other)
    assert act.undo(driver, params, before, call()) == {"policy": other}
    remove, _, named, seen = begun(DeletePolicy(), driver, {"name": "cap"})
    remove.do(driver, named, seen, call())
    assert remove.undo(driver, named, seen, call()) == {"policy": other}
    broker.ask("DELETE", "policies", PLACE, "cap")
