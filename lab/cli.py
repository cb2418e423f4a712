"""`manage.py lab …`: the command line of the lab."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from lab import breaks, daemon, estate, files, heal, ports, releases, status, supervisor
from lab.errors import LabError
from lab.layout import CELLS, ENVIRONMENTS, SERVICES, Lab


def say(text: str) -> None:
    """Print one line at once, also into a pipe."""
    print(text, flush=True)


def main(argv: Sequence[str]) -> int:
    """Run one command and return its exit status: 0 fine, 1 something is down or failed, 2 wrongly asked."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(Lab.from_environment(), arguments))
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lab: interrupted; what was started keeps running, `lab down` stops it", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="manage.py lab", description="EDYE in miniature: real daemons on loopback.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    up = commands.add_parser("up", help="start what does not run, wait until it is ready")
    up.add_argument("--only", choices=ENVIRONMENTS, help="start this environment alone")
    up.add_argument("--foreground", action="store_true", help="stay, restart what dies, stop it all on Ctrl-C")
    up.add_argument("--base-port", type=int, default=ports.BASE, metavar="PORT", help="first port to try (%(default)s)")
    up.set_defaults(run=_up)
    table = commands.add_parser("status", help="print what runs; exit status 1 when something is down")
    table.add_argument("--json", action="store_true", help="as JSON")
    table.set_defaults(run=_status)
    _add_breaks(commands)
    commands.add_parser("heal", help="undo everything that break did").set_defaults(run=_heal)
    commands.add_parser("down", help="stop everything; data stays").set_defaults(run=_down)
    publish = commands.add_parser("publish", help="build an artifact as a CI server would; prints JSON")
    publish.add_argument("service", metavar="SERVICE", help=", ".join(SERVICES))
    publish.add_argument("version", metavar="VERSION", help="semantic version, such as 1.1.0")
    publish.add_argument("--error-rate", type=float, default=0, metavar="SHARE", help="share of 500 answers, 0 to 1")
    publish.add_argument("--delay-ms", type=int, default=0, metavar="MS", help="added to every answer")
    publish.add_argument("--crash-at-start", action="store_true", help="it never comes up")
    publish.add_argument("--ready-after-ms", type=int, default=0, metavar="MS", help="how long it takes to come up")
    publish.set_defaults(run=_publish)
    return parser


def _add_breaks(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    cells = ", ".join(cell.key for cell in CELLS)
    parser = commands.add_parser("break", help="break something for real")
    what = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    process = what.add_parser("process", help="kill one worker of a service; PM2 starts another")
    process.add_argument("target", metavar="ENV/DC/SERVICE")
    process.set_defaults(run=lambda lab, a: _told(breaks.process(lab, a.target)))
    service = what.add_parser("service", help="make a service answer 500 or slowly")
    service.add_argument("target", metavar="ENV/DC/SERVICE")
    service.add_argument("--errors", type=float, default=0, metavar="SHARE", help="share of 500 answers, 0 to 1")
    service.add_argument("--delay-ms", type=int, default=0, metavar="MS", help="added to every answer")
    service.add_argument("--until-reload", action="store_true", help="a reload of its workers mends it")
    service.set_defaults(
        run=lambda lab, a: _told(
            breaks.service(lab, a.target, errors=a.errors, delay_ms=a.delay_ms, until_reload=a.until_reload)
        )
    )
    nginx = what.add_parser("nginx", help="kill the edge of a data center")
    nginx.add_argument("target", metavar="ENV/DC", help=cells)
    nginx.set_defaults(run=lambda lab, a: _told(breaks.nginx(lab, a.target)))
    what.add_parser("replication", help="cut the cache replica off").set_defaults(
        run=lambda lab, _: _told(breaks.replication(lab))
    )
    cache = what.add_parser("cache", help="fill the cache until it refuses writes")
    cache.add_argument("--fill", action="store_true", required=True)
    cache.add_argument("--environment", choices=ENVIRONMENTS, default="production")
    cache.set_defaults(run=lambda lab, a: _told(breaks.fill_cache(lab, a.environment)))
    what.add_parser("primary", help="kill the cache primary; Sentinel promotes the replica").set_defaults(
        run=lambda lab, _: _told(breaks.primary(lab))
    )
    what.add_parser("database", help="stop the database replica's threads").set_defaults(
        run=lambda lab, _: _told(breaks.database(lab))
    )


def _told(sentence: str) -> int:
    say(sentence)
    return 0


def _up(lab: Lab, arguments: argparse.Namespace) -> int:
    environments = [arguments.only] if arguments.only else ENVIRONMENTS
    if arguments.foreground:
        return supervisor.run(lab, environments, arguments.base_port, say)
    here = estate.prepare(lab, environments, arguments.base_port)
    outcomes = here.up(daemon.COMMAND, say)
    failed = [outcome.name for outcome in outcomes if outcome.problem]
    say(f"lab: {'not ready: ' + ', '.join(failed) if failed else 'ready'}; connections in {lab.connections}")
    return 1 if failed else 0


def _status(lab: Lab, arguments: argparse.Namespace) -> int:
    rows = estate.opened(lab).rows()
    say(status.as_json(rows) if arguments.json else status.table(rows))
    return 0 if status.fine(rows) else 1


def _heal(lab: Lab, _: argparse.Namespace) -> int:
    problems = heal.heal(lab, say)
    return 1 if problems else 0


def _down(lab: Lab, _: argparse.Namespace) -> int:
    supervisor.end(lab, say)
    heal.forget(lab)
    here = estate.everything(lab)
    stopped = here.down({daemon.COMMAND, daemon.SUPERVISOR, ""}) if here else []
    files.write_json(lab.selection, [])
    lab.discard_runtime()
    for name in stopped:
        say(f"stopped {name}")
    say("lab: down")
    return 0


def _publish(lab: Lab, arguments: argparse.Namespace) -> int:
    published = releases.publish(
        lab,
        arguments.service,
        arguments.version,
        error_rate=arguments.error_rate,
        delay_ms=arguments.delay_ms,
        crash_at_start=arguments.crash_at_start,
        ready_after_ms=arguments.ready_after_ms,
    )
    say(json.dumps(published))
    return 0
