// Reload one PM2 process by its id: node reload.js <pm2 package folder> <id>
//
// `pm2 reload <id>` hands the id on as text, while the ready message of the new worker carries a number (PM2 7.0.4,
// lib/God/Reload.js). They never match, so each such reload waits for the whole listen_timeout. PM2's own programming
// interface keeps the number a number.
"use strict";

const [folder, id] = process.argv.slice(2);
const pm2 = require(folder);

function finish(error) {
  if (error) console.error(error.message || String(error));
  pm2.disconnect();
  process.exit(error ? 1 : 0);
}

pm2.connect((error) => (error ? finish(error) : pm2.reload(Number(id), finish)));
