"""The LM judge: one question per problem about all its completions, answered with a cluster for each.

- ``params``: section ``scoring.judge``
- ``rubric``: what makes two completions the same strategy, told to the judge with examples
- ``shortening``: long completions cut in the middle, so that a group fits the judge's context
- ``question``: messages and JSON schema of one group
- ``reply``: what the judge said, believed only where every number and cluster is in range
- ``client``: HTTP with retries and back-off against any OpenAI-compatible chat endpoint
- ``cache``: replies on disk, named by the question
- ``clusterer``: all of it behind the interface of components.scoring.clusterers

Sections 3 and 5 of arXiv 2604.17654 describe the judge of the paper; the rubric here is our own.
"""

from __future__ import annotations
