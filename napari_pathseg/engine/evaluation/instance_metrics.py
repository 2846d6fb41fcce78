"""Instance metrics: the Rand and information scores of the ISBI 2012 challenge.

Pixels near the border of a cell hardly matter to a biologist, but two merged cells do.  Truth and
prediction are therefore treated as partitions into instances, the 4-connected components of a class,
and compared on the foreground of the truth.  The predicted borders are thinned first, so that their
width does not count.  Arrays only: no torch, no files.
"""

from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from skimage.measure import label
from skimage.segmentation import watershed

Partition = npt.NDArray[np.int32]  # instance number of each pixel, 0 outside all instances


@dataclass(frozen=True)
class InstanceMetrics:
    """The agreement of two partitions, from 0 to 1.

    Attributes
    ----------
    v_rand, v_info
        The two scores of the challenge.
    rand_split, info_split
        Their split components: 1 if no instance was split.
    rand_merge, info_merge
        Their merge components: 1 if no instances were merged.
    """

    v_rand: float
    rand_split: float
    rand_merge: float
    v_info: float
    info_split: float
    info_merge: float

    def to_json(self) -> dict[str, float]:
        """Return the scores by name."""
        return asdict(self)


def instance_metrics(truth: npt.NDArray[np.bool_], predicted: npt.NDArray[np.bool_]) -> InstanceMetrics | None:
    """Compare the instances of one class, given as binary masks; return None if the truth has none."""
    if not truth.any():
        return None
    return compare_partitions(_label_instances(truth), thin_borders(predicted))


def mean_instance_metrics(slides: Iterable[InstanceMetrics | None]) -> InstanceMetrics | None:
    """Return the mean over slides, as the challenge does over slices; None if no slide has metrics."""
    rows = [astuple(metrics) for metrics in slides if metrics is not None]
    return InstanceMetrics(*map(float, np.mean(rows, axis=0))) if rows else None


def thin_borders(inside: npt.NDArray[np.bool_]) -> Partition:
    """Return the numbered instances, grown until lines of one pixel separate them.

    Notes
    -----
    The challenge's script does the same [1]_: a watershed with 4-connectivity on the binary mask.
    The markers are the instances; the plateau between them is flooded from all sides at the same
    speed, and a pixel that two floods reach at once becomes the line.  No instance is split, merged
    or created.

    References
    ----------
    .. [1] Segmentation evaluation after border thinning, a script at https://imagej.net; its
       getMaximalVRandAfterThinning and getMaximalVInfoAfterThinning.
    """
    instances = _label_instances(inside)
    if not instances.any():
        return instances
    thinned: Partition = watershed(  # type: ignore[no-untyped-call]
        ~inside, instances, connectivity=1, watershed_line=True
    )
    return thinned


def _label_instances(inside: npt.NDArray[np.bool_]) -> Partition:
    numbered: Partition = label(inside, connectivity=1).astype(np.int32)  # type: ignore[no-untyped-call]
    return numbered


def compare_partitions(truth: Partition, predicted: Partition) -> InstanceMetrics:
    """Return the foreground-restricted scores of two partitions; `truth` has at least one instance.

    Notes
    -----
    With p_ij the fraction of the truth's foreground that lies in predicted instance i and true
    instance j, s_i and t_j its marginal sums, and alpha = 0.5 [1]_::

        V_rand = sum p_ij^2 / (sum s_i^2 / 2 + sum t_j^2 / 2)
        V_info = I(S; T) / (H(S) / 2 + H(T) / 2)

    The split components divide by sum t_j^2 and H(S), the merge components by sum s_i^2 and H(T).
    Each predicted border pixel on the foreground counts as a separate instance, as in the challenge.
    If an entropy is 0, its partition is a single instance, which cannot be split (H(S)) or merged
    with another (H(T)): that component is 1.

    References
    ----------
    .. [1] Arganda-Carreras et al., Crowdsourcing the creation of image segmentation algorithms
       for connectomics, Frontiers in Neuroanatomy 9:142, 2015.
    """
    foreground = truth > 0
    s, t = predicted[foreground], truth[foreground]
    both = coo_array((np.ones(s.size), (s, t))).tocsr()
    both.sum_duplicates()
    border = both[[0], :].sum()
    p_ij = both[1:].data / s.size if both.shape[0] > 1 else np.empty(0)
    s_i, t_j = both.sum(axis=1)[1:] / s.size, both.sum(axis=0)[1:] / s.size
    borders = border / s.size  # fraction of border pixels, each of which is a separate instance
    joint = np.sum(p_ij**2) + borders / s.size
    squares_s, squares_t = np.sum(s_i**2) + borders / s.size, np.sum(t_j**2)
    border_entropy = borders * np.log(s.size)
    h_st, h_s, h_t = _entropy(p_ij) + border_entropy, _entropy(s_i) + border_entropy, _entropy(t_j)
    information = max(0.0, h_s + h_t - h_st)
    return InstanceMetrics(
        v_rand=float(2 * joint / (squares_s + squares_t)),
        rand_split=float(joint / squares_t),
        rand_merge=float(joint / squares_s),
        v_info=_ratio(2 * information, h_s + h_t),
        info_split=_ratio(information, h_s),
        info_merge=_ratio(information, h_t),
    )


def _entropy(fractions: npt.NDArray[np.float64]) -> float:
    positive = fractions[fractions > 0]
    return float(-np.sum(positive * np.log(positive)))


def _ratio(part: float, whole: float) -> float:
    """Return the ratio of two entropies, 1 if `whole` is 0 up to rounding errors."""
    return min(1.0, float(part / whole)) if whole > 1e-12 else 1.0
