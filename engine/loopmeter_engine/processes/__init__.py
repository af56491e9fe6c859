"""An engine that works in several processes of this machine, since one interpreter's lock holds up its threads.

Reading order: ``engine.py`` keeps the contract, ``crew.py`` keeps the processes alive and chooses among them,
``process.py`` is one of them as its host sees it, ``child.py`` is what runs in it, ``count.py`` says how many there
should be. Nothing in here imports torch; only ``child.py`` loads an engine.
"""
