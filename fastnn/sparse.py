"""Sparse matrices of weights: which entries there are, apart from their values.

`Pattern` is what a :class:`fastnn.layers.SparseDense` layer holds beside the values that it trains. Matrices themselves
are scipy's: those that users hand over, and the ``csr_array`` views that they get back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import scipy  # its submodules load on first use
from numpy.typing import ArrayLike, NDArray

from fastnn import kernels
from fastnn._kernels.door import first_unsorted
from fastnn._kernels.sparse_ops import Index
from fastnn.inputs import check_count, check_shape
from fastnn.named import number
from fastnn.sparse_inputs import row_of

__all__ = ["Pattern", "densities", "erdos_renyi", "random_pattern"]

Array = NDArray[Any]
INT32 = 2**31 - 1


class Pattern:
    """The positions of the entries of a sparse matrix, row by row: compressed rows without values.

    Row i has the columns ``indices[indptr[i]:indptr[i + 1]]``, in ascending order and each once. A pattern never
    changes, and many layers and threads may use one.

    Parameters
    ----------
    shape : (int, int)
        Rows (inputs of a layer) and columns (its outputs): up to 2**31 - 1 of them.
    indptr : array_like of int, shape (rows + 1,)
    indices : array_like of int, shape (nnz,)
    copy : bool, default True
        Whether to copy arrays that could be kept as they are: int64 for `indptr` and int32 for `indices`, contiguous.
        With False they are made read-only, and must not be changed through other views.

    Attributes
    ----------
    shape : (int, int)
    indptr : ndarray of int64, shape (rows + 1,), read-only
    indices : ndarray of int32, shape (nnz,), read-only
    nnz : int
        Number of entries.
    density : float
        Their share of the matrix.

    Raises
    ------
    TypeError, ValueError
        If the arrays hold no integers, `indptr` does not begin with 0, decreases, or does not end with the number of
        indices, or an index is not a column, or not above the one before it in its row; row and entry are named.

    Examples
    --------
    >>> from fastnn.sparse import Pattern
    >>> pattern = Pattern((2, 3), [0, 2, 3], [0, 2, 1])
    >>> pattern.matrix([1.0, 2.0, 3.0]).toarray()
    array([[1., 0., 2.],
           [0., 3., 0.]])
    """

    __slots__ = ("_index", "_small", "indices", "indptr", "shape")

    def __init__(self, shape: Any, indptr: ArrayLike, indices: ArrayLike, *, copy: bool = True) -> None:
        self.shape = _checked_shape(shape)
        pointers = _integers("indptr", indptr)
        columns = _integers("indices", indices)
        _check_pointers(pointers, self.shape[0], columns.size)
        _check_columns(columns, self.shape[1])
        self.indptr = _kept(pointers, np.int64, copy)
        self.indices = _kept(columns, np.int32, copy)
        _check_ascending(self.indptr, self.indices)
        self._index = Index(*self.shape, self.indptr, self.indices)
        self._small: Array | None = None

    @classmethod
    def of(cls, value: Any) -> Pattern:
        """That of a scipy.sparse matrix or array, or of an array of bool: where it is True.

        Entries that are stored are positions, whatever their values are. Rows may be unsorted, and duplicates count
        once; `value` stays as it is.

        Examples
        --------
        >>> import scipy.sparse
        >>> from fastnn.sparse import Pattern
        >>> Pattern.of(scipy.sparse.eye_array(4, format="csr"))
        <Pattern 4 x 4, 4 entries, density 0.25>
        """
        return entries_of(value, "pattern", valued=False)[0]

    @property
    def nnz(self) -> int:
        return int(self.indices.size)

    @property
    def density(self) -> float:
        return self.nnz / max(1, math.prod(self.shape))

    def rows(self) -> Array:
        """The row of each entry, int32 (nnz,)."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    def equals(self, other: Pattern) -> bool:
        """Whether both have the same shape and the same positions."""
        return self is other or (self.shape == other.shape and np.array_equal(self.indptr, other.indptr)
                                 and np.array_equal(self.indices, other.indices))

    def places_in(self, other: Pattern) -> NDArray[np.int64]:
        """Where each entry stands among those of `other`, a pattern of the same shape; -1 where it is none of them."""
        if other.shape != self.shape:
            raise ValueError(f"the patterns must have one shape; received {self.shape} and {other.shape}")
        return self._index.places_in(other._index)

    def matrix(self, values: ArrayLike) -> Any:
        """A ``scipy.sparse.csr_array`` of these values, without copies: it has their memory and that of the pattern."""
        data = np.asarray(values)
        if data.shape != (self.nnz,):
            raise ValueError(f"values must have the shape ({self.nnz},), one for each entry; received {data.shape}")
        if self._small is None:  # scipy wants one type for both
            self._small = self.indptr if self.nnz > INT32 else _read_only(self.indptr.astype(np.int32))
        matrix = scipy.sparse.csr_array(self.shape, dtype=data.dtype)
        matrix.indptr, matrix.data = self._small, data
        matrix.indices = self.indices if self._small.dtype == np.int32 else self.indices.astype(np.int64)
        matrix.has_canonical_format = True
        return matrix

    def __reduce__(self) -> tuple[Any, ...]:
        return _taken_over, (self.shape, self.indptr, self.indices)

    def __copy__(self) -> Pattern:
        return self

    def __deepcopy__(self, memo: Any) -> Pattern:
        return self

    def __repr__(self) -> str:
        return f"<Pattern {self.shape[0]} x {self.shape[1]}, {self.nnz} entries, density {self.density:.3g}>"


