"""Text of the edge's configuration, and reading a generation back.

A generation is a folder that holds everything a switch may change: `generation.conf` (its own id) and one
`<service>.conf` per service (the upstream group with both slots). The rest, `nginx.conf`, is static.

Facts used: `weight=0` is refused by nginx, so a slot without traffic is `down`; the default `max_fails=1` would take a
failing slot out and hide its errors from the judge; `zone` makes the round robin exact across workers; upstream
keep-alive needs HTTP/1.1 and an empty Connection header (nginx.org, ngx_http_upstream_module, ngx_http_proxy_module);
idle upstream connections end after 2 s, always by nginx, so that a worker that leaves can wait for them instead of
closing one on which a request is just arriving (such a POST would be answered 502: it may not be sent twice);
`keepalive_min_timeout` (nginx 1.27.4) lets keep-alive clients survive a reload. An `include` whose last letter stands
in brackets is a pattern: unlike a plain name it may match nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers import names
from drivers.errors import PermanentError

UPSTREAM_PREFIX = "edye_"
GENERATION_FILE = "generation.conf"
_SERVER = re.compile(r"server 127\.0\.0\.1:(\d{1,5}) (?:weight=(\d{1,3})|(down)) max_fails=0; # slot ([ab])")
_GENERATION = re.compile(r'default "([A-Za-z0-9._:-]{1,120})"')


@dataclass(frozen=True, slots=True)
class Member:
    """One slot of a service at the edge: its loopback port and its weight (0 = marked down)."""

    slot: str
    port: int
    weight: int

    @property
    def address(self) -> str:
        """As nginx writes it in the access log."""
        return f"127.0.0.1:{self.port}"


def members(ports: Mapping[str, int], weights: Mapping[str, int]) -> list[Member]:
    """Both slots of a service from {"a": port, "b": port} and {"a": weight, "b": weight}; both are validated."""
    checked = names.weights(weights)
    if set(ports) != set(names.SLOTS):
        raise PermanentError("a service needs a port for slot a and for slot b")
    pair = [Member(slot, names.port(ports[slot]), checked[slot]) for slot in names.SLOTS]
    if pair[0].port == pair[1].port:
        raise PermanentError("the slots a and b need different ports")
    return pair


def fragment(service: str, pair: Sequence[Member]) -> str:
    """The upstream group of one service.

    A member that serves alone stands in it twice: nginx asks nobody twice, so a request that met a worker on its way
    out would be answered 502 although the worker beside it, at the same address, is well.
    """
    group = UPSTREAM_PREFIX + names.name(service, "service")
    lines = [
        f"    server {member.address} {f'weight={member.weight}' if member.weight else 'down'} max_fails=0;"
        f" # slot {member.slot}"
        for member in pair
    ]
    serving = [member for member in pair if member.weight]
    if len(serving) == 1:
        lines.append(f"    server {serving[0].address} backup max_fails=0; # a second try")
    return "\n".join(
        [
            f"upstream {group} {{",
            f"    zone {group} 64k;",
            *lines,
            "    keepalive 16;",
            "    keepalive_timeout 2s;",
            "}",
            "",
        ]
    )


def parse_fragment(text: str) -> list[Member]:
    """The two members of a fragment; `PermanentError` when somebody has changed it into something else."""
    found = [Member(slot, int(port), 0 if down else int(weight)) for port, weight, down, slot in _SERVER.findall(text)]
    if [member.slot for member in found] != list(names.SLOTS):
        raise PermanentError("an upstream fragment of the live generation does not hold the slots a and b")
    return found


def generation_conf(generation: str) -> str:
    """The variable that carries the generation's id into headers, log and proof."""
    return f'map $host $edge_generation {{ default "{generation}"; }}\n'


def parse_generation(text: str) -> str:
    """The id inside a `generation.conf`."""
    found = _GENERATION.search(text)
    if not found:
        raise PermanentError("the live generation does not state its id")
    return found[1]


