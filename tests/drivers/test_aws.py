"""The AWS drivers: by contract against moto and in memory, and what the contract cannot know."""

from __future__ import annotations

import base64
import json
from contextlib import contextmanager

import pytest
from botocore.stub import Stubber

from drivers import aws
from drivers.acts import Call
from drivers.aws.errors import Missing
from drivers.aws.records import answers
from drivers.commands import Finished
from drivers.errors import DriverError, InvalidInput, PermanentError, StaleFence, TransientError
from drivers.secret import SecretStore
from tests.drivers import aws_moto as moto_worlds
from tests.drivers.contract import Contract
from tests.drivers.daemons import stub
from tests.drivers.simulated import aws as memory
from tests.drivers.simulated.aws import worlds
from tests.drivers.simulated.aws.client import Client
from tests.drivers.simulated.aws.client import refuse as refusal


@pytest.fixture(scope="session")
def moto(ground):
    """The facts of a connection to the one moto server of this run."""
    with moto_worlds.serving(ground) as facts:
        yield facts


def both(kind, at_moto):
    """The two worlds of a driver."""

    @contextmanager
    def served(request):
        yield at_moto(request.getfixturevalue("moto"))

    @contextmanager
    def remembered(_):
        yield memory.SIMULATED[kind]()

    return {"moto": served, "simulated": remembered}


class TestEc2(Contract):
    declared = aws.Ec2Instance
    worlds = both("aws-ec2", moto_worlds.MotoEc2)


class TestElbv2(Contract):
    declared = aws.TargetGroup
    worlds = both("aws-elbv2", moto_worlds.MotoElbv2)


class TestRds(Contract):
    declared = aws.RdsInstance
    worlds = both("aws-rds", moto_worlds.MotoRds)


class TestAutoScaling(Contract):
    declared = aws.AutoScalingGroup
    worlds = both("aws-autoscaling", moto_worlds.MotoAutoScaling)


class TestCloudFront(Contract):
    declared = aws.Distribution
    worlds = both("aws-cloudfront", moto_worlds.MotoCloudFront)


class TestRoute53(Contract):
    declared = aws.HostedZone
    worlds = both("aws-route53", moto_worlds.MotoRoute53)


class TestSqs(Contract):
    declared = aws.SqsQueue
    worlds = both("aws-sqs", moto_worlds.MotoSqs)


class Killed(Exception):
    """The worker dies."""


EVERY_ACT = [
    pytest.param(kind, act, id=f"{kind}-{act.name}")
    for kind, world in memory.SIMULATED.items()
    for act in world.driver_class.acts
]
FACTS = {"region": "us-east-1"}


def opened(kind, act):
    """A fresh world in which the act has something to do, with the parameters and what was seen before."""
    world = memory.SIMULATED[kind]()
    world.prepare(act)
    params = act.parse(world.examples[act.name])
    return world, params, act.before(world.driver(), params)


@pytest.mark.parametrize(("kind", "act"), EVERY_ACT)
def test_a_worker_that_lost_its_claim_does_nothing(kind, act):
    world, params, before = opened(kind, act)
    original = world.picture()
    with pytest.raises(StaleFence):
        act.do(world.driver(), params, before, Call("op:1", alive=lambda: False))
    assert world.picture() == original


@pytest.mark.parametrize(("kind", "act"), EVERY_ACT)
def test_a_worker_killed_anywhere_is_followed_by_one_that_ends_the_same(kind, act):
    """It dies just before each of its effects and looks; whoever comes after makes the same world of it."""
    undisturbed, params, before = opened(kind, act)
    steps = []
    act.do(undisturbed.driver(), params, before, Call("op:1", alive=lambda: not steps.append(1)))
    for deadly in range(len(steps)):
        world, params, before = opened(kind, act)
        left = [None] * deadly

        def alive(left=left):
            if not left:
                raise Killed
            return not left.pop()

        with pytest.raises(Killed):
            act.do(world.driver(), params, before, Call("op:1", alive=alive))
        act.do(world.driver(), params, before, Call("op:1"))
        assert act.done(world.driver(), params, before) is True
        assert world.picture() == undisturbed.picture()


@pytest.fixture
def keys(monkeypatch):
    """References to keys that open nothing."""
    monkeypatch.setenv("AWS_TEST", "testing")
    return {**FACTS, "access_key": "env:AWS_TEST", "secret_key": "env:AWS_TEST"}


