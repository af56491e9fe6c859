using System.IO;
using System.Text;

namespace Loopmeter
{
    /// <summary>A loop as a WAV file.</summary>
    public static class Wav
    {
        /// <summary>Write the file beside its place, then put it there: whole or not at all.</summary>
        public static void Write(string path, byte[] pcm, LoopStarted format)
        {
            string part = path + ".part";
            using (var file = new BinaryWriter(File.Create(part)))
            {
                int padding = pcm.Length & 1;
                int frameBytes = format.Channels * format.Bits / 8;
                file.Write(Encoding.ASCII.GetBytes("RIFF"));
                file.Write(36 + pcm.Length + padding);
                file.Write(Encoding.ASCII.GetBytes("WAVEfmt "));
                file.Write(16);
                file.Write((short)1);
                file.Write((short)format.Channels);
                file.Write(format.SampleRateHz);
                file.Write(format.SampleRateHz * frameBytes);
                file.Write((short)frameBytes);
                file.Write((short)format.Bits);
                file.Write(Encoding.ASCII.GetBytes("data"));
                file.Write(pcm.Length);
                file.Write(pcm);
                if (padding == 1) file.Write((byte)0);
            }
            if (File.Exists(path)) File.Delete(path);
            File.Move(part, path);
        }
    }
}