LOG_FORMAT = """    log_format edge escape=json '{"time":"$time_iso8601","msec":$msec,"service":"$edge_service",'
        '"generation":"$edge_generation","request_id":"$edge_request_id","method":"$request_method","uri":"$uri",'
        '"status":$status,"request_time":$request_time,"bytes":$bytes_sent,"upstream_addr":"$upstream_addr",'
        '"upstream_status":"$upstream_status","upstream_response_time":"$upstream_response_time"}';"""


def page_include(service: str) -> str:
    """The line that puts a service's maintenance page into its location while there is one."""
    return f"include live/{service}.locatio[n];"


FRAGMENTS_INCLUDE = "include live/*.fragment;"


def location(service: str, cached: bool) -> str:
    """The path of one service; only idempotent requests may be tried on the other slot (nginx's own rule)."""
    return f"""
        location /{service}/ {{
            set $edge_service "{service}";
            {page_include(service)}{CACHED if cached else ""}
            proxy_pass http://{UPSTREAM_PREFIX}{service}/;
        }}
"""


PROXYING = """    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    proxy_set_header X-Request-ID $edge_request_id;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_connect_timeout 2s;
    proxy_send_timeout 15s;
    proxy_read_timeout 30s;
    proxy_next_upstream error timeout;
    proxy_next_upstream_tries 2;
    proxy_next_upstream_timeout 10s;
"""
CACHED = """
            proxy_cache edge;
            proxy_cache_key "$request_uri";"""


def static_conf(
    prefix: Path,
    port: int,
    services: Iterable[str],
    user: str | None,
    daemon: bool,
    cache: Path | None = None,
    *,
    keeps_alive: bool = True,
) -> str:
    """`nginx.conf`: everything that a switch never touches. With `cache`, answers are kept there as they allow it.

    `keeps_alive`: this nginx knows `keepalive_min_timeout`; an older one may lose requests of kept connections in a
    reload.
    """
    survives = "    keepalive_min_timeout 2s;\n" if keeps_alive else ""
    identity = f"user {user};\n" if user else ""
    locations = "".join(location(names.name(service, "service"), cache is not None) for service in services)
    zone = (
        f'    proxy_cache_path "{cache}" levels=1:2 keys_zone=edge:1m max_size=256m use_temp_path=off;\n'
        if cache
        else ""
    )
    return f"""# Written by the nginx driver; changes are overwritten. Traffic weights live in live/*.conf.
{identity}daemon {"on" if daemon else "off"};
worker_processes 2;
worker_shutdown_timeout 30s;
pid "{prefix}/nginx.pid";
error_log "{prefix}/logs/error.log" notice;

events {{
    worker_connections 1024;
}}

http {{
    client_body_temp_path "{prefix}/temp/body";
    proxy_temp_path "{prefix}/temp/proxy";
    fastcgi_temp_path "{prefix}/temp/fastcgi";
    uwsgi_temp_path "{prefix}/temp/uwsgi";
    scgi_temp_path "{prefix}/temp/scgi";
    # Bodies stay in memory, so a worker that runs as another user needs no folder of this tree.
    client_max_body_size 1m;
    client_body_buffer_size 1m;
    proxy_max_temp_file_size 0;

    server_tokens off;
    default_type application/octet-stream;
    keepalive_timeout 65s;
{survives}    keepalive_requests 10000;

    include live/*.conf;

    map $http_x_request_id $edge_request_id {{
        default $request_id;
        "~^[A-Za-z0-9-]{{8,64}}$" $http_x_request_id;
    }}
{LOG_FORMAT}
{zone}    access_log "{prefix}/logs/access.json" edge;

{PROXYING}
    server {{
        listen 127.0.0.1:{port};
        server_name _;
        set $edge_service "-";
        add_header X-Edge-Generation $edge_generation always;
        add_header X-Request-ID $edge_request_id always;
        error_page 502 503 504 @unavailable;
        {FRAGMENTS_INCLUDE}

        location = /__edge/generation {{
            access_log off;
            default_type text/plain;
            return 200 "$edge_generation\\n";
        }}

        location @unavailable {{
            default_type application/problem+json;
            return 503 '{{"title":"The service does not answer","service":"$edge_service"}}\\n';
        }}
{locations}
        location / {{
            default_type application/problem+json;
            return 404 '{{"title":"No service has this path"}}\\n';
        }}
    }}
}}
"""
