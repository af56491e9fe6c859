"""The gateway: keys, prices, quotes, holds, ledger, streaming."""
