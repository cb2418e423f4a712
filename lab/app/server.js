'use strict';
// One EDYE service in miniature. The same file serves all seven; the folder it lies in says which one and which version:
//   <cell>/releases/<service>/<version>/{server.js,release.json}
// SERVICE, SLOT, VERSION and PORT come from outside; only PORT is needed. No dependencies: a release folder is complete by itself.

const fs = require('node:fs');
const http = require('node:http');
const net = require('node:net');
const path = require('node:path');

const release = readJson(path.join(__dirname, 'release.json')) || {};
const version = String(release.version || path.basename(__dirname));
const service = process.env.SERVICE || path.basename(path.dirname(__dirname));
// PM2 hands the process name over as `name` ("api-b"): the slot is known even when nobody sets SLOT.
const slot = process.env.SLOT || (/-([a-z])$/.exec(process.env.name || '') || [])[1] || '';
const worker = process.env.NODE_APP_INSTANCE || '0';
const port = Number(process.env.PORT);
const faultsFile = path.resolve(__dirname, '..', '..', '..', 'faults.json');
const startedAt = Date.now();

// How long idle connections stay open after the stop signal: a proxy that is about to reuse one gets its answer with
// "Connection: close" instead of a reset, which it could not retry for a POST.
const DRAIN_MS = 500;
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

let faults = {};
let draining = false;
const counts = new Map();
const durations = new Map();

// Thrown rather than printed before an exit: PM2 writes an uncaught error into the log before the process ends.
if (release.crash_at_start) throw new Error(`${service} ${version}: told to crash at start`);
if (!Number.isInteger(port) || port < 1 || port > 65535) {
  throw new Error(`${service} ${version}: PORT must be a port number, not "${process.env.PORT}"`);
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return null;
    console.error(`${file}: ${error.message}`);
    return undefined;
  }
}

function loadFaults() {
  const all = readJson(faultsFile);
  // A half-written or broken file changes nothing; a missing one means that there is no fault.
  if (all !== undefined) faults = (all && all[service]) || {};
}

// A fault marked until_restart is gone in every process started after it was set: a reload mends it.
function activeFault() {
  return faults.until_restart && startedAt > Number(faults.since_ms || 0) ? {} : faults;
}

function number(value) {
  const parsed = Number(value);
  return Number.isFinite(parsed) && parsed > 0 ? parsed : 0;
}

// What goes wrong for one request. A fault at run time is an outage: the health check sees it as well. An error rate
// built into a release is a bug in the work itself: the process looks healthy and only its callers notice.
function misfortune(handler) {
  const fault = activeFault();
  const probe = handler === '/version' || handler === '/metrics';
  const work = handler === '/';
  return {
    delay: probe ? 0 : number(fault.delay_ms) + (work ? number(release.delay_ms) : 0),
    fails: !probe && (Math.random() < number(fault.error_rate) || (work && Math.random() < number(release.error_rate))),
  };
}

function observe(handler, method, status, seconds) {
  const key = JSON.stringify([handler, method, String(status)]);
  counts.set(key, (counts.get(key) || 0) + 1);
  let histogram = durations.get(handler);
  if (!histogram) durations.set(handler, (histogram = { buckets: BUCKETS.map(() => 0), sum: 0, count: 0 }));
  BUCKETS.forEach((bound, index) => { if (seconds <= bound) histogram.buckets[index] += 1; });
  histogram.sum += seconds;
  histogram.count += 1;
}

function labels(extra) {
  const all = { service, version, slot, worker, ...extra };
  const escape = (text) => String(text).replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
  return '{' + Object.entries(all).map(([name, value]) => `${name}="${escape(value)}"`).join(',') + '}';
}

