using System;

namespace Loopmeter
{
    /// <summary>Where the bars are, in seconds of the audio clock (AudioSettings.dspTime). A value; nothing runs.</summary>
    public struct BarClock
    {
        public readonly double StartS;
        public readonly double BarS;

        public BarClock(double startS, double tempoBpm, int beatsPerBar)
        {
            if (!(tempoBpm > 0)) throw new ArgumentException("expected a tempo above 0, found " + tempoBpm);
            StartS = startS;
            BarS = beatsPerBar * 60 / tempoBpm;
        }

        /// <summary>The first boundary of every `bars` bars that is at least `aheadS` after `nowS`.</summary>
        public double Next(double nowS, int bars = 1, double aheadS = 0.1)
        {
            double phrase = BarS * Math.Max(1, bars);
            // A hair below, so that a boundary which is exactly far enough ahead is taken in spite of rounding.
            double passed = Math.Ceiling((nowS + aheadS - StartS) / phrase - 1e-9);
            return StartS + Math.Max(0, passed) * phrase;
        }
    }

    /// <summary>How loud each layer is at an intensity from 0 to 1: the first is always there, the others come in turn.</summary>
    public static class LayerMix
    {
        public static float Gain(int layer, int layers, float intensity)
        {
            if (layer == 0) return 1;
            float at = Math.Min(1, Math.Max(0, intensity)) * (layers - 1) - (layer - 1);
            return Math.Min(1, Math.Max(0, at));
        }
    }
}
