"""Run these pieces: in this process, in several of this machine, or on Ray. Results come in the order of the pieces.

A piece is work that stands alone and that can be done twice without harm: what it leaves behind has a name that follows
from what it is. A worker that dies loses the piece it had, which another one does again; each result comes once.
"""

from llactr.pieces.base import ALONE, PIECES_AHEAD, Begin, Seat, Workers
from llactr.pieces.run import run_pieces

__all__ = ["ALONE", "PIECES_AHEAD", "Begin", "Seat", "Workers", "run_pieces"]
