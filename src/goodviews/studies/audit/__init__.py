"""The doubts of Tschannen et al. 2019, put to a trained run or to any encoder and its views.

:func:`audit` reads a run's folder, :func:`audit_encoder` takes a torch module. Both measure seven
things on held-out images and end in a verdict by written rules, :data:`RULES`: does the mutual
information that critics find explain what a probe finds?

The files, in the order of use: subject (what is audited), bank (frozen features of the same view
pairs), contenders, fresh and every (critics trained anew), own (the run's own critic), shape
(geometry), compare (differences with errors), verdict, readings (of amounts and changes, in words),
session (keeps and goes on), doors (the two functions).
"""

from goodviews.studies.audit.doors import audit, audit_encoder
from goodviews.studies.audit.session import Audit
from goodviews.studies.audit.verdict import RULES

__all__ = ["RULES", "Audit", "audit", "audit_encoder"]
