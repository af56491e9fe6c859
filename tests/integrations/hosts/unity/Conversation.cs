// What test_unity.py asks the package to do: a whole conversation with a gateway, then the player on a clock of ours.

using System;
using System.Collections.Generic;
using System.IO;
using System.Reflection;
using System.Threading;
using Loopmeter;
using UnityEngine;

static class Conversation
{
    static int Main(string[] arguments)
    {
        var client = new LoopmeterClient(arguments[0], arguments[1]);
        Make(client, arguments[2]);
        Cancel(client);
        Refuse(client, new LoopmeterClient(arguments[0], "lm_wrong"), new LoopmeterClient("http://127.0.0.1:9", "lm_x"));
        SpendToken(new LoopmeterClient(arguments[0], arguments[3]), arguments[4]);
        Play(arguments[0], arguments[1]);
        Console.WriteLine("request " + Everything().ToJson());
        return 0;
    }

    static LoopRequest Everything()
    {
        return new LoopRequest("all \"of\" it", 96.5, null, "Am")
        {
            BeatsPerBar = 3, Quality = "hifi", Seed = 9007199254740991, Layers = new[] { "drums", "bass" },
            Model = "any", Chords = "Am F | C G", Swing = 0.25, Density = 0.1, Intensity = 1, Midi = new byte[] { 77, 84 },
            Solver = "heun", Steps = 8, Guidance = 2.5, NegativePrompt = "no vocals", Task = "continue",
            Source = new byte[] { 82, 73, 70, 70 }, Reference = new byte[] { 0 }, CoverStrength = 0.5, RepaintFromBeat = 4,
            RepaintToBeat = 8.5, Track = "bass", Tracks = new[] { "strings", "brass" }, Lyrics = "la\nla", Language = "en",
            Lora = "mine", Shift = 3, Conform = true, Stems = true, Sections = new[] { new Section("intro", 2, 0.3), new Section("verse", 6) }
        };
    }

    static LoopRequest Asked()
    {
        return new LoopRequest("dusty drums", 96, 2, "Am") { Seed = 7 };
    }

    static void Make(LoopmeterClient client, string wav)
    {
        Quote quote = client.Quote(Asked());
        Say("quoted q", quote.Tokens, quote.Frames, quote.Chunks);
        var pcm = new MemoryStream();
        LoopStarted format = null;
        LoopEnded ended = client.Stream(Asked(), (started, chunk) =>
        {
            format = started;
            pcm.Write(chunk.Pcm, 0, chunk.Pcm.Length);
            Say("progress take1", chunk.Index + 1, started.Chunks, chunk.TokensTotal);
            return true;
        }, quote.Tokens);
        Wav.Write(wav, pcm.ToArray(), format);
        File.WriteAllBytes(wav + ".mid", client.Midi(format.Job));
        Say("ready take1", wav, wav + ".mid", format.Frames, 96, ended.TokensCharged);
        Say("accepted take1", format.Job, quote.Tokens);
    }

    static void Cancel(LoopmeterClient client)
    {
        string job = "";
        LoopEnded ended = client.Stream(
            new LoopRequest("dusty drums", 40, 50, "Am"), (started, chunk) => false, null, started => job = started.Job);
        Say("accepted long", job, 0);
        Say("cancelled long", ended.TokensCharged, ended.State);
        client.Balance(out long available, out long held);
        Say("balance b", available, held);
    }

    static void Refuse(LoopmeterClient client, LoopmeterClient stranger, LoopmeterClient nobody)
    {
        Try("bad", () => client.Quote(new LoopRequest("dusty drums", 96, 2, "H")));
        Try("dear", () => client.Stream(Asked(), (started, chunk) => true, 1));
        Try("stranger", () => stranger.Quote(Asked()));
        Try("nobody", () => nobody.Quote(Asked()));
    }

    // What a player's machine holds: a client token that pays for one loop, and no other customer's job.
    static void SpendToken(LoopmeterClient client, string otherJob)
    {
        LoopEnded ended = client.Stream(Asked(), (started, chunk) => true);
        Say("token first", ended.State);
        Try("second", () => client.Stream(Asked(), (started, chunk) => true));
        Try("other", () => client.Cancel(otherJob));
        Try("balance", () => client.Balance(out long available, out long held));
    }

    static void Try(string id, Action action)
    {
        try { action(); Say("none " + id); }
        catch (LoopmeterException refused) { Say("error " + id, refused.Code, refused.Status, refused.Message); }
    }

    static void Play(string url, string key)
    {
        var player = new LoopPlayer { Url = url, ClientToken = key, Intensity = 0.5f };
        var layered = Asked();
        layered.Layers = new[] { "drums", "bass", "pad" };
        AudioSettings.dspTime = 10;
        Bring(player, layered);
        AudioSettings.dspTime = 13.3;
        Bring(player, Asked());
        foreach (AudioSource source in player.gameObject.Sources)
            Say("source", source.ScheduledAtS, source.EndsAtS, source.loop, source.clip.samples, source.volume);
        AudioSettings.dspTime = 20;
        Call(player, "Update");
        Say("destroyed", UnityEngine.Object.Destroyed.Count);
        player.ClientToken = "lm_wrong";
        player.Fallback = AudioClip.Create("fallback", 88200, 1, 44100, false);
        player.OnError += what => Say("told", what);
        Bring(player, Asked());
        Say("sources", player.gameObject.Sources.Count);
    }

    // Ask, and run frames until what was asked for has been taken.
    static void Bring(LoopPlayer player, LoopRequest request)
    {
        int before = player.gameObject.Sources.Count;
        bool told = false;
        player.OnError += what => told = true;
        player.OnReady += what => told = true;
        player.Ask(request);
        for (int frame = 0; frame < 3000 && !told; frame++)
        {
            Call(player, "Update");
            Thread.Sleep(5);
        }
        if (!told) throw new TimeoutException("nothing came");
        Call(player, "Update");
    }

    static void Call(object on, string method)
    {
        on.GetType().GetMethod(method, BindingFlags.Instance | BindingFlags.NonPublic).Invoke(on, null);
    }

    static void Say(string name, params object[] values)
    {
        var words = new List<string> { name };
        foreach (object value in values) words.Add(Convert.ToString(value, System.Globalization.CultureInfo.InvariantCulture));
        Console.WriteLine(string.Join(" ", words.ToArray()));
    }
}