def random_pattern(shape: Any, nnz: int, seed: Any = None) -> Pattern:
    """`nnz` positions drawn uniformly from all those of a matrix.

    Parameters
    ----------
    shape : (int, int)
    nnz : int
        From 1 to the size of the matrix, which is at most 2**53.
    seed : int or sequence of int, optional
        Makes the pattern repeatable.

    Returns
    -------
    Pattern

    Examples
    --------
    >>> from fastnn.sparse import random_pattern
    >>> random_pattern((100, 50), 500, seed=0)
    <Pattern 100 x 50, 500 entries, density 0.1>
    """
    rows, cols = _checked_shape(shape)
    if rows * cols > kernels.topology.MOST:
        raise ValueError(f"{rows} x {cols} is more than the 2**53 positions that can be drawn from")
    nnz = check_count("nnz", nnz, 1, rows * cols)
    key = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    indptr, indices = kernels.compressed_rows(kernels.random_positions(rows * cols, nnz, seed=key), (rows, cols))
    return Pattern((rows, cols), indptr, indices, copy=False)


def erdos_renyi(shape: Any, epsilon: float) -> float:
    """The share of a kernel's connections in an Erdos-Renyi graph: ``epsilon * (n_in + n_out) / (n_in * n_out)``, at
    most 1 (Mocanu et al., "Scalable training of artificial neural networks with adaptive sparse connectivity inspired
    by network science", 2018). So a unit has about as many connections whatever the size of its layer.

    Parameters
    ----------
    shape : (int, int)
    epsilon : float
        Greater than 0. 20 is usual; 3 to 6 still learn.

    Returns
    -------
    float

    Examples
    --------
    >>> from fastnn.sparse import erdos_renyi
    >>> erdos_renyi((1000, 1000), 20), erdos_renyi((1000, 10), 20)
    (0.04, 1.0)
    """
    shape = _checked_shape(shape, 1)
    return min(1.0, number("epsilon", epsilon, "(0, inf)") * sum(shape) / math.prod(shape))


def densities(shapes: Any, density: float, rule: str = "erk") -> list[float]:
    """Shares of the connections of kernels, that together have the share `density`.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the kernels: (inputs, outputs), or of more dimensions.
    density : float
        In (0, 1].
    rule : {"erk", "uniform"}, default "erk"
        "erk", Erdos-Renyi-Kernel: in proportion to ``sum(shape) / prod(shape)``, so that small kernels are denser;
        those that would have more than all connections have all, and the others share the rest (Evci, Gale, Menick,
        Castro and Elsen, "Rigging the lottery: making all tickets winners", 2020). "uniform": the same for all.

    Returns
    -------
    list of float

    Raises
    ------
    TypeError, ValueError
        If an argument is not allowed.

    Examples
    --------
    >>> from fastnn.sparse import densities
    >>> [round(share, 4) for share in densities([(784, 300), (300, 100), (100, 10)], 0.1)]
    [0.0796, 0.2302, 1.0]
    """
    share = number("density", density, "(0, 1]")
    if rule not in ("erk", "uniform"):
        raise ValueError(f"rule must be 'erk' or 'uniform'; received {rule!r}")
    sizes = [check_shape(f"shapes[{i}]", shape) for i, shape in enumerate(shapes)]
    if rule == "uniform":
        return [share] * len(sizes)
    number_of = np.array([math.prod(shape) for shape in sizes], np.float64)
    weight = np.array([sum(shape) for shape in sizes]) / number_of
    full = np.zeros(len(sizes), np.bool_)
    while True:
        left = share * number_of.sum() - number_of[full].sum()
        found = np.where(full, 1.0, weight * left / max((weight * number_of)[~full].sum(), 1.0))
        if not (found > 1).any():
            return [float(part) for part in found]
        full |= found > 1


