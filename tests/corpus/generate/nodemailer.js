// node nodemailer.js PATH-OF-NODEMAILER WISHES.JSON, with $SINK_PORT set by record.py.
const nodemailer = require(process.argv[2]);
const wishes = require(require("path").resolve(process.argv[3]));

const transport = nodemailer.createTransport({
  host: "127.0.0.1", port: Number(process.env.SINK_PORT), secure: false, ignoreTLS: true, name: "app.example",
});

function send(name, value) {
  return transport.sendMail({
    from: "News <news@sender.example>", to: `${name}@case.example`, subject: "Corpus", text: "Hello.\n",
    date: new Date(Date.UTC(2026, 10, 20, 6)), messageId: `<${name}@sender.example>`,
    headers: { "X-MSYS-API": value },
  });
}

async function main() {
  for (const [name, wish] of Object.entries(wishes)) {
    const json = JSON.stringify(wish);
    await send(name, json);
    if (name === "ascii-long") await send(`${name}-spaced`, JSON.stringify(wish, null, 1).replace(/\n */g, " "));
    // "prepared" is the library's own way to send a value as it stands; versions before it ignore the wish.
    if (name === "tight" || name === "non-ascii") await send(`${name}-prepared`, { prepared: true, value: json });
  }
  transport.close();
}

main().catch((error) => { console.error(error); process.exit(1); });
