"""An engine in another process: ``server.py`` offers one, ``client.py`` is one, ``wire.py`` joins them."""
