// As much of Unity as the package uses, so that all of it compiles and the player runs on a clock that the test turns.

using System;
using System.Collections.Generic;

namespace UnityEngine
{
    public class Object
    {
        public static readonly List<Object> Destroyed = new List<Object>();
        public static void Destroy(Object gone) { if (gone != null) Destroyed.Add(gone); }
    }

    public class GameObject : Object
    {
        public readonly List<AudioSource> Sources = new List<AudioSource>();
        public T AddComponent<T>() where T : Object, new()
        {
            var made = new T();
            if (made is AudioSource source) Sources.Add(source);
            return made;
        }
    }

    public class Component : Object
    {
        public GameObject gameObject = new GameObject();
        public T GetComponent<T>() where T : class { return null; }
    }

    public class MonoBehaviour : Component { }

    public class AudioSource : Component
    {
        public AudioClip clip;
        public bool loop;
        public float volume = 1;
        public double ScheduledAtS = -1, EndsAtS = -1;
        public void PlayScheduled(double at) { ScheduledAtS = at; }
        public void SetScheduledEndTime(double at) { EndsAtS = at; }
    }

    public class AudioClip : Object
    {
        public string Name;
        public int samples, channels, frequency;
        public float[] Data;
        public float length { get { return samples / (float)frequency; } }
        public static AudioClip Create(string name, int lengthSamples, int channels, int frequency, bool stream)
        {
            return new AudioClip { Name = name, samples = lengthSamples, channels = channels, frequency = frequency };
        }
        public bool SetData(float[] data, int offset) { Data = data; return data.Length == samples * channels; }
    }

    public static class AudioSettings { public static double dspTime; }
    public static class Debug { public static void LogWarning(object what) { } }
    public enum KeyCode { Space }
    public static class Input { public static bool GetKeyDown(KeyCode key) { return false; } }
    public static class GUI { public static bool enabled; }
    public static class GUILayout { public static bool Button(string text) { return false; } }

    public class TooltipAttribute : Attribute { public TooltipAttribute(string text) { } }
    public class RangeAttribute : Attribute { public RangeAttribute(float from, float to) { } }
    public class AddComponentMenu : Attribute { public AddComponentMenu(string text) { } }
    public class RequireComponent : Attribute { public RequireComponent(Type type) { } }
}

namespace UnityEditor
{
    public class EditorWindow : UnityEngine.Object
    {
        public static T GetWindow<T>(string title) where T : class { return null; }
        public void Repaint() { }
    }

    public class MenuItem : Attribute { public MenuItem(string path) { } }
    public static class AssetDatabase { public static void Refresh() { } }

    public static class EditorPrefs
    {
        public static string GetString(string name, string otherwise) { return otherwise; }
        public static void SetString(string name, string value) { }
    }

    public static class EditorGUILayout
    {
        public static string TextField(string label, string value) { return value; }
        public static string PasswordField(string label, string value) { return value; }
        public static float FloatField(string label, float value) { return value; }
        public static int IntField(string label, int value) { return value; }
        public static bool Toggle(string label, bool value) { return value; }
        public static void LabelField(string text) { }
    }
}
