// Runs the controller script in Node with a stand-in of the parts of Bitwig that it uses. Sockets and OSC are real. The
// arguments: the script, the bridge's port, the prompt, the key, the metre's denominator, full slots.

const dgram = require("dgram");
const fs = require("fs");
const vm = require("vm");

const [script, bridgePort, prompt, key, denominator, full] = process.argv.slice(2);
const inserted = Array.from({ length: 16 }, (_, slot) => (slot < Number(full) ? "taken" : null));
const value = (raw) => ({ get: () => raw, getRaw: () => raw, markInterested() {} });
const given = { Prompt: prompt, Bars: 2, Key: key, Seed: 7, "At most tokens": 2000, Host: "127.0.0.1", Port: Number(bridgePort) };
let make, server;

function encode(address, values) {
  const text = (word) => Buffer.concat([Buffer.from(word), Buffer.alloc(4 - (Buffer.byteLength(word) % 4))]);
  const kinds = values.map((v) => (typeof v === "string" ? "s" : Number.isInteger(v) ? "i" : "f"));
  const parts = values.map((v, i) => {
    if (kinds[i] === "s") return text(v);
    const four = Buffer.alloc(4);
    kinds[i] === "i" ? four.writeInt32BE(v) : four.writeFloatBE(v);
    return four;
  });
  return Buffer.concat([text(address), text("," + kinds.join("")), ...parts]);
}

function decode(data) {
  let at = 0;
  const text = () => {
    const end = data.indexOf(0, at);
    const found = data.toString("utf8", at, end);
    at = Math.floor(end / 4) * 4 + 4;
    return found;
  };
  const address = text();
  const kinds = text().slice(1);
  const values = [...kinds].map((kind) => {
    if (kind === "s") return text();
    at += 4;
    return kind === "i" ? data.readInt32BE(at - 4) : data.readFloatBE(at - 4);
  });
  return [address, values];
}

function done() {
  console.log("inserted", JSON.stringify(inserted.filter((path) => path)));
  if (server) server.close();
}

const host = {
  setShouldFailOnDeprecatedUse() {},
  defineController(vendor, name, version, uuid) {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)) throw new Error("no uuid");
  },
  getPreferences: () => ({
    getStringSetting: (label) => value(given[label]),
    getNumberSetting: (label) => value(label === "Port" ? given.Port : server.address().port),
  }),
  getDocumentState: () => ({
    getStringSetting: (label) => value(given[label]),
    getNumberSetting: (label) => value(given[label]),
    getSignalSetting: () => ({ addSignalObserver: (observer) => { make = observer; } }),
  }),
  createTransport: () => ({
    tempo: () => value(93),
    timeSignature: () => ({ numerator: () => value(3), denominator: () => value(Number(denominator)) }),
  }),
  createCursorTrack: () => ({
    clipLauncherSlotBank: () => ({
      getItemAt: (slot) => ({
        hasContent: () => ({ get: () => inserted[slot] !== null, markInterested() {} }),
        replaceInsertionPoint: () => ({ insertFile: (path) => { inserted[slot] = path; } }),
      }),
    }),
  }),
  getOscModule: () => {
    let method;
    return {
      createAddressSpace: () => ({ registerDefaultMethod: (found) => { method = found; } }),
      createUdpServer: () => server.on("message", (data) => {
        const [address, values] = decode(data);
        method(null, { getAddressPattern: () => address, getArguments: () => values });
        if (/ready|error|cancelled/.test(address)) done();
      }),
      connectToUdpServer: (to, port) => ({
        sendMessage: (address, ...values) => server.send(encode(address, values), port, to),
      }),
    };
  },
  showPopupNotification() {},
};

server = dgram.createSocket("udp4");
server.bind(0, "127.0.0.1", () => {
  const sandbox = { host, loadAPI() {}, println: (text) => console.log("said", text), Date, Math, String, Object };
  vm.runInNewContext(fs.readFileSync(script, "utf8"), sandbox, { filename: script });
  sandbox.init();
  let sent = false;
  const send = server.send.bind(server);
  server.send = (...words) => { sent = true; return send(...words); };
  make();
  if (!sent) done();
});
