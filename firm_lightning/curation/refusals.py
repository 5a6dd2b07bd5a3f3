"""Refusals of single calls, told apart from a server that refuses whatever it is asked."""

from __future__ import annotations

from firm_lightning.critics.http_errors import CriticRefuses
from firm_lightning.types import Answer, Refused


class Refusals:
    """The row of refusals since the last answer, across rounds.

    A refusal is held back until an answer (or the end of the round) shows that it is this call's own: what a wrong
    setting has refused must not be taken down as answered, because nobody would ask it again.

    Args:
        in_a_row: So many without an answer between them are the server's.
    """

    def __init__(self, in_a_row: int) -> None:
        self.in_a_row = in_a_row
        self._counted = 0
        self._held: list[tuple[int, Answer | Refused]] = []

    def begin(self) -> None:
        """A round begins; what an interrupted one held back is asked again by whoever resumes it."""
        self._held = []

    def add(self, place: int, why: str, told: str) -> None:
        """One call is refused; ``told`` says so in full, for the error.

        Raises:
            CriticRefuses: The row is as long as it may be.
        """
        self._counted += 1
        self._held.append((place, Refused(why)))
        if self._counted >= self.in_a_row:
            self._counted = 0
            raise CriticRefuses(
                f"{self.in_a_row} refusals in a row and no answer between them, the last: {told.rstrip('.')}. Correct "
                "model, the stage or the pictures, or raise refusals_in_a_row, and resume the run."
            )

    def answered(self) -> list[tuple[int, Answer | Refused]]:
        """An answer came: the row ends, and what was held back is given."""
        self._counted = 0
        return self.released()

    def released(self) -> list[tuple[int, Answer | Refused]]:
        """The round is over: what was held back is given, and still counts."""
        released, self._held = self._held, []
        return released
