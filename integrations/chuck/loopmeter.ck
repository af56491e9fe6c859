// A client of the Loopmeter bridge for ChucK:  chuck loopmeter.ck example.ck
//
// Every method takes your own id first. Wait with  loops.in => now  and then read the answers that came, each into name,
// id, strings and numbers, with  while (loops.next()) { ... }. ChucK sends from a port on which it cannot listen, so
// every request names the port that OscIn has (reply_port).

public class Loopmeter
{
    OscOut out;
    OscIn in;
    OscMsg message;
    int replyPort;

    // The answer that next() read: its address below /loopmeter/, the id of its request, and the arguments behind the
    // id. types says s, i or f for each; strings and numbers are as many, the other kind being "" or 0.
    string name;
    string id;
    string types;
    string strings[];
    float numbers[];

    // Talk to the bridge at host and port; hear its answers on own. Returns when that port is open: OscIn opens it in a
    // thread, and what comes before is lost.
    fun void open(string host, int port, int own)
    {
        own => replyPort;
        out.dest(host, port);
        own => in.port;
        in.listenAll();
        OscOut self;
        self.dest("127.0.0.1", own);
        while (!in.recv(message))
        {
            self.start("/awake");
            self.send();
            1::ms => now;
        }
    }

    fun void hello(string id)
    {
        begin("/loopmeter/hello", id);
        end();
    }

    fun void balance(string id)
    {
        begin("/loopmeter/balance", id);
        end();
    }

    fun void cancel(string id)
    {
        begin("/loopmeter/cancel", id);
        end();
    }

    // The exact price and length, without making anything.
    fun void quote(string id, string prompt, float bpm, int bars, string key, string quality, int seed)
    {
        describe("/loopmeter/quote", id, prompt, bpm, bars, key, quality, seed);
        end();
    }

    // Make a loop; refuse it when it costs more than maxTokens.
    fun void make(string id, string prompt, float bpm, int bars, string key, string quality, int seed, int maxTokens)
    {
        describe("/loopmeter/loop", id, prompt, bpm, bars, key, quality, seed);
        out.add("max_tokens");
        out.add(maxTokens);
        end();
    }

    // Read the next answer that came. False when there is none.
    fun int next()
    {
        while (in.recv(message))
        {
            if (message.address.find("/loopmeter/") == 0)
            {
                read();
                return true;
            }
        }
        return false;
    }

    // The answer on one line: name, id, arguments.
    fun string line()
    {
        name + " " + id => string text;
        for (0 => int i; i < types.length(); i++)
        {
            if (types.charAt(i) == 's') text + " " + strings[i] => text;
            else if (types.charAt(i) == 'i') text + " " + (numbers[i] $ int) => text;
            else text + " " + numbers[i] => text;
        }
        return text;
    }

    fun void describe(string address, string id, string prompt, float bpm, int bars, string key, string quality, int seed)
    {
        begin(address, id);
        out.add(prompt);
        out.add(bpm);
        out.add(bars);
        out.add(key);
        out.add(quality);
        out.add("seed");
        out.add(seed);
    }

    fun void begin(string address, string id)
    {
        out.start(address);
        out.add(id);
    }

    fun void end()
    {
        out.add("reply_port");
        out.add(replyPort);
        out.send();
    }

    fun void read()
    {
        message.address.substring("/loopmeter/".length()) => name;
        message.getString(0) => id;
        message.typetag.substring(1) => types;
        string text[types.length()] @=> strings;
        float values[types.length()] @=> numbers;
        for (0 => int i; i < types.length(); i++)
        {
            if (types.charAt(i) == 's') message.getString(i + 1) => strings[i];
            else if (types.charAt(i) == 'i') message.getInt(i + 1) => numbers[i];
            else message.getFloat(i + 1) => numbers[i];
        }
    }
}
