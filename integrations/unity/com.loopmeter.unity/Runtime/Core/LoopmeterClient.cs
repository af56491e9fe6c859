// The gateway from C#: price, loop as it is made, cancel, balance. Blocking: call it from a worker thread, as
// LoopPlayer does. No engine types in this folder.

using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Text;

namespace Loopmeter
{
    /// <summary>One gateway and one key. In a shipped game the key is a short-lived client token that your server asked
    /// for with POST /v1/client-tokens, never an API key.</summary>
    public sealed class LoopmeterClient
    {
        const int ResumesMax = 5;

        readonly string url;
        readonly string key;
        readonly int timeoutMs;

        public LoopmeterClient(string url, string key, int timeoutMs = 30000)
        {
            this.url = url.TrimEnd('/');
            this.key = key;
            this.timeoutMs = timeoutMs;
        }

        /// <summary>The exact price and length. Makes nothing, holds nothing.</summary>
        /// <exception cref="LoopmeterException">The request is wrong, or the gateway is not there.</exception>
        public Quote Quote(LoopRequest request)
        {
            return new Quote(Json.ParseObject(Ask("POST", "/v1/quotes", request.ToJson())));
        }

        /// <summary>Tokens that can be spent, and tokens held for loops in the making.</summary>
        public void Balance(out long available, out long held)
        {
            var answer = Json.ParseObject(Ask("GET", "/v1/balance", null));
            available = Json.Whole(answer, "available");
            held = Json.Whole(answer, "held");
        }

        /// <summary>Stop a job. Gives what the chunks that had come cost.</summary>
        public long Cancel(string job)
        {
            return Json.Whole(Json.ParseObject(Ask("DELETE", "/v1/loops/" + job, null)), "tokens_charged");
        }

        /// <summary>The score of a job as a Standard MIDI File.</summary>
        public byte[] Midi(string job)
        {
            using (HttpWebResponse response = Send("GET", "/v1/loops/" + job + "/midi", null, null, null))
            using (Stream body = response.GetResponseStream())
            using (var whole = new MemoryStream())
            {
                body.CopyTo(whole);
                return whole.ToArray();
            }
        }

        /// <summary>Make a loop. onChunk gets its pieces as they come, in order and each once; when it gives false, the loop is
        /// cancelled. A connection that breaks is taken up again at the next chunk, which costs nothing.</summary>
        /// <param name="maxTokens">Refuse when the price is higher (code over_budget): nothing is held or charged then.</param>
        /// <exception cref="LoopmeterException">Nothing is charged for what was not delivered.</exception>
        public LoopEnded Stream(
            LoopRequest request, Func<LoopStarted, LoopChunk, bool> onChunk, long? maxTokens = null,
            Action<LoopStarted> onStarted = null)
        {
            Quote quote = Quote(request);
            if (maxTokens.HasValue && quote.Tokens > maxTokens.Value)
                throw new LoopmeterException(
                    "over_budget", "expected a price of at most " + maxTokens + " tokens, found " + quote.Tokens);
            // One key for the intent, made outside the retries: however often it is sent, it makes and charges one loop.
            string intent = Guid.NewGuid().ToString("N");
            var place = new Place();
            for (int resumes = 0; ; resumes++)
            {
                try
                {
                    string path = place.Started == null ? "/v1/loops" : "/v1/loops/" + place.Started.Job + "/chunks?from=" + place.Next;
                    string body = place.Started == null ? request.ToJson(quote.Id) : null;
                    using (HttpWebResponse response = Send(body == null ? "GET" : "POST", path, body, ChunksType, intent))
                    {
                        LoopEnded ended = Follow(response, place, onChunk, onStarted);
                        if (ended.State == "completed" || ended.State == "cancelled") return ended;
                        if (ended.State == "failed") throw new LoopmeterException("failed", ended.Problem ?? "the loop failed");
                    }
                }
                catch (LoopmeterException broken) when (
                    (broken.Code == "stream_broken" || broken.Code == "unreachable") && resumes < ResumesMax)
                {
                    System.Threading.Thread.Sleep(100 << resumes);
                }
                if (resumes >= ResumesMax) throw new LoopmeterException("stream_broken", "the stream broke again and again");
            }
        }

        const string ChunksType = "application/vnd.loopmeter.chunks";

        sealed class Place
        {
            public LoopStarted Started;
            public int Next;
        }

        LoopEnded Follow(
            HttpWebResponse response, Place place, Func<LoopStarted, LoopChunk, bool> onChunk, Action<LoopStarted> onStarted)
        {
            var reader = new ChunkReader(response.GetResponseStream());
            while (true)
            {
                object read = reader.Read();
                if (read is LoopStarted started)
                {
                    if (place.Started == null && onStarted != null) onStarted(started);
                    place.Started = started;
                }
                else if (read is LoopChunk chunk)
                {
                    place.Next = chunk.Index + 1;
                    if (!onChunk(place.Started, chunk))
                    {
                        Cancel(place.Started.Job);
                        response.Close();
                        return Cancelled(place.Started.Job);
                    }
                }
                else return (LoopEnded)read;
            }
        }

        LoopEnded Cancelled(string job)
        {
            return new LoopEnded(Json.ParseObject(Ask("GET", "/v1/loops/" + job, null)));
        }

        string Ask(string method, string path, string body)
        {
            using (HttpWebResponse response = Send(method, path, body, null, null))
            using (var reader = new StreamReader(response.GetResponseStream(), Encoding.UTF8))
                return reader.ReadToEnd();
        }

        HttpWebResponse Send(string method, string path, string body, string accept, string intent)
        {
            var request = (HttpWebRequest)WebRequest.Create(url + path);
            request.Method = method;
            request.Timeout = timeoutMs;
            request.ReadWriteTimeout = timeoutMs;
            request.AllowReadStreamBuffering = false;
            request.Headers["Authorization"] = "Bearer " + key;
            if (accept != null) request.Accept = accept;
            if (intent != null && method == "POST") request.Headers["Idempotency-Key"] = intent;
            try
            {
                if (body != null)
                {
                    byte[] bytes = Encoding.UTF8.GetBytes(body);
                    request.ContentType = "application/json";
                    request.ContentLength = bytes.Length;
                    using (Stream sink = request.GetRequestStream()) sink.Write(bytes, 0, bytes.Length);
                }
                return (HttpWebResponse)request.GetResponse();
            }
            catch (WebException failed)
            {
                throw Refused(failed);
            }
        }

        LoopmeterException Refused(WebException failed)
        {
            var response = failed.Response as HttpWebResponse;
            if (response == null)
                return new LoopmeterException(
                    "unreachable", "expected a gateway at " + url + ", found: " + failed.Message, 0, failed);
            using (response)
            using (var reader = new StreamReader(response.GetResponseStream(), Encoding.UTF8))
            {
                int status = (int)response.StatusCode;
                try
                {
                    var problem = Json.ParseObject(reader.ReadToEnd());
                    return new LoopmeterException(
                        Json.Text(problem, "code", "internal"), Json.Text(problem, "detail", failed.Message), status, failed);
                }
                catch (FormatException)
                {
                    return new LoopmeterException("internal", "the gateway answered " + status, status, failed);
                }
            }
        }
    }
}