def stubbed(keys, code, message, status):
    """A queue whose AWS answers one refusal, through botocore itself."""
    queue = aws.SqsQueue({**keys, "queue_url": "https://sqs.example/1/jobs"}, SecretStore())
    stubber = Stubber(queue.api)
    stubber.add_client_error("get_queue_attributes", code, message, status)
    stubber.activate()
    return queue


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("Throttling", 400, TransientError),
        ("RequestLimitExceeded", 503, TransientError),
        ("Whatever", 500, TransientError),
        ("Whatever", 429, TransientError),
        ("AccessDenied", 403, PermanentError),
        ("InvalidClientTokenId", 403, PermanentError),
        ("ExpiredToken", 403, TransientError),
        ("InvalidParameterValue", 400, PermanentError),
        ("QueueDoesNotExist", 400, Missing),
    ],
)
def test_what_a_refusal_means(keys, code, status, error):
    with pytest.raises(DriverError) as caught:
        stubbed(keys, code, "no", status).attributes()
    assert type(caught.value) is error


def test_the_signed_request_in_a_refusal_is_not_passed_on(keys):
    with pytest.raises(PermanentError) as caught:
        stubbed(keys, "SignatureDoesNotMatch", "Canonical String: x-amz-security-token:FwoGZXIv", 403).observe()
    assert str(caught.value) == "SQS in us-east-1 refuses these credentials: SignatureDoesNotMatch"


def at(endpoint, keys):
    return aws.Ec2Instance({**keys, "endpoint_url": endpoint, "instance_id": "i-0123456789abcdef0"}, SecretStore())


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (200, b"<html>not what was asked for</html>", "half an answer"),
        (200, b"<DescribeInstancesResponse><reservationSet><item><inst", "half an answer"),
        (503, b"busy", "half an answer"),
    ],
)
def test_a_half_answer_is_down_and_asked_for_only_once(keys, status, body, error):
    with stub(body) as server:
        server.status = status
        driver, asked = at(f"http://127.0.0.1:{server.server_port}", keys), []
        driver.api.meta.events.register("before-send.ec2", lambda **_: asked.append(1))
        seen = driver.observe()
    assert (seen.healthy, error in seen.facts["error"], asked) == (False, True, [1])


def test_a_service_that_hangs_is_down(keys, monkeypatch):
    monkeypatch.setattr("drivers.aws.session.READ_SECONDS", 0.1)
    with stub() as server:
        server.delay = 0.5
        seen = at(f"http://127.0.0.1:{server.server_port}", keys).observe()
    assert (seen.healthy, "does not answer" in seen.facts["error"]) == (False, True)


