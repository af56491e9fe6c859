// Just enough JSON for the gateway's small answers: objects, arrays, strings, numbers, booleans, null. Unity's own
// JsonUtility needs the engine, and this folder must compile without it.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace Loopmeter
{
    /// <summary>Reads JSON into Dictionary, List, string, double, bool and null; writes strings and numbers.</summary>
    public static class Json
    {
        const int DepthMax = 32;

        /// <exception cref="FormatException">The text is not JSON, or is nested more than 32 deep.</exception>
        public static object Parse(string text)
        {
            var reader = new Reader(text);
            object value = reader.Value(0);
            reader.End();
            return value;
        }

        public static Dictionary<string, object> ParseObject(string text)
        {
            return Parse(text) as Dictionary<string, object> ?? throw new FormatException("expected a JSON object");
        }

        public static string Text(Dictionary<string, object> from, string name, string otherwise = "")
        {
            return from.TryGetValue(name, out object value) && value is string text ? text : otherwise;
        }

        public static long Whole(Dictionary<string, object> from, string name)
        {
            if (from.TryGetValue(name, out object value) && value is double number) return (long)number;
            throw new FormatException("expected a number called " + name);
        }

        public static string Quote(string text)
        {
            var quoted = new StringBuilder("\"");
            foreach (char character in text)
            {
                if (character == '"' || character == '\\') quoted.Append('\\').Append(character);
                else if (character < ' ') quoted.Append("\\u").Append(((int)character).ToString("x4"));
                else quoted.Append(character);
            }
            return quoted.Append('"').ToString();
        }

        public static string Number(double number)
        {
            return number.ToString("R", CultureInfo.InvariantCulture);
        }

        sealed class Reader
        {
            readonly string text;
            int at;

            public Reader(string text) { this.text = text; }

            public object Value(int depth)
            {
                if (depth > DepthMax) throw Wrong("at most " + DepthMax + " levels");
                switch (Peek())
                {
                    case '{': return Object(depth);
                    case '[': return Array(depth);
                    case '"': return String();
                    case 't': return Word("true", true);
                    case 'f': return Word("false", false);
                    case 'n': return Word("null", null);
                    default: return Number();
                }
            }

            public void End()
            {
                Blanks();
                if (at != text.Length) throw Wrong("the end");
            }

            Dictionary<string, object> Object(int depth)
            {
                var found = new Dictionary<string, object>();
                Take('{');
                if (Peek() == '}') { at++; return found; }
                while (true)
                {
                    if (Peek() != '"') throw Wrong("a name");
                    string name = String();
                    Take(':');
                    found[name] = Value(depth + 1);
                    if (Peek() == ',') { at++; continue; }
                    Take('}');
                    return found;
                }
            }

            List<object> Array(int depth)
            {
                var found = new List<object>();
                Take('[');
                if (Peek() == ']') { at++; return found; }
                while (true)
                {
                    found.Add(Value(depth + 1));
                    if (Peek() == ',') { at++; continue; }
                    Take(']');
                    return found;
                }
            }

            string String()
            {
                Take('"');
                var found = new StringBuilder();
                while (true)
                {
                    char character = Next();
                    if (character == '"') return found.ToString();
                    if (character != '\\') { found.Append(character); continue; }
                    character = Next();
                    int known = "bfnrt".IndexOf(character);
                    if (known >= 0) found.Append("\b\f\n\r\t"[known]);
                    else if (character == 'u') found.Append(Code());
                    else found.Append(character);
                }
            }

            char Code()
            {
                if (at + 4 > text.Length) throw Wrong("four digits");
                at += 4;
                return (char)Convert.ToInt32(text.Substring(at - 4, 4), 16);
            }

            object Number()
            {
                int start = at;
                while (at < text.Length && "+-.0123456789eE".IndexOf(text[at]) >= 0) at++;
                string digits = text.Substring(start, at - start);
                if (double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out double number)) return number;
                throw Wrong("a value");
            }

            object Word(string word, object value)
            {
                if (string.CompareOrdinal(text, at, word, 0, word.Length) != 0) throw Wrong(word);
                at += word.Length;
                return value;
            }

            char Peek()
            {
                Blanks();
                return at < text.Length ? text[at] : '\0';
            }

            char Next()
            {
                if (at >= text.Length) throw Wrong("more");
                return text[at++];
            }

            void Take(char expected)
            {
                if (Peek() != expected) throw Wrong("'" + expected + "'");
                at++;
            }

            void Blanks()
            {
                while (at < text.Length && " \t\r\n".IndexOf(text[at]) >= 0) at++;
            }

            FormatException Wrong(string expected)
            {
                return new FormatException("JSON: expected " + expected + " at character " + at);
            }
        }
    }
}
