// Loopmeter in Bitwig Studio: asks the bridge for a loop at the project's tempo and metre, and puts it into the next empty
// slot of the selected track. Bitwig's own OSC module does the talking.
//
// Reading order: init, makeLoop, hear, insert.

loadAPI(17);
host.setShouldFailOnDeprecatedUse(true);
host.defineController("Loopmeter", "Loopmeter", "0.1.0", "6f0f5c0e-6f6b-4c0c-9f5a-2f2c8d1b7a51", "The Loopmeter developers");

var SLOTS = 16;
var PROTOCOL = "/loopmeter/";

var asked = {};
var number = 0;
var transport, track, slots, connection, settings;

function init() {
   var preferences = host.getPreferences();
   var bridgeHost = preferences.getStringSetting("Host", "Bridge", 64, "127.0.0.1");
   var bridgePort = preferences.getNumberSetting("Port", "Bridge", 1, 65535, 1, "", 9130);
   var ownPort = preferences.getNumberSetting("Answers come to port", "Bridge", 1, 65535, 1, "", 9141);

   transport = host.createTransport();
   transport.tempo().markInterested();
   transport.timeSignature().numerator().markInterested();
   transport.timeSignature().denominator().markInterested();
   track = host.createCursorTrack("loopmeter", "Loopmeter", 0, SLOTS, true);
   slots = track.clipLauncherSlotBank();
   for (var slot = 0; slot < SLOTS; slot++) slots.getItemAt(slot).hasContent().markInterested();

   var document = host.getDocumentState();
   settings = {
      prompt: document.getStringSetting("Prompt", "Loop", 200, "dusty lo-fi drums"),
      bars: document.getNumberSetting("Bars", "Loop", 1, 64, 1, "", 4),
      key: document.getStringSetting("Key", "Loop", 12, "Am"),
      seed: document.getNumberSetting("Seed", "Loop", 0, 9999, 1, "", 0),
      maxTokens: document.getNumberSetting("At most tokens", "Loop", 0, 100000, 1, "", 2000)
   };
   settings.prompt.markInterested();
   settings.bars.markInterested();
   settings.key.markInterested();
   settings.seed.markInterested();
   settings.maxTokens.markInterested();
   document.getSignalSetting("Make", "Loop", "Make a loop").addSignalObserver(makeLoop);

   var osc = host.getOscModule();
   var space = osc.createAddressSpace();
   space.registerDefaultMethod(function (source, message) {
      hear(message.getAddressPattern(), message.getArguments());
   });
   settings.ownPort = Math.round(ownPort.getRaw());
   osc.createUdpServer(settings.ownPort, space);
   connection = osc.connectToUdpServer(bridgeHost.get(), Math.round(bridgePort.getRaw()), space);
}

function flush() {}

function exit() {}

function makeLoop() {
   var beats = transport.timeSignature().numerator().get();
   if (transport.timeSignature().denominator().get() !== 4 || beats < 2 || beats > 6) {
      say("expected a time signature of 2/4 to 6/4, found " + beats + "/" + transport.timeSignature().denominator().get());
      return;
   }
   if (emptySlot() < 0) {
      say("expected an empty slot on the selected track, found none in the first " + SLOTS);
      return;
   }
   number += 1;
   var id = "bitwig-" + Date.now() + "-" + number;
   asked[id] = settings.prompt.get();
   connection.sendMessage(
      PROTOCOL + "loop", id, settings.prompt.get(), transport.tempo().getRaw(), whole(settings.bars), settings.key.get(),
      "standard", "seed", whole(settings.seed), "beats_per_bar", beats, "max_tokens", whole(settings.maxTokens),
      "reply_port", settings.ownPort);
}

function hear(address, values) {
   var id = String(values[0]);
   if (address.indexOf(PROTOCOL) !== 0 || asked[id] === undefined) return;
   switch (address.substring(PROTOCOL.length)) {
      case "progress":
         say("chunk " + values[1] + " of " + values[2] + ", " + values[3] + " tokens");
         break;
      case "ready":
         insert(String(values[1]));
         say(asked[id] + ": " + values[5] + " tokens");
         delete asked[id];
         break;
      case "cancelled":
      case "error":
         say(values.slice(1).join(" "));
         delete asked[id];
   }
}

function insert(path) {
   var slot = emptySlot();
   if (slot < 0) {
      say("the loop is made, but no slot is empty any more: " + path);
      return;
   }
   // Bitwig reads tempo and length from the file itself, and stretches it to the project's tempo, which is the loop's own.
   slots.getItemAt(slot).replaceInsertionPoint().insertFile(path);
}

function emptySlot() {
   for (var slot = 0; slot < SLOTS; slot++) if (!slots.getItemAt(slot).hasContent().get()) return slot;
   return -1;
}

function whole(setting) {
   return Math.round(setting.getRaw());
}

function say(text) {
   println("Loopmeter: " + text);
   host.showPopupNotification("Loopmeter: " + text);
}
