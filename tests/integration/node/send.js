// Send one message with nodemailer: node send.js PORT CA-FILE USER PASSWORD SENDER RECIPIENT X-MSYS-API
// Writes the message as nodemailer composed it to standard output, so that the test can look at its form.
'use strict';

const fs = require('fs');
const nodemailer = require('nodemailer');

const [port, authority, user, pass, from, to, instructions] = process.argv.slice(2);
const message = {
  from: `"Shop" <${from}>`,
  to,
  subject: 'Sample',
  text: 'Hello.\n',
  headers: { 'X-MSYS-API': instructions },
};

async function main() {
  const composer = nodemailer.createTransport({ streamTransport: true, buffer: true, newline: 'windows' });
  const composed = await composer.sendMail(message);
  const relay = nodemailer.createTransport({
    host: '127.0.0.1',
    port: Number(port),
    requireTLS: true,
    tls: { ca: fs.readFileSync(authority), servername: 'localhost' },
    auth: { user, pass },
  });
  await relay.sendMail(message);
  relay.close();
  process.stdout.write(composed.message);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
