using System.Collections.Generic;
using System.Threading;
using UnityEngine;

namespace Loopmeter
{
    /// <summary>Plays loops on the bar. Ask(request) makes one in the background; it comes in at the next bar after it is
    /// whole, while the old one plays on. The audio clock starts it, not the frame rate.</summary>
    [AddComponentMenu("Audio/Loopmeter Loop Player")]
    public sealed class LoopPlayer : MonoBehaviour
    {
        public string Url = "http://127.0.0.1:8130";
        [Tooltip("A client token from your own server. Never ship an API key.")]
        public string ClientToken = "";
        [Tooltip("Refuse loops that cost more.")]
        public long MaxTokens = 2000;
        [Tooltip("Change at every n-th bar.")]
        public int QuantiseBars = 1;
        [Tooltip("Played when no gateway answers.")]
        public AudioClip Fallback;
        [Range(0, 1)] public float Intensity = 1;

        public delegate void Told(string what);
        public event Told OnError;
        public event Told OnReady;

        readonly object gate = new object();
        readonly Queue<Made> made = new Queue<Made>();
        readonly List<AudioSource> playing = new List<AudioSource>();
        readonly List<AudioSource> leaving = new List<AudioSource>();
        double leaveAtS;
        BarClock clock;
        bool started;
        volatile bool closed;

        sealed class Made
        {
            public LoopRequest Request;
            public List<float[]> Layers = new List<float[]>();
            public LoopStarted Format;
            public string Error;
        }

        /// <summary>Make a loop in the background; with layers, a stem for each, all of one score.</summary>
        public void Ask(LoopRequest request)
        {
            string url = Url, token = ClientToken;
            long maxTokens = MaxTokens;
            new Thread(() => Make(request, url, token, maxTokens)) { IsBackground = true, Name = "Loopmeter" }.Start();
        }

        void Make(LoopRequest request, string url, string token, long maxTokens)
        {
            var result = new Made { Request = request };
            try
            {
                var client = new LoopmeterClient(url, token);
                int stems = request.Layers == null ? 1 : request.Layers.Count;
                for (int stem = 0; stem < stems && !closed; stem++)
                {
                    LoopRequest part = request.Layers == null ? request : request.ForLayer(request.Layers[stem]);
                    float[] samples = null;
                    int at = 0;
                    client.Stream(part, (format, chunk) =>
                    {
                        if (samples == null) samples = new float[format.Frames * format.Channels];
                        float[] piece = chunk.Samples();
                        piece.CopyTo(samples, at);
                        at += piece.Length;
                        result.Format = format;
                        return !closed;
                    }, maxTokens);
                    result.Layers.Add(samples);
                }
            }
            catch (LoopmeterException refused)
            {
                result.Error = refused.Code + ": " + refused.Message;
            }
            lock (gate) made.Enqueue(result);
        }

        void Update()
        {
            Made next = null;
            lock (gate) if (made.Count > 0) next = made.Dequeue();
            if (next != null) Take(next);
            for (int layer = 0; layer < playing.Count; layer++)
                playing[layer].volume = LayerMix.Gain(layer, playing.Count, Intensity);
            if (leaving.Count > 0 && AudioSettings.dspTime > leaveAtS + 0.1)
            {
                foreach (AudioSource source in leaving) Drop(source);
                leaving.Clear();
            }
        }

        void Take(Made next)
        {
            if (next.Error != null)
            {
                if (OnError != null) OnError(next.Error);
                if (playing.Count == 0 && Fallback != null) Bring(new List<AudioClip> { Fallback }, null);
                return;
            }
            var clips = new List<AudioClip>();
            for (int layer = 0; layer < next.Layers.Count; layer++)
            {
                LoopStarted format = next.Format;
                var clip = AudioClip.Create("loop " + layer, format.Frames, format.Channels, format.SampleRateHz, false);
                clip.SetData(next.Layers[layer], 0);
                clips.Add(clip);
            }
            Bring(clips, next.Request);
            if (OnReady != null) OnReady(next.Format.Job);
        }

        void Bring(List<AudioClip> clips, LoopRequest request)
        {
            double now = AudioSettings.dspTime;
            double at = started ? clock.Next(now, QuantiseBars) : now + 0.1;
            foreach (AudioSource source in playing)
            {
                source.SetScheduledEndTime(at);
                leaving.Add(source);
            }
            leaveAtS = at;
            playing.Clear();
            foreach (AudioClip clip in clips)
            {
                AudioSource source = gameObject.AddComponent<AudioSource>();
                source.clip = clip;
                source.loop = true; // The loop is whole bars to the sample, so Unity's own looping keeps the time.
                source.PlayScheduled(at);
                playing.Add(source);
            }
            // The next change falls on a bar of the loop that plays: its own grid, from its own first beat.
            double tempo = request != null && request.TempoBpm.HasValue ? request.TempoBpm.Value : 0;
            int beats = request == null ? 4 : request.BeatsPerBar;
            if (tempo > 0) clock = new BarClock(at, tempo, beats);
            else clock = new BarClock(at, 60 * 4 / (double)clips[0].length, 4); // The whole loop is one phrase.
            started = true;
        }

        void Drop(AudioSource source)
        {
            Destroy(source.clip == Fallback ? null : source.clip);
            Destroy(source);
        }

        void OnDestroy()
        {
            closed = true;
        }
    }
}
