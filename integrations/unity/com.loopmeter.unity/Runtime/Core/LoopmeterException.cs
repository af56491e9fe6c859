using System;

namespace Loopmeter
{
    /// <summary>A call that did not work. Code is stable: insufficient_tokens, invalid_request, over_budget, unreachable,
    /// stream_broken, failed, or another one of the gateway's.</summary>
    public sealed class LoopmeterException : Exception
    {
        public readonly string Code;
        /// <summary>The HTTP status; 0 where there was no answer.</summary>
        public readonly int Status;

        public LoopmeterException(string code, string message, int status = 0, Exception cause = null)
            : base(message, cause)
        {
            Code = code;
            Status = status;
        }
    }
}
