"""The planner: words made choices, choices made a score. Pure, seeded, torch-free.

Reading order: ``brief.py`` (what a prompt said), ``plan.py`` (request and brief to score), ``compose.py`` (the
writing), ``genres/`` (what each style plays), ``midi.py`` (scores as files, and back), ``variety.py`` (training).
"""
