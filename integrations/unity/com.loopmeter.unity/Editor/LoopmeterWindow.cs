using System.IO;
using System.Threading;
using UnityEditor;
using UnityEngine;

namespace Loopmeter
{
    /// <summary>Window, Loopmeter: see the price, then bake a loop into Assets. The API key stays in the editor's own
    /// preferences, outside the project.</summary>
    public sealed class LoopmeterWindow : EditorWindow
    {
        string url = "http://127.0.0.1:8130", prompt = "dusty lo-fi drums", musicalKey = "Am", folder = "Assets/Loops";
        float tempo = 92;
        int bars = 4, seed;
        bool hifi;
        Quote price;
        string told = "";
        volatile string toldLater;
        volatile bool busy;

        [MenuItem("Window/Loopmeter")]
        public static void Open()
        {
            GetWindow<LoopmeterWindow>("Loopmeter");
        }

        void OnGUI()
        {
            url = EditorGUILayout.TextField("Gateway", url);
            string key = EditorPrefs.GetString("loopmeter.key", "");
            string typed = EditorGUILayout.PasswordField("API key", key);
            if (typed != key) EditorPrefs.SetString("loopmeter.key", typed);
            prompt = EditorGUILayout.TextField("Prompt", prompt);
            tempo = EditorGUILayout.FloatField("Tempo (bpm)", tempo);
            bars = EditorGUILayout.IntField("Bars", bars);
            musicalKey = EditorGUILayout.TextField("Key", musicalKey);
            seed = EditorGUILayout.IntField("Seed", seed);
            hifi = EditorGUILayout.Toggle("Hi-fi", hifi);
            folder = EditorGUILayout.TextField("Folder", folder);
            GUI.enabled = !busy;
            if (GUILayout.Button("Price")) Run(typed, false);
            GUI.enabled = !busy && price != null;
            if (GUILayout.Button(price == null ? "Bake" : "Bake for at most " + price.Tokens + " tokens")) Run(typed, true);
            GUI.enabled = true;
            EditorGUILayout.LabelField(told);
        }

        void Run(string key, bool bake)
        {
            var request = new LoopRequest(prompt, tempo, bars, musicalKey) { Seed = seed, Quality = hifi ? "hifi" : "standard" };
            string into = Path.Combine(folder, "loop-" + seed + ".wav");
            busy = true;
            new Thread(() =>
            {
                try
                {
                    var client = new LoopmeterClient(url, key);
                    if (bake) toldLater = Bake(client, request, price.Tokens, into);
                    else
                    {
                        price = client.Quote(request);
                        toldLater = price.Tokens + " tokens for " + price.Frames + " frames";
                    }
                }
                catch (LoopmeterException refused) { toldLater = refused.Code + ": " + refused.Message; }
                catch (IOException failed) { toldLater = failed.Message; }
                busy = false;
            }) { IsBackground = true }.Start();
        }

        static string Bake(LoopmeterClient client, LoopRequest request, long maxTokens, string into)
        {
            LoopStarted format = null;
            var sound = new MemoryStream();
            LoopEnded ended = client.Stream(request, (started, chunk) =>
            {
                format = started;
                sound.Write(chunk.Pcm, 0, chunk.Pcm.Length);
                return true;
            }, maxTokens);
            Directory.CreateDirectory(Path.GetDirectoryName(into));
            Wav.Write(into, sound.ToArray(), format);
            File.WriteAllBytes(Path.ChangeExtension(into, ".mid"), client.Midi(format.Job));
            return ended.TokensCharged + " tokens charged, " + into;
        }

        void Update()
        {
            if (toldLater == null) return;
            told = toldLater;
            toldLater = null;
            AssetDatabase.Refresh();
            Repaint();
        }
    }
}
