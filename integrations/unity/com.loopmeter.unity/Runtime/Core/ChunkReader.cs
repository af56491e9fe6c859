// The chunk protocol, application/vnd.loopmeter.chunks: "LMCHUNK", a version byte, then records of one type byte, the
// payload's length and its crc32 over type, length and payload (both 4 bytes, big-endian), and the payload.
//   S started (JSON), C chunk (meter's length, meter in JSON, PCM), K keep-alive, E ended (JSON).

using System;
using System.Collections.Generic;
using System.IO;
using System.Text;

namespace Loopmeter
{
    /// <summary>Length and format of a loop, known before its first sound.</summary>
    public sealed class LoopStarted
    {
        public readonly string Job;
        public readonly int Chunks;
        public readonly int Frames;
        public readonly int SampleRateHz;
        public readonly int Channels;
        public readonly int Bits;

        internal LoopStarted(Dictionary<string, object> json)
        {
            Job = Json.Text(json, "job");
            Chunks = (int)Json.Whole(json, "chunks");
            Frames = (int)Json.Whole(json, "frames");
            SampleRateHz = (int)Json.Whole(json, "sample_rate_hz");
            Channels = (int)Json.Whole(json, "channels");
            Bits = (int)Json.Whole(json, "bits");
        }
    }

    /// <summary>A piece of the loop: PCM as it came, little-endian and interleaved, and what it cost.</summary>
    public sealed class LoopChunk
    {
        public readonly int Index;
        public readonly int Frames;
        public readonly long TokensTotal;
        public readonly byte[] Pcm;
        readonly LoopStarted format;

        internal LoopChunk(LoopStarted format, Dictionary<string, object> meter, byte[] pcm)
        {
            this.format = format;
            Index = (int)Json.Whole(meter, "index");
            Frames = (int)Json.Whole(meter, "frames");
            TokensTotal = Json.Whole(meter, "tokens_total");
            Pcm = pcm;
        }

        /// <summary>Samples from -1 to below 1, interleaved: what AudioClip.SetData takes.</summary>
        public float[] Samples()
        {
            int bytes = format.Bits / 8;
            var samples = new float[Pcm.Length / bytes];
            float scale = 1f / (1L << (format.Bits - 1));
            for (int i = 0; i < samples.Length; i++)
            {
                int value = (sbyte)Pcm[i * bytes + bytes - 1];
                for (int part = bytes - 2; part >= 0; part--) value = value << 8 | Pcm[i * bytes + part];
                samples[i] = value * scale;
            }
            return samples;
        }
    }

    /// <summary>The last word: how the job ended, and what it cost.</summary>
    public sealed class LoopEnded
    {
        public readonly string State;
        public readonly long TokensCharged;
        public readonly string Problem;

        internal LoopEnded(Dictionary<string, object> json)
        {
            State = Json.Text(json, "state");
            TokensCharged = Json.Whole(json, "tokens_charged");
            if (json.TryGetValue("problem", out object problem) && problem is Dictionary<string, object> told)
                Problem = Json.Text(told, "detail");
        }
    }

    /// <summary>Reads records from a stream, one at a time, and checks every one.</summary>
    public sealed class ChunkReader
    {
        const int RecordBytesMax = 8 << 20;
        static readonly byte[] Preamble = { (byte)'L', (byte)'M', (byte)'C', (byte)'H', (byte)'U', (byte)'N', (byte)'K', 1 };
        static readonly uint[] CrcTable = MakeCrcTable();

        readonly Stream stream;
        LoopStarted started;
        int next;

        public ChunkReader(Stream stream) { this.stream = stream; }

        /// <summary>LoopStarted first, then LoopChunk by LoopChunk in order, then LoopEnded. Keep-alives are left out.</summary>
        /// <exception cref="LoopmeterException">stream_broken: the stream was cut or damaged; resume at the next chunk.</exception>
        public object Read()
        {
            if (started == null)
            {
                byte[] preamble = Take(Preamble.Length);
                for (int i = 0; i < Preamble.Length; i++)
                    if (preamble[i] != Preamble[i]) throw Broken("a stream of chunks, version 1");
            }
            while (true)
            {
                byte[] header = Take(9);
                uint length = BigEndian(header, 1);
                if (length > RecordBytesMax) throw Broken("a record of at most " + RecordBytesMax + " bytes");
                byte[] payload = Take((int)length);
                uint crc = Crc(Crc(0xffffffff, header, 5), payload, payload.Length) ^ 0xffffffff;
                if (crc != BigEndian(header, 5)) throw Broken("a record whose checksum is right");
                object read = Decode((char)header[0], payload);
                if (read != null) return read;
            }
        }

        object Decode(char kind, byte[] payload)
        {
            if (kind == 'K') return null;
            try
            {
                if (kind == 'S' && started == null)
                {
                    var json = Json.ParseObject(Encoding.UTF8.GetString(payload));
                    started = new LoopStarted(json);
                    next = json.ContainsKey("first_index") ? (int)Json.Whole(json, "first_index") : 0;
                    return started;
                }
                if (kind == 'C' && started != null) return Chunk(payload);
                if (kind == 'E' && started != null)
                    return new LoopEnded(Json.ParseObject(Encoding.UTF8.GetString(payload)));
            }
            catch (FormatException wrong)
            {
                throw new LoopmeterException("stream_broken", wrong.Message, 0, wrong);
            }
            throw Broken("another record than " + kind);
        }

        LoopChunk Chunk(byte[] payload)
        {
            long meterBytes = payload.Length < 4 ? long.MaxValue : BigEndian(payload, 0);
            if (meterBytes > payload.Length - 4) throw Broken("a meter before the sound");
            var meter = Json.ParseObject(Encoding.UTF8.GetString(payload, 4, (int)meterBytes));
            var pcm = new byte[payload.Length - 4 - meterBytes];
            Buffer.BlockCopy(payload, 4 + (int)meterBytes, pcm, 0, pcm.Length);
            var chunk = new LoopChunk(started, meter, pcm);
            if (chunk.Index != next) throw Broken("chunk " + next + " and not " + chunk.Index);
            if (pcm.Length != chunk.Frames * started.Channels * started.Bits / 8) throw Broken("as much sound as the meter says");
            next++;
            return chunk;
        }

        byte[] Take(int count)
        {
            var taken = new byte[count];
            int at = 0;
            while (at < count)
            {
                int got;
                try { got = stream.Read(taken, at, count - at); }
                catch (Exception cut) when (cut is IOException || cut is System.Net.WebException || cut is ObjectDisposedException)
                {
                    throw new LoopmeterException("stream_broken", "the connection was cut: " + cut.Message, 0, cut);
                }
                if (got <= 0) throw Broken("more bytes");
                at += got;
            }
            return taken;
        }

        static LoopmeterException Broken(string expected)
        {
            return new LoopmeterException("stream_broken", "expected " + expected + "; resume the loop at its next chunk, free");
        }

        static uint BigEndian(byte[] data, int at)
        {
            return (uint)(data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3]);
        }

        static uint Crc(uint crc, byte[] data, int count)
        {
            for (int i = 0; i < count; i++) crc = CrcTable[(crc ^ data[i]) & 0xff] ^ crc >> 8;
            return crc;
        }

        static uint[] MakeCrcTable()
        {
            var table = new uint[256];
            for (uint i = 0; i < 256; i++)
            {
                uint entry = i;
                for (int bit = 0; bit < 8; bit++) entry = (entry & 1) != 0 ? 0xedb88320 ^ entry >> 1 : entry >> 1;
                table[i] = entry;
            }
            return table;
        }
    }
}
