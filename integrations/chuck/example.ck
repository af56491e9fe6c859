// Ask for a loop, and play it for ever:  chuck loopmeter.ck example.ck
// Start the bridge first:  loopmeter bridge --out loops

Loopmeter loops;
loops.open("127.0.0.1", 9130, 9131);
loops.make("take1", "dusty lo-fi drums", 92, 4, "Am", "standard", 7, 900);

while (true)
{
    loops.in => now;
    while (loops.next())
    {
        <<< loops.line(), "" >>>;
        if (loops.name == "ready") spork ~ play(loops.strings[0], loops.numbers[2] $ int);
    }
}

// SndBuf loops by itself, exactly at its last frame.
fun void play(string path, int frames)
{
    SndBuf sound => dac;
    path => sound.read;
    1 => sound.loop;
    0.5 => sound.gain;
    while (true) frames::samp => now;
}
