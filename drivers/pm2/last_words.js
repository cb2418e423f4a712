// Loaded before the service: writes the reason of a crash to its error log before the process is gone.
//
// PM2 7.0.4 writes a cluster worker's log through a stream and then exits at once, so what a build says when it dies
// at start is lost, which is when it is needed most. The monitor event changes nothing about the crash itself.
"use strict";

const fs = require("node:fs");

process.on("uncaughtExceptionMonitor", (error) => {
  const log = process.env.pm_err_log_path;
  if (!log) return;
  try {
    fs.appendFileSync(log, `uncaught: ${(error && error.stack) || error}\n`);
  } catch {
    // the log cannot be written: the exit code still tells that it crashed
  }
});