// Prometheus text format 0.0.4. Workers of one cluster share a port, so a scrape reaches one of them: the label
// `worker` keeps their counters apart.
function metrics() {
  const lines = [];
  const family = (name, type, help) => lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
  family('http_requests_total', 'counter', 'Requests answered.');
  for (const [key, value] of counts) {
    const [handler, method, status] = JSON.parse(key);
    lines.push(`http_requests_total${labels({ handler, method, status })} ${value}`);
  }
  family('http_request_duration_seconds', 'histogram', 'Time from the request line to the last byte handed over.');
  for (const [handler, { buckets, sum, count }] of durations) {
    BUCKETS.forEach((le, index) => lines.push(`http_request_duration_seconds_bucket${labels({ handler, le })} ${buckets[index]}`));
    lines.push(`http_request_duration_seconds_bucket${labels({ handler, le: '+Inf' })} ${count}`);
    lines.push(`http_request_duration_seconds_sum${labels({ handler })} ${sum}`);
    lines.push(`http_request_duration_seconds_count${labels({ handler })} ${count}`);
  }
  const cpu = process.cpuUsage();
  const memory = process.memoryUsage();
  family('process_resident_memory_bytes', 'gauge', 'Resident memory.');
  lines.push(`process_resident_memory_bytes${labels()} ${memory.rss}`);
  family('nodejs_heap_size_used_bytes', 'gauge', 'Heap in use.');
  lines.push(`nodejs_heap_size_used_bytes${labels()} ${memory.heapUsed}`);
  family('process_cpu_seconds_total', 'counter', 'User and system time.');
  lines.push(`process_cpu_seconds_total${labels()} ${(cpu.user + cpu.system) / 1e6}`);
  family('process_start_time_seconds', 'gauge', 'Start of the process since the epoch.');
  lines.push(`process_start_time_seconds${labels()} ${startedAt / 1000}`);
  family('edye_build_info', 'gauge', 'Always 1; the labels say what runs.');
  lines.push(`edye_build_info${labels({ node: process.version })} 1`);
  return lines.join('\n') + '\n';
}

function answer(handler, request, fails) {
  const about = { service, version, slot, pid: process.pid };
  if (fails) return [500, { ...about, error: 'told to fail' }];
  if (handler === '/healthz') return [200, { ...about, status: 'ok', uptime_seconds: Math.round((Date.now() - startedAt) / 1000) }];
  if (handler === '/version') return [200, about];
  return [200, { ...about, method: request.method, path: request.url }];
}

function handle(request, response) {
  const begin = process.hrtime.bigint();
  const pathname = request.url.split('?', 1)[0];
  const handler = ['/healthz', '/version', '/metrics'].includes(pathname) ? pathname : '/';
  const { delay, fails } = misfortune(handler);
  request.resume(); // a body is read and thrown away, so that the connection can be used again
  const reply = () => {
    const [status, body] = handler === '/metrics' ? [200, metrics()] : answer(handler, request, fails);
    const text = typeof body === 'string' ? body : JSON.stringify(body) + '\n';
    const headers = {
      'Content-Type': handler === '/metrics' ? 'text/plain; version=0.0.4; charset=utf-8' : 'application/json',
      'Content-Length': Buffer.byteLength(text),
      'Cache-Control': 'no-store',
      'X-Service-Version': version,
    };
    if (draining) headers.Connection = 'close';
    response.writeHead(status, headers);
    response.end(request.method === 'HEAD' ? undefined : text);
    observe(handler, request.method, status, Number(process.hrtime.bigint() - begin) / 1e9);
  };
  if (delay) setTimeout(reply, delay);
  else reply();
}

const server = http.createServer(handle);
server.keepAliveTimeout = 65000; // longer than the proxy keeps its side, so that the proxy is the one who closes

function stop(signal) {
  if (draining) return;
  draining = true;
  console.log(`${service} ${version}: ${signal}, finishing what is in flight`);
  fs.unwatchFile(faultsFile);
  // http.Server.close() would drop idle connections at once; only stop listening here and drop them after DRAIN_MS.
  net.Server.prototype.close.call(server, () => process.exit(0));
  setTimeout(() => {
    server.closeIdleConnections();
    setInterval(() => server.closeIdleConnections(), 50);
  }, DRAIN_MS);
}

process.on('SIGINT', () => stop('SIGINT'));
process.on('SIGTERM', () => stop('SIGTERM'));
server.on('error', (error) => {
  throw error;
});

loadFaults();
fs.watchFile(faultsFile, { interval: 200 }, loadFaults);
setTimeout(() => {
  server.listen(port, '127.0.0.1', () => {
    console.log(`${service} ${version}: ready on ${port}`);
    if (process.send) process.send('ready');
  });
}, number(release.ready_after_ms));
