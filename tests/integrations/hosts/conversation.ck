// Have the conversation that studio.py describes:  chuck loopmeter.ck conversation.ck:BRIDGE:OWN

Loopmeter loops;
loops.open("127.0.0.1", Std.atoi(me.arg(0)), Std.atoi(me.arg(1)));
loops.hello("h");

while (true)
{
    loops.in => now;
    while (loops.next())
    {
        chout <= "heard: " <= loops.line() <= IO.newline();
        react();
    }
}

fun void react()
{
    if (loops.name == "welcome") loops.quote("q", "dusty drums", 96, 2, "Am", "standard", 7);
    if (loops.name == "quoted") loops.make("take1", "dusty drums", 96, 2, "Am", "standard", 7, 2000);
    if (loops.name == "ready") loops.make("long", "dusty drums", 40, 50, "Am", "standard", 0, 20000);
    if (loops.name == "progress" && loops.id == "long" && loops.numbers[0] == 1) loops.cancel("long");
    if (loops.name == "cancelled") loops.make("bad", "dusty drums", 96, 2, "H", "standard", 0, 2000);
    if (loops.name == "error") me.exit();
}
