"""The step ledger: every quantity of an optimizer's last step, with its formula and the numbers put in."""

from .algorithms import ALGORITHMS
from .quantity import Line, Lines, Quantity
from .record import Recorder, explain
from .report import DISTRIBUTED, EntryLedger, LayerLedger