def entries_of(value: Any, name: str, valued: bool = True) -> tuple[Pattern, Array | None]:
    """The positions of a sparse matrix or an array of bool, and their values, None where it has none or they do not
    matter."""
    if isinstance(value, Pattern):
        return value, None
    if isinstance(value, np.ndarray) and value.dtype == np.bool_ and value.ndim == 2:
        rows, cols = np.nonzero(value)
        counts = np.bincount(rows, minlength=len(value))
        return Pattern(value.shape, np.concatenate([[0], np.cumsum(counts)]), cols), None
    if not hasattr(value, "tocsr") or getattr(value, "ndim", 0) != 2:
        raise TypeError(f"{name} must be a Pattern, a scipy.sparse matrix, or an array of bool of two dimensions; "
                        f"received {value!r}")
    pattern, values = _of_scipy(value, name, valued)
    return pattern, values if valued else None


def _of_scipy(value: Any, name: str, valued: bool) -> tuple[Pattern, Array]:
    """scipy reads arrays of a wrong structure without a check of its own: they are checked before it sees them."""
    shape = _checked_shape(value.shape)
    places: tuple[Any, ...]
    if value.format in ("csr", "csc"):
        lines, length = shape if value.format == "csr" else shape[::-1]
        pointers, columns = _integers(f"{name}.indptr", value.indptr), _integers(f"{name}.indices", value.indices)
        columns = columns[:int(pointers.max(initial=0))]  # behind them is room
        _check_pointers(pointers, lines, columns.size, f"{name}.indptr")
        _check_columns(columns, length, f"{name}.indices")
        data, places = value.data[:columns.size], (columns, pointers)
    else:
        value = value.tocoo()
        for axis, (size, coords) in enumerate(zip(shape, value.coords, strict=True)):
            _check_columns(_integers(f"{name}.coords[{axis}]", coords), size, f"{name}.coords[{axis}]")
        columns, data, places = value.coords[0], value.data, (value.coords,)
    if data.shape != columns.shape or (valued and data.dtype.kind not in "biuf"):
        raise TypeError(f"{name} must have {columns.size} real numbers; received {data.dtype} of shape {data.shape}")
    if not valued:
        data = np.ones(columns.size, np.bool_)
    elif data.dtype not in (np.float32, np.float64):  # scipy adds up few others
        with np.errstate(over="ignore"):
            data = data.astype(np.float64)
    matrix = getattr(scipy.sparse, f"{value.format}_array")((data, *places), shape=shape).tocsr()
    if first_unsorted(np.ascontiguousarray(matrix.indptr, np.int64), np.ascontiguousarray(matrix.indices)) >= 0:
        matrix = matrix.copy()  # the arrays are those of `value`
        matrix.sum_duplicates()
    return Pattern(shape, matrix.indptr, matrix.indices), matrix.data


def _taken_over(shape: tuple[int, int], indptr: Array, indices: Array) -> Pattern:
    return Pattern(shape, indptr, indices, copy=False)


def _checked_shape(shape: Any, low: int = 0) -> tuple[int, int]:
    if not isinstance(shape, (tuple, list)) or len(shape) != 2:
        raise TypeError(f"shape must be a pair of integers, (rows, columns); received {shape!r}")
    return check_count("the number of rows", shape[0], low), check_count("the number of columns", shape[1], low)


def _integers(name: str, value: ArrayLike) -> Array:
    array = np.asarray(value)
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"{name} must be integers of one dimension; received {array.dtype} of shape {array.shape}")
    return array


def _check_pointers(indptr: Array, rows: int, nnz: int, name: str = "indptr") -> None:
    if indptr.size != rows + 1:
        raise ValueError(f"{name} must have {rows + 1} numbers for {rows} rows; received {indptr.size}")
    if indptr[0] != 0:
        raise ValueError(f"{name} must begin with 0; received {indptr[0]}")
    if (falls := indptr[1:] < indptr[:-1]).any():
        row = int(np.argmax(falls))
        raise ValueError(f"{name} must not decrease; received {indptr[row]} and {indptr[row + 1]} for row {row}")
    if indptr[-1] != nnz:
        raise ValueError(f"{name} must end with the number of indices, {nnz}; received {indptr[-1]}")


def _check_columns(indices: Array, cols: int, name: str = "indices") -> None:
    if indices.size and not (indices.min() >= 0 and indices.max() < cols):
        entry = int(np.argmax((indices < 0) | (indices >= cols)))
        raise ValueError(f"{name} must be in [0, {cols}); received {indices[entry]} as entry {entry}")


def _check_ascending(indptr: Array, indices: Array) -> None:
    """Both are of the right range."""
    entry = first_unsorted(indptr, indices)
    if entry >= 0:
        raise ValueError(f"indices of a row must be ascending, each once; received {indices[entry - 1]}, then "
                         f"{indices[entry]} in row {row_of(indptr, entry)}")


def _kept(array: Array, dtype: Any, copy: bool) -> Array:
    return _read_only(np.array(array, dtype, order="C", copy=True if copy else None))


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array