def test_no_credentials_at_all_is_told(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    driver = aws.Ec2Instance({**FACTS, "instance_id": "i-0123456789abcdef0"}, SecretStore())
    with pytest.raises(PermanentError, match="Unable to locate credentials"):
        driver.observe()


def test_a_role_is_assumed(moto):
    role = "arn:aws:iam::123456789012:role/edye-portal"
    driver = aws.Ec2Instance({**moto, "instance_id": "i-0123456789abcdef0", "role_arn": role}, SecretStore())
    assert driver.client("sts").get_caller_identity()["Arn"].endswith(":assumed-role/edye-portal/edye-portal")


@pytest.mark.parametrize(
    ("kind", "fact", "name"),
    [
        (aws.Ec2Instance, "instance_id", "i-0123456789abcdef0"),
        (aws.TargetGroup, "target_group_arn", memory.GROUPS[0]),
        (aws.RdsInstance, "db_instance", "nobody"),
        (aws.AutoScalingGroup, "group", "nobody"),
        (aws.Distribution, "distribution_id", "E0000000000000"),
        (aws.HostedZone, "zone_id", "Z0000000000000"),
    ],
)
def test_what_is_not_there_is_a_finding(moto, kind, fact, name):
    seen = kind({**moto, fact: name}, SecretStore()).observe()
    assert (seen.healthy, seen.facts["exists"]) == (False, False)


def test_a_queue_that_is_not_there_is_a_finding(moto):
    url = f"{moto['endpoint_url']}/123456789012/nobody"
    seen = aws.SqsQueue({**moto, "queue_url": url}, SecretStore()).observe()
    assert (seen.healthy, seen.facts["exists"]) == (False, False)


@pytest.mark.parametrize(
    ("kind", "facts"),
    [
        (aws.Ec2Instance, {"instance_id": "i-1;reboot"}),
        (aws.Ec2Instance, {"instance_id": "i-0123456789abcdef0\n"}),
        (aws.Ec2Instance, {"instance_id": "i-0123456789abcdef0", "access_key": "env:X"}),
        (aws.Ec2Instance, {"instance_id": "i-0123456789abcdef0", "role_arn": "arn:aws:iam::1:role/x"}),
        (aws.Ec2Instance, {"instance_id": "i-0123456789abcdef0", "endpoint_url": "http://user:pw@x"}),
        (aws.TargetGroup, {"target_group_arn": "arn:aws:s3:::bucket"}),
        (aws.RdsInstance, {"db_instance": "a--b"}),
        (aws.AutoScalingGroup, {"group": "-x"}),
        (aws.Distribution, {"distribution_id": "../x"}),
        (aws.HostedZone, {"zone_id": "/hostedzone/Z1"}),
        (aws.SqsQueue, {"queue_url": "file:///etc/passwd"}),
        (aws.SqsQueue, {}),
    ],
)
def test_odd_facts_are_refused(kind, facts):
    with pytest.raises(InvalidInput):
        kind({**FACTS, **facts}, SecretStore())


def test_every_kind_says_that_it_is_simulated():
    said = {world.driver_class.simulated for world in memory.SIMULATED.values()}
    assert said == {"Tried only against moto, a simulation of AWS."}


def act_of(world, name):
    return next(act for act in world.driver_class.acts if act.name == name)


def failing(world, name, /, **given):
    """The conditions of an act that do not hold."""
    act = act_of(world, name)
    params = act.parse({**world.examples[name], **given})
    return [each.text for each in act.conditions(world.driver(), params) if not each.holds]


def run(world, name, /, **given):
    """Look and do; what was seen before."""
    act = act_of(world, name)
    params = act.parse({**world.examples[name], **given})
    before = act.before(world.driver(), params)
    act.do(world.driver(), params, before, Call("op:1"))
    return params, before


def test_a_worker_that_dies_between_reboot_and_tag_reboots_twice_and_says_so():
    world = memory.SimulatedEc2()
    act = act_of(world, "reboot")
    params = act.parse({})
    before = act.before(world.driver(), params)
    answers = iter([True, False])
    with pytest.raises(StaleFence):
        act.do(world.driver(), params, before, Call("op:1", alive=lambda: next(answers)))
    assert act.done(world.driver(), params, before) is False
    act.do(world.driver(), params, before, Call("op:1"))
    act.do(world.driver(), params, before, Call("op:1"))
    assert list(world.cloud.reboots.values()) == [2]
    assert "once more" in act.summary


def test_a_replacement_is_like_the_old_one_and_the_old_one_may_go(moto):
    world = moto_worlds.MotoEc2(moto)
    old = world.facts["instance_id"]
    params, before = run(world, "replace", terminate_old=True)
    alive = [one for one in world.picture() if one != old]
    made = max(alive, key=lambda one: world.driver().instance(one)["LaunchTime"])
    kept = ("ImageId", "InstanceType", "SubnetId")
    was, now = world.driver().instance(old), world.driver().instance(made)
    assert (was["State"]["Name"], now["State"]["Name"]) == ("terminated", "running")
    assert [now[key] for key in kept] == [was.get(key, before["like"].get(key)) for key in kept]
    given = world.raw.describe_instance_attribute(InstanceId=made, Attribute="userData")["UserData"]["Value"]
    assert base64.b64decode(given) == b"#!/bin/sh\ntrue\n"
    assert "true" not in json.dumps(before)
    with pytest.raises(PermanentError, match="gone for good"):
        act_of(world, "replace").undo(world.driver(), params, before, Call("op:1"))
    assert world.driver().state() == "terminated"


def test_a_member_of_an_auto_scaling_group_is_neither_stopped_nor_replaced():
    world = memory.SimulatedEc2()
    (instance,) = world.cloud.instances.values()
    instance["Tags"].append({"Key": "aws:autoscaling:groupName", "Value": "web"})
    assert failing(world, "stop") == ["No Auto Scaling group would replace it when it stops"]
    assert failing(world, "replace") == ["It belongs to no Auto Scaling group, which replaces by itself"]
    instance["Tags"].pop()
    world.cloud.protected.add(instance["InstanceId"])
    assert failing(world, "replace", terminate_old=True) == ["It is not protected from termination"]


def test_credentials_that_may_not_are_told_before_anything_is_done():
    world = memory.SimulatedEc2()

    def refuse(**_):
        raise refusal("UnauthorizedOperation", "Encoded authorization failure message: xyz", 403)

    driver = world.driver()
    condition = driver.permitted(refuse)
    assert (condition.holds, condition.seen) == (False, "UnauthorizedOperation")


def test_the_weight_of_a_default_rule_is_set_through_its_listener(moto):
    world = moto_worlds.MotoElbv2(moto)
    params, before = run(world, "set-target-weight", rule=world.default, weight=5)
    group = world.driver()
    assert sorted(group.weights(world.default).values()) == [5, 30]
    act_of(world, "set-target-weight").undo(group, params, before, Call("op:1"))
    assert sorted(group.weights(world.default).values()) == [30, 70]


def test_nobody_is_left_without_a_target():
    world = memory.SimulatedElbv2()
    action = world.cloud.rules[memory.RULE]["Actions"][0]["ForwardConfig"]
    action["TargetGroups"][1]["Weight"] = 0
    assert failing(world, "set-target-weight", weight=0) == ["Some group of the rule keeps a weight above 0"]
    world.cloud.targets[memory.GROUPS[0]][("10.0.0.2", 80)] = "unhealthy"
    assert failing(world, "drain-target") == ["Another target of the group is healthy"]
    assert world.driver().observe().healthy is False
    world.cloud.targets[memory.GROUPS[0]][("10.0.0.1", 80)] = "unhealthy"
    assert failing(world, "set-target-weight") == ["The group has a healthy target, if it is to get traffic"]


def test_an_instance_without_a_standby_is_not_failed_over():
    world = memory.SimulatedRds()
    world.cloud.instance["MultiAZ"] = False
    assert failing(world, "failover") == ["There is a standby in another zone or a reader in the cluster"]


def test_an_old_failover_that_aws_has_forgotten_is_not_taken_for_a_new_one():
    world = memory.SimulatedRds()
    params, _ = run(world, "failover")
    act = act_of(world, "failover")
    before = act.before(world.driver(), params)
    world.cloud.events.clear()
    assert act.done(world.driver(), params, before) is False


def test_a_group_is_not_sent_beyond_its_limits_or_while_it_is_halted():
    world = memory.SimulatedAutoScaling()
    assert failing(world, "set-desired-capacity", capacity=6) == ["6 lies within the group's limits"]
    world.cloud.halted = ["Launch"]
    assert failing(world, "set-desired-capacity") == ["The group may launch and terminate"]


@pytest.mark.parametrize(
    "paths",
    [
        [],
        ["img"],
        ["/a*b"],
        ["/a b"],
        ["/a\n"],
        ["/é"],
        ["/%zz"],
        ["/a?b"],
        ["/;x"],
        ["/" + "a" * 600],
        ["/a"] * 16,
        [5],
    ],
)
def test_paths_that_cloudfront_would_not_take_are_refused(paths):
    with pytest.raises(InvalidInput):
        act_of(memory.SimulatedCloudFront(), "invalidate").parse({"paths": paths})


def test_records_are_not_left_without_an_answer():
    world = memory.SimulatedRoute53()
    world.cloud.records[0]["Weight"] = 0
    text = "Some record keeps a weight above 0 (with none, all are answered alike)"
    assert failing(world, "set-record-weight", weight=0) == [text]
    assert failing(world, "set-failover", primary="10.9.9.9") == ["One of them answers the new primary, and only that"]
    assert failing(world, "switch-record", name="api.edye.example") == ["There is such a record, plain and no alias"]


def test_a_failover_exchanges_answers_and_keeps_the_roles():
    world = memory.SimulatedRoute53()
    run(world, "set-failover")
    found = {one["Failover"]: one for one in world.driver().records("db.edye.example", "A")}
    assert {role: (one["SetIdentifier"], answers(one)) for role, one in found.items()} == {
        "PRIMARY": ("first", ["10.0.1.2"]),
        "SECONDARY": ("second", ["10.0.1.1"]),
    }


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        *(("A", ["::1"]), ("AAAA", ["10.0.0.1"]), ("AAAA", ["2001:db8:0::1"]), ("A", ["300.0.0.1"]), ("A", [])),
        *(("CNAME", ["a.example", "b.example"]), ("CNAME", ["a b"]), ("A", ["10.0.0.1\n"]), ("A", ["$(id)"])),
    ],
)
def test_values_that_are_none_of_the_type_are_refused(kind, values):
    with pytest.raises(InvalidInput):
        act_of(memory.SimulatedRoute53(), "switch-record").parse(
            {"name": "www.edye.example", "type": kind, "values": values}
        )


