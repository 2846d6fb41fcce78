"""How well objects are told apart: the Rand and information scores of the ISBI 2012 challenge.

Pixels near the border of a cell hardly matter to a biologist; two cells that flow into one
do.  So truth and prediction are taken as partitions into objects, the 4-connected pieces of
a class, and compared on the pixels that the truth gives to an object.  The predicted borders
are thinned first, so that their width does not count.  Arrays only: no torch, no files.
"""

from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from skimage.measure import label
from skimage.segmentation import watershed

Partition = npt.NDArray[np.int32]  # 0 where no object is, else its number


@dataclass(frozen=True)
class InstanceMetrics:
    """How two partitions agree, each number from 0 to 1.

    Attributes
    ----------
    v_rand, v_info
        The two scores of the challenge.
    rand_split, info_split
        What they owe to objects that were split: 1 where none was.
    rand_merge, info_merge
        What they owe to objects that were merged: 1 where none was.
    """

    v_rand: float
    rand_split: float
    rand_merge: float
    v_info: float
    info_split: float
    info_merge: float

    def to_json(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def instance_metrics(truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> InstanceMetrics | None:
    """Compare the objects of one class, True where the class is; None where the truth has no object."""
    if not truth.any():
        return None
    return compare(_objects(truth), thin_borders(predicted))


def mean_instance_metrics(parts: Iterable[InstanceMetrics | None]) -> InstanceMetrics | None:
    """Return the mean over slides, as the challenge takes it over slices; None where there are none."""
    rows = [astuple(part) for part in parts if part is not None]
    return InstanceMetrics(*map(float, np.mean(rows, axis=0))) if rows else None


def thin_borders(inside: npt.NDArray[np.bool_]) -> Partition:
    """Return the objects, numbered and grown until lines of one pixel part them.

    Notes
    -----
    What the challenge's script does [1]_: a watershed with 4-connectivity on the binary
    picture.  Its minima are the objects; the flat ground between them is flooded from all sides at
    one pace, and a pixel that two floods reach together becomes the line.  No object is split,
    merged or made by it.

    References
    ----------
    .. [1] Segmentation evaluation after border thinning, a script at https://imagej.net; its
       getMaximalVRandAfterThinning and getMaximalVInfoAfterThinning.
    """
    objects = _objects(inside)
    if not objects.any():
        return objects
    thinned: Partition = watershed(  # type: ignore[no-untyped-call]
        ~inside, objects, connectivity=1, watershed_line=True
    )
    return thinned


def _objects(inside: npt.NDArray[np.bool_]) -> Partition:
    numbered: Partition = label(inside, connectivity=1).astype(np.int32)  # type: ignore[no-untyped-call]
    return numbered


def compare(truth: Partition, predicted: Partition) -> InstanceMetrics:
    """Return the foreground-restricted scores of two partitions; `truth` has at least one object.

    Notes
    -----
    With p_ij the share of the truth's foreground that lies in predicted object i and true
    object j, s_i and t_j its sums, and alpha = 0.5 [1]_::

        V_rand = sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2)
        V_info = I(S; T) / (H(S) / 2 + H(T) / 2)

    The split parts divide by sum t_j^2 and H(S), the merge parts by sum s_i^2 and H(T).  A
    predicted border pixel on the foreground is an object of its own, as in the challenge.
    Where an entropy is 0 its partition is one object, which cannot be split (H(S)) or merged
    with another (H(T)): that part is 1.

    References
    ----------
    .. [1] Arganda-Carreras et al., Crowdsourcing the creation of image segmentation algorithms
       for connectomics, Frontiers in Neuroanatomy 9:142, 2015.
    """
    known = truth > 0
    s, t = predicted[known], truth[known]
    both = coo_array((np.ones(s.size), (s, t))).tocsr()
    both.sum_duplicates()
    line = both[[0], :].sum()
    p_ij = both[1:].data / s.size if both.shape[0] > 1 else np.empty(0)
    s_i, t_j = both.sum(axis=1)[1:] / s.size, both.sum(axis=0)[1:] / s.size
    alone = line / s.size  # the share of border pixels, each of them an object of its own
    joint = np.sum(p_ij**2) + alone / s.size
    of_s, of_t = np.sum(s_i**2) + alone / s.size, np.sum(t_j**2)
    single = alone * np.log(s.size)
    h_st, h_s, h_t = _entropy(p_ij) + single, _entropy(s_i) + single, _entropy(t_j)
    information = max(0.0, h_s + h_t - h_st)
    return InstanceMetrics(
        v_rand=float(2 * joint / (of_s + of_t)),
        rand_split=float(joint / of_t),
        rand_merge=float(joint / of_s),
        v_info=_share(2 * information, h_s + h_t),
        info_split=_share(information, h_s),
        info_merge=_share(information, h_t),
    )


def _entropy(shares: npt.NDArray[np.float64]) -> float:
    positive = shares[shares > 0]
    return float(-np.sum(positive * np.log(positive)))


def _share(part: float, whole: float) -> float:
    """Return a part of an entropy, 1 of none: what rounding leaves of 0 counts as 0."""
    return min(1.0, float(part / whole)) if whole > 1e-12 else 1.0
