"""What goes wrong while a network learns: said in a sentence, with a remedy, once."""

from collections.abc import Sequence

import numpy as np

from napari_pathseg.engine.evaluation.metrics import Confusion, mean_dice

_FAR_BELOW = 0.25  # Dice by which validation may stay behind training
_EARLY = 60  # steps before which a network may see one class only


class TrainingDiagnostics:
    """Looks at each validation; every kind of trouble is told once."""

    def __init__(self, class_names: Sequence[str]) -> None:
        self._names = class_names
        self._told: set[str] = set()

    def check(self, confusion: Confusion, training_dice: float | None, step: int) -> str | None:
        """Return what is wrong after a validation, or None.

        Parameters
        ----------
        confusion
            Of the held-out tiles.
        training_dice
            Mean Dice of the tiles that were learnt from lately; None where not known yet.
        step
            Steps made so far.
        """
        found = np.flatnonzero(confusion.matrix.sum(axis=0))
        if step >= _EARLY and len(found) == 1 and sum(confusion.present) > 1:
            name = self._names[int(found[0])]
            return self._once(
                "one class",
                f"The network calls everything {name}. Outline more of the other classes, set class_weights to "
                "balanced, or lower the step size.",
            )
        dice = mean_dice(confusion)
        if training_dice is not None and step >= _EARLY and training_dice - dice > _FAR_BELOW:
            return self._once(
                "by heart",
                f"It learns its slides by heart: Dice {training_dice:.2f} on them, {dice:.2f} on the held-out ones. "
                "Annotate slides of more patients, or raise stain_jitter and weight_decay.",
            )
        return None

    def _once(self, kind: str, text: str) -> str | None:
        if kind in self._told:
            return None
        self._told.add(kind)
        return text
