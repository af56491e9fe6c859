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
            if (TempoBpm.HasValue) json.Append(",\"tempo_bpm\":").Append(Json.Number(TempoBpm.Value));
            if (Bars.HasValue) json.Append(",\"bars\":").Append(Bars.Value);
            json.Append(",\"beats_per_bar\":").Append(BeatsPerBar);
            if (!string.IsNullOrEmpty(Key)) json.Append(",\"key\":").Append(Json.Quote(Key));
            json.Append(",\"quality\":").Append(Json.Quote(Quality)).Append(",\"seed\":").Append(Seed);
            if (Layers != null)
            {
                var quoted = new List<string>();
                foreach (string layer in Layers) quoted.Add(Json.Quote(layer));
                json.Append(",\"layers\":[").Append(string.Join(",", quoted.ToArray())).Append(']');
            }
            if (!string.IsNullOrEmpty(Model)) json.Append(",\"model\":").Append(Json.Quote(Model));
            if (quoteId != null) json.Append(",\"quote_id\":").Append(Json.Quote(quoteId));
            return json.Append('}').ToString();
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
