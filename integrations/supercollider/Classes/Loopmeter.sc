// A client of the Loopmeter bridge. Answers come to the port that sclang sends from, each under the id of its request.
// Read Loopmeter first, then LoopmeterRequest. The addresses stand in docs/integrations/osc.md.

Loopmeter {
	classvar <answers, numbers = 0;
	var <bridge, <>onAnswer, requests, listeners;

	*initClass {
		// The names of what follows the id in every answer. A name that is not here is handed on without names.
		answers = (
			welcome: #[\version, \engine, \protocol],
			quoted: #[\tokens, \frames, \chunks],
			accepted: #[\job, \tokens],
			progress: #[\chunk, \chunks, \tokens],
			ready: #[\wavPath, \midiPath, \frames, \bpm, \tokens],
			cancelled: #[\tokens],
			balance: #[\available, \held],
			error: #[\code, \message]
		);
	}

	*new { |host = "127.0.0.1", port = 9130|
		^super.new.init(NetAddr(host, port))
	}

	init { |address|
		bridge = address;
		requests = IdentityDictionary.new;
		listeners = answers.keys.asArray.collect { |name|
			// Not told apart by the sender's port: the bridge answers from the one it listens on, but a NAT may not.
			OSCFunc({ |message| this.prHear(name, message) }, "/loopmeter/" ++ name)
		};
	}

	// Is anybody there? onWelcome gets (version, engine, protocol).
	hello { |onWelcome, onError|
		^this.prAsk(\hello, [], (welcome: onWelcome, error: onError))
	}

	// onBalance gets (available, held), in tokens.
	balance { |onBalance, onError|
		^this.prAsk(\balance, [], (balance: onBalance, error: onError))
	}

	// The exact price and length, without making anything. onQuoted gets (tokens, frames, chunks).
	quote { |prompt, bpm = 120, bars = 4, key = "", quality = "standard", options, onQuoted, onError|
		^this.prAsk(\quote, this.prLoop(prompt, bpm, bars, key, quality, options), (quoted: onQuoted, error: onError))
	}

	// Make a loop; not named loop, which the compiler of sclang takes for its own. options is an Event such as (seed: 7, layers: "drums,bass", max_tokens: 900). onReady gets (wavPath,
	// midiPath, frames, bpm, tokens), onProgress gets (chunk, chunks, tokens). Gives a request that can be cancelled.
	make { |prompt, bpm = 120, bars = 4, key = "", quality = "standard", options, onReady, onProgress, onError, onAccepted, onCancelled|
		^this.prAsk(\loop, this.prLoop(prompt, bpm, bars, key, quality, options),
			(ready: onReady, progress: onProgress, error: onError, accepted: onAccepted, cancelled: onCancelled))
	}

	cancel { |request|
		bridge.sendMsg("/loopmeter/cancel", request.id);
	}

	// Stop listening. What is being made is made on.
	free {
		listeners.do(_.free);
		requests.clear;
	}

	prLoop { |prompt, bpm, bars, key, quality, options|
		^[prompt.asString, bpm.asFloat, bars.asInteger, key.asString, quality.asString]
		++ (options ? ()).asKeyValuePairs.collect { |value| if(value.isNumber, value, { value.asString }) }
	}

	prAsk { |name, arguments, actions|
		var id, request;
		// Unique in this interpreter, and unlike that of another one which answers to the same port later.
		numbers = numbers + 1;
		id = "sc-%-%".format(Date.localtime.rawSeconds.asInteger, numbers).asSymbol;
		request = LoopmeterRequest(this, id, actions);
		requests[id] = request;
		bridge.sendMsg("/loopmeter/" ++ name, id, *arguments);
		^request
	}

	prHear { |name, message|
		var id = message[1].asSymbol, request = requests[id];
		request !? {
			onAnswer.value(name, id, message.drop(2));
			if(#[accepted, progress].includes(name).not) { requests.removeAt(id) };
			request.hear(name, message.drop(2));
		};
	}
}

LoopmeterRequest {
	var loopmeter, <id, actions, <state, <answer;

	*new { |loopmeter, id, actions|
		^super.newCopyArgs(loopmeter, id, actions, \asked)
	}

	// Stop the loop. onCancelled then gets (tokens), what the chunks that had come cost.
	cancel {
		loopmeter.cancel(this);
	}

	hear { |name, values|
		var action = actions[name];
		state = name;
		answer = ();
		Loopmeter.answers[name].do { |key, index| answer[key] = values[index] };
		if(name == \error and: { action.isNil }) {
			"Loopmeter % %: %".format(id, answer[\code], answer[\message]).warn
		} {
			action.value(answer, this)
		};
	}
}