def test_a_move_that_failed_is_told_and_a_running_one_is_only_watched():
    world = memory.SimulatedSqs()
    act = act_of(world, "redrive")
    params = act.parse({})
    before = act.before(world.driver(), params)
    world.cloud.start_message_move_task(world.cloud.dead_arn, world.cloud.kept["QueueArn"])
    act.do(world.driver(), params, before, Call("op:1"))
    assert len(world.cloud.moves) == 1
    world.cloud.moves[0] |= {"Status": "FAILED", "FailureReason": "AWS.SimpleQueueService.NonExistentQueue"}
    world.cloud.list_message_move_tasks = lambda **_: {"Results": world.cloud.moves}
    with pytest.raises(PermanentError, match="ended as FAILED"):
        act.do(world.driver(), params, before, Call("op:1"))


def test_at_least_one_attribute_is_named_and_no_other_than_the_four():
    act = act_of(memory.SimulatedSqs(), "set-attributes")
    for given in ({}, {"Policy": "{}"}, {"RedrivePolicy": "{}"}, {"DelaySeconds": 901}):
        with pytest.raises(InvalidInput):
            act.parse(given)


SCAN = {"scan": aws.Template("AWS-RunPatchBaseline", {"Operation": "Scan|Install"})}


def test_a_document_is_run_once_for_one_token(moto):
    host = moto_worlds.MotoEc2(moto)
    commands = aws.RunCommand(host.driver(), SCAN)
    for _ in range(2):
        ended = commands.run(host.facts["instance_id"], "scan", {"Operation": "Scan"}, Call("op:7"))
        assert ended.status == 0
    sent = host.other("ssm").list_commands(InstanceId=host.facts["instance_id"])["Commands"]
    assert [(one["DocumentName"], one["Parameters"], one["Comment"]) for one in sent] == [
        ("AWS-RunPatchBaseline", {"Operation": ["Scan"]}, "op:7")
    ]


