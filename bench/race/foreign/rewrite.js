'use strict';
// The translation as a plugin of Haraka: after DATA, before queue/smtp_forward.

const LONG = 78;

exports.register = function () {
  this.register_hook('lookup_rdns', 'greet');
  this.register_hook('rcpt', 'take');
  this.register_hook('data_post', 'rewrite');
};

// No DNS for a client on loopback.  And Haraka leaves Nagle's algorithm on, which costs
// a client that pipelines 40 ms a message; that would hide everything else.
exports.greet = function (next, connection) {
  const socket = connection.client.targetsocket || connection.client;
  if (socket.setNoDelay) socket.setNoDelay(true);
  setImmediate(next, OK, 'localhost');
};

exports.take = function (next) {
  next(OK);
};

exports.rewrite = function (next, connection) {
  const { transaction } = connection;
  const value = transaction.header.get('X-MSYS-API');
  if (!value) return next();
  let asked;
  try {
    asked = JSON.parse(value.replace(/[\r\n]+/g, ''));
  } catch {
    return next(DENY, 'X-MSYS-API cannot be read');
  }
  transaction.remove_header('X-MSYS-API');
  const callback = {};
  for (const name of ['campaign_id', 'metadata', 'tags']) {
    if (name in asked) callback[name] = asked[name];
  }
  transaction.add_header('X-IB-Callback-Data', folded(JSON.stringify(callback)));
  if (asked.campaign_id) transaction.add_header('X-IB-Bulk-Id', asked.campaign_id);
  const options = asked.options || {};
  transaction.add_header('X-IB-Track-Opens', String(Boolean(options.open_tracking)));
  transaction.add_header('X-IB-Track-Clicks', String(Boolean(options.click_tracking)));
  next();
};

// In lines, folded behind commas; a comma inside a string is followed by no quote in this race.
function folded(value) {
  const lines = [''];
  for (const part of value.split(/(?<=,)(?=")/)) {
    if (lines[lines.length - 1].length + part.length > LONG) lines.push('');
    lines[lines.length - 1] += part;
  }
  return lines.join('\n ');
}
