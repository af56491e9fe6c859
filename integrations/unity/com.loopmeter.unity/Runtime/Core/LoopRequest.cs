using System;
using System.Collections.Generic;
using System.Text;

namespace Loopmeter
{
    /// <summary>One loop, as asked for. What is left null is taken from the prompt's words or the genre's habit.</summary>
    public sealed class LoopRequest
    {
        public string Prompt = "";
        public double? TempoBpm;
        public int? Bars;
        public int BeatsPerBar = 4;
        /// <summary>Such as "Am" or "F#".</summary>
        public string Key;
        /// <summary>"standard": one channel, 16 bit. "hifi": two channels, 24 bit, dearer.</summary>
        public string Quality = "standard";
        public long Seed;
        /// <summary>Some of drums, bass, chords, lead, pad, fx.</summary>
        public IList<string> Layers;
        public string Model;
        /// <summary>One a bar, as "Am F C G", or several, as "Am F | C G".</summary>
        public string Chords;
        /// <summary>A whole piece, part by part; leave Bars out then.</summary>
        public IList<Section> Sections;
        /// <summary>These go from 0 to 1.</summary>
        public double? Swing, Density, Intensity;
        /// <summary>A Standard MIDI File to play in place of notes of the engine's own.</summary>
        public byte[] Midi;
        public string Solver;
        public int? Steps;
        public double? Guidance;

        // What only some engines can do; one that cannot refuses the field by name.

        /// <summary>What should not be heard.</summary>
        public string NegativePrompt;
        /// <summary>"cover", "repaint", "continue", "lego" and so on; each works on Source, a WAV, FLAC or Ogg file.</summary>
        public string Task;
        public byte[] Source;
        /// <summary>Sound to take the timbre from.</summary>
        public byte[] Reference;
        public double? CoverStrength, RepaintFromBeat, RepaintToBeat;
        /// <summary>Such as "bass": the one to extract or to add; those to complete.</summary>
        public string Track;
        public IList<string> Tracks;
        public string Lyrics, Language, Lora;
        public double? Shift;
        /// <summary>Measure the beats of what came out, and place them on the grid.</summary>
        public bool? Conform;
        /// <summary>Make the loop as the sum of its layers; <c>ForLayer</c> then gives its stems.</summary>
        public bool? Stems;

        public LoopRequest() { }

        public LoopRequest(string prompt, double? tempoBpm = null, int? bars = null, string key = null)
        {
            Prompt = prompt;
            TempoBpm = tempoBpm;
            Bars = bars;
            Key = key;
        }

        /// <summary>The same request for one layer of it: a stem that shares the score.</summary>
        public LoopRequest ForLayer(string layer)
        {
            var stem = (LoopRequest)MemberwiseClone();
            stem.Layers = new[] { layer };
            return stem;
        }

        public string ToJson(string quoteId = null)
        {
            var json = new StringBuilder("{\"prompt\":").Append(Json.Quote(Prompt));
            json.Append(",\"beats_per_bar\":").Append(BeatsPerBar);
            json.Append(",\"quality\":").Append(Json.Quote(Quality)).Append(",\"seed\":").Append(Seed);
            Add(json, "tempo_bpm", TempoBpm);
            Add(json, "bars", Bars);
            Add(json, "key", Key);
            Add(json, "layers", Layers);
            Add(json, "model", Model);
            Add(json, "chords", Chords);
            Add(json, "swing", Swing);
            Add(json, "density", Density);
            Add(json, "intensity", Intensity);
            Add(json, "midi_base64", Midi);
            Add(json, "solver", Solver);
            Add(json, "steps", Steps);
            Add(json, "guidance", Guidance);
            Add(json, "negative_prompt", NegativePrompt);
            Add(json, "task", Task);
            Add(json, "source_audio_base64", Source);
            Add(json, "reference_audio_base64", Reference);
            Add(json, "cover_strength", CoverStrength);
            Add(json, "repaint_from_beat", RepaintFromBeat);
            Add(json, "repaint_to_beat", RepaintToBeat);
            Add(json, "track", Track);
            Add(json, "tracks", Tracks);
            Add(json, "lyrics", Lyrics);
            Add(json, "language", Language);
            Add(json, "lora", Lora);
            Add(json, "shift", Shift);
            if (Stems.HasValue) json.Append(",\"stems\":").Append(Stems.Value ? "true" : "false");
            if (Conform.HasValue) json.Append(",\"conform\":").Append(Conform.Value ? "true" : "false");
            if (Sections != null)
            {
                var parts = new List<string>();
                foreach (Section section in Sections) parts.Add(section.ToJson());
                json.Append(",\"sections\":[").Append(string.Join(",", parts.ToArray())).Append(']');
            }
            Add(json, "quote_id", quoteId);
            return json.Append('}').ToString();
        }

        static void Add(StringBuilder json, string name, string value)
        {
            if (!string.IsNullOrEmpty(value)) json.Append(",\"").Append(name).Append("\":").Append(Json.Quote(value));
        }

        static void Add(StringBuilder json, string name, double? value)
        {
            if (value.HasValue) json.Append(",\"").Append(name).Append("\":").Append(Json.Number(value.Value));
        }

        static void Add(StringBuilder json, string name, int? value)
        {
            if (value.HasValue) json.Append(",\"").Append(name).Append("\":").Append(value.Value);
        }

        static void Add(StringBuilder json, string name, byte[] value)
        {
            if (value != null) Add(json, name, Convert.ToBase64String(value));
        }

        static void Add(StringBuilder json, string name, IList<string> values)
        {
            if (values == null) return;
            var quoted = new List<string>();
            foreach (string value in values) quoted.Add(Json.Quote(value));
            json.Append(",\"").Append(name).Append("\":[").Append(string.Join(",", quoted.ToArray())).Append(']');
        }
    }

    /// <summary>A part of a whole piece. Energy from 0 to 1 says how much of the music sounds; null goes by the name.</summary>
    public sealed class Section
    {
        public readonly string Name;
        public readonly int Bars;
        public readonly double? Energy;

        public Section(string name, int bars, double? energy = null)
        {
            Name = name;
            Bars = bars;
            Energy = energy;
        }

        internal string ToJson()
        {
            string energy = Energy.HasValue ? ",\"energy\":" + Json.Number(Energy.Value) : "";
            return "{\"name\":" + Json.Quote(Name) + ",\"bars\":" + Bars + energy + "}";
        }
    }

    /// <summary>The exact price and length of a loop, before anything is held.</summary>
    public sealed class Quote
    {
        public readonly string Id;
        public readonly long Tokens;
        public readonly int Frames;
        public readonly int Chunks;
        public readonly int SampleRateHz;

        internal Quote(Dictionary<string, object> answer)
        {
            Id = Json.Text(answer, "quote_id");
            Tokens = Json.Whole(answer, "tokens");
            Frames = (int)Json.Whole(answer, "frames");
            Chunks = (int)Json.Whole(answer, "chunks");
            SampleRateHz = (int)Json.Whole(answer, "sample_rate_hz");
        }
    }
}