@pytest.mark.parametrize(
    ("instance", "template", "given"),
    [
        ("i-0123456789abcdef0", "reboot", {}),
        ("i-0123456789abcdef0", "scan", {}),
        ("i-0123456789abcdef0", "scan", {"Operation": "Scan", "commands": "id"}),
        ("i-0123456789abcdef0", "scan", {"Operation": "Scan; id"}),
        ("i-0123456789abcdef0", "scan", {"Operation": "Scan\n"}),
        ("-rf", "scan", {"Operation": "Scan"}),
    ],
)
def test_only_what_is_listed_is_run(instance, template, given):
    with pytest.raises(InvalidInput):
        aws.RunCommand(memory.SimulatedEc2().driver(), SCAN).run(instance, template, given, Call("op:7"))


def test_documents_that_are_a_shell_are_refused_and_so_are_nested_parameters():
    with pytest.raises(InvalidInput, match="as a script"):
        aws.Template("AWS-RunShellScript", {"commands": ".*"})
    with pytest.raises(InvalidInput, match="not a valid note"):
        aws.Template("edye-note", {"note": ".*"}).filled({"note": "{{ssm:secret}}"})


class Ssm:
    """A command that is not known at first, then runs, then ends as `status`."""

    def __init__(self, status):
        self.looks, self.sent = iter([None, "InProgress", status]), 0

    def list_commands(self, **_):
        return {"Commands": []}

    def send_command(self, **_):
        self.sent += 1
        return {"Command": {"CommandId": "c-1"}}

    def get_command_invocation(self, **_):
        status = next(self.looks)
        if status is None:
            raise refusal("InvocationDoesNotExist")
        return {"Status": status, "ResponseCode": 3, "StandardOutputContent": "out", "StandardErrorContent": "bad"}


def test_a_command_that_fails_gives_its_status_and_one_never_delivered_is_an_error():
    def run_to(status):
        driver = worlds.hasty(aws.Ec2Instance, connect=lambda *_: Client(Ssm(status)))
        made = driver({**FACTS, "instance_id": "i-0123456789abcdef0"}, SecretStore())
        return aws.RunCommand(made, SCAN).run("i-0123456789abcdef0", "scan", {"Operation": "Scan"}, Call("op:7"))

    assert run_to("Failed") == Finished(3, "out", "bad")
    with pytest.raises(PermanentError, match="not carried out: Undeliverable"):
        run_to("Undeliverable")
