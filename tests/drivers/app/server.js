// A service for the driver tests: ready signal, graceful end, and ways to misbehave by VERSION's pre-release part.
"use strict";
const http = require("node:http");

const version = process.env.VERSION || "0.0.0";
if (version.includes("crash")) {
  console.error("refusing to start: this build is broken");
  process.exit(1);
}
const sick = version.includes("sick");
const failing = version.includes("failing");

const server = http.createServer((request, response) => {
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
process.on("SIGINT", () => {
  server.close(() => process.exit(0));
  setTimeout(() => process.exit(0), 5000).unref();
});
setInterval(() => {}, 60000);
