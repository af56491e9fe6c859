"""Judging generated loops against the ground truth, with judges that we did not write. Never part of the product.

Reading order: ``loops`` and ``asked`` (what is judged), ``audio`` (its versions, made once), ``outside`` (judges of
others, in their own environment), ``pitch``, ``onsets``, ``spectra``, ``stems``, ``instruments`` (our own measures),
``piece`` and ``steps`` (what takes long), ``rows``, ``report``, ``report_asked``, ``causes``, ``pictures``.
"""
