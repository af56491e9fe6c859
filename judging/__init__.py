"""Judging generated loops against the ground truth, with judges that we did not write. Never part of the product.

Reading order: ``loops`` (what is judged), ``audio`` (its versions, made once), ``outside`` (judges of others, in their
own environment), ``pitch``, ``onsets``, ``spectra`` (our own measures), ``report``, ``pictures``.
"""
