// A service for the driver tests: ready signal, graceful end, and ways to misbehave by VERSION's pre-release part.
"use strict";
const http = require("node:http");
const net = require("node:net");

const version = process.env.VERSION || "0.0.0";
if (version.includes("crash")) {
  throw new Error("this build is broken");
}
const sick = version.includes("sick");
const failing = version.includes("failing");
const patience = version.includes("brisk") ? 100 : 6000;

let leaving = false;

const server = http.createServer((request, response) => {
  if (leaving) response.setHeader("Connection", "close");
  request.resume();
  if (request.url === "/healthz") {
    response.writeHead(sick ? 503 : 200).end(JSON.stringify({ pid: process.pid }));
  } else if (request.url === "/version") {
    response.end(JSON.stringify({ version: version.includes("liar") ? "9.9.9" : version }));
  } else if (request.url === "/environment") {
    response.end(JSON.stringify(process.env));
  } else {
    const status = failing && Math.random() < 0.5 ? 500 : 200;
    setTimeout(() => response.writeHead(status, { "X-Version": version }).end(version), 5);
  }
});
server.keepAliveTimeout = 75000;

if (!version.includes("mute")) {
  server.listen(Number(process.env.PORT), "127.0.0.1", () => process.send && process.send("ready"));
}
// Leaving without losing a request: accept no more, leave idle connections to the edge, which ends them after 2 s,
// and stay a moment longer so that the cluster's primary can give what it has just handed over to another worker.
process.on("SIGINT", () => {
  leaving = true;
  net.Server.prototype.close.call(server, () => setTimeout(() => process.exit(0), 200));
  setTimeout(() => process.exit(0), patience);
});
setInterval(() => {}, 60000);
