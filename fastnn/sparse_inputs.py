"""The door for sparse matrices: what users hand over becomes compressed rows that the engine may read.

scipy takes a matrix at its word: whoever writes to its arrays, or makes it of arrays of his own, can have it say that
a column lies where there is none, and code that believes this reads and writes memory of others. So everything is
looked at here, in one pass over the columns, before anything is computed or converted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn._kernels.door import all_values_finite, first_outside, first_unsorted, indptr_fault
from fastnn.inputs import as_array

__all__ = ["Csr", "as_csr", "check_structure", "is_sparse", "joined", "refuse_sparse"]

Array = NDArray[Any]
FORMATS = ("csr", "csc", "coo", "rows")
WIDTHS = (np.dtype(np.int32), np.dtype(np.int64))


class Csr:
    """Rows of a sparse matrix, as the engine reads them. Checked by the caller, but for the columns: what is not in
    [0, cols) after all, since its owner has written to it, is read as column 0.

    Parameters
    ----------
    indptr : ndarray of int64 (n + 1,)
        Nobody else's, in order; it need not begin at 0.
    indices : ndarray of int32 or int64 (>= indptr[-1],), contiguous
    values : ndarray of float32 or float64 (>= indptr[-1],), contiguous
    cols : int
    """

    ndim = 2

    def __init__(self, indptr: Array, indices: Array, values: Array, cols: int) -> None:
        self.indptr, self.indices, self.values, self.cols = indptr, indices, values, cols
        self.shape = len(indptr) - 1, cols

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return int(self.indptr[-1] - self.indptr[0])

    @property
    def nbytes(self) -> int:
        return self.nnz * (self.indices.itemsize + self.values.itemsize) + self.indptr.nbytes

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Csr:
        """A slice of rows in their order, over the same memory."""
        first, last, _ = rows.indices(len(self))
        return Csr(self.indptr[first:max(first, last) + 1], self.indices, self.values, self.cols)

    def copy(self) -> Csr:
        """The rows in arrays of their own."""
        first, last = self.indptr[0], self.indptr[-1]
        return Csr(self.indptr - first, self.indices[first:last].copy(), self.values[first:last].copy(), self.cols)

    def dense(self, index: Array) -> Array:
        """These rows as an array (len(index), cols)."""
        found = np.zeros((len(index), self.cols), self.values.dtype)
        for row, i in zip(found, index, strict=True):
            part = slice(self.indptr[i], self.indptr[i + 1])
            np.add.at(row, self.indices[part], self.values[part])
        return found

    def starts(self, index: Array | None = None) -> NDArray[np.int64]:
        """(n + 1,): how many entries are before each row, in the order of `index`."""
        lengths = np.diff(self.indptr)
        found = np.zeros(len(self) + 1, np.int64)
        np.cumsum(lengths if index is None else lengths[index], out=found[1:])
        return found


def joined(parts: Sequence[Csr]) -> Csr:
    """The rows of copies, one behind the other."""
    starts = np.cumsum([0, *[part.nnz for part in parts]])
    indptr = np.concatenate([starts[:1], *[part.indptr[1:] + starts[i] for i, part in enumerate(parts)]])
    return Csr(indptr, np.concatenate([part.indices for part in parts]),
               np.concatenate([part.values for part in parts]), parts[0].cols)


def is_sparse(x: Any) -> bool:
    """Whether x is a sparse matrix: scipy's, or rows that have passed this door."""
    return isinstance(x, Csr) or hasattr(x, "tocsr")


def refuse_sparse(x: Any, what: str, name: str = "x") -> None:
    """TypeError where `what` needs all columns of x."""
    if is_sparse(x):
        raise TypeError(f"{what} takes dense arrays; {name} is a sparse matrix: {name}.toarray()")


def as_csr(x: Any, name: str = "x", dtype: str | None = None, shape: tuple[int, ...] | None = None) -> Csr:
    """A sparse matrix as rows that the engine may read.

    The columns of a CSR matrix, int32 or int64, sorted or not, and its values, if they are of `dtype`, are not copied;
    its indptr is. Columns that occur twice in a row count twice. CSC and COO become CSR.

    Parameters
    ----------
    x : scipy.sparse matrix or array (n, features), or Csr
        In the format csr, csc or coo.
    name : str, default "x"
        What messages call it.
    dtype : {"float32", "float64"}, optional
        Of the values; None: theirs if it is one of these, else float64.
    shape : tuple of int, optional
        The shape that a sample must have.

    Raises
    ------
    TypeError, ValueError
        If the arrays are no such matrix, with the row and the column where this shows; if it is empty; if a value is
        not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse
    >>> x = scipy.sparse.csr_array(np.eye(3))
    >>> x.indices[1] = 7
    >>> as_csr(x)
    Traceback (most recent call last):
        ...
    ValueError: x contains column 7 in row 1 (entry 1 of its indices); columns from 0 to 2 are allowed
    """
    form = "rows" if isinstance(x, Csr) else _part(x, "format")
    if form not in FORMATS:
        raise TypeError(f"{name} is a sparse matrix of format {form!r}; csr, csc and coo are allowed: {name}.tocsr()")
    n, cols = _shape(x, name)
    if shape is not None and shape != (cols,):
        raise ValueError(f"{name} has samples of shape {(cols,)}; the model takes {shape}")
    if isinstance(x, Csr):
        return _converted(x, x.values.dtype.name if dtype is None else dtype, name)
    values = _values(x, name, dtype)
    if form == "coo":
        x = _of_coordinates(x, values, n, cols, name)
    elif form == "csc":
        x = _of_columns(x, values, n, cols, name)
    else:
        indptr, indices = check_structure(_part(x, "indptr"), _part(x, "indices"), n, cols, name, len(values))
        return Csr(indptr, indices, _finite(values, name, indptr), cols)
    indptr = x.indptr.astype(np.int64)
    return Csr(indptr, x.indices, _finite(x.data, name, indptr), cols)


def check_structure(indptr: Any, indices: Any, n: int, cols: int, name: str, length: int | None = None, *,
                    in_order: bool = False, row: str = "row", column: str = "column") -> tuple[Array, Array]:
    """The structure of a matrix of n compressed rows: indptr as int64, a copy, and indices as int32 or int64.

    Parameters
    ----------
    indptr, indices : ndarray (n + 1,) and (>= indptr[-1],) of integers
    n, cols : int
    name : str
        What messages call the matrix.
    length : int, optional
        Of its values, if they are known.
    in_order : bool, default False
        Whether the columns of a row must be sorted, without duplicates.
    row, column : str
        What messages call rows and columns, which are the other way round in CSC.

    Raises
    ------
    TypeError, ValueError
        With the row and the column, if they are no such structure.
    """
    pointers, indices = _integers(indptr, f"{name}.indptr"), _integers(indices, f"{name}.indices")
    if len(pointers) != n + 1:
        raise ValueError(f"{name}.indptr has {len(pointers)} numbers; a matrix of {n} {row}s has {n + 1}")
    pointers = np.array(pointers, np.int64)     # a copy, so that what was checked stays
    length = len(indices) if length is None else length
    fault, at = indptr_fault(pointers, min(len(indices), length))
    if fault == "begin":
        raise ValueError(f"{name}.indptr begins with {pointers[0]}; it must begin with 0")
    if fault == "decreases":
        raise ValueError(f"{name}.indptr decreases from {pointers[at]} to {pointers[at + 1]} in {row} {at}")
    if fault == "end":
        raise ValueError(f"{name}.indptr ends with {pointers[-1]}; there are {len(indices)} indices and {length} "
                         "values")
    used = indices[:pointers[-1]]
    entry = first_outside(used, cols)
    if entry >= 0:
        raise ValueError(f"{name} contains {column} {used[entry]} in {row} {row_of(pointers, entry)} (entry {entry} "
                         f"of its indices); {column}s from 0 to {cols - 1} are allowed")
    entry = first_unsorted(pointers, used) if in_order else -1
    if entry >= 0:
        raise ValueError(f"{name} contains {column} {used[entry]} behind {column} {used[entry - 1]} in {row} "
                         f"{row_of(pointers, entry)}; sorted {column}s without duplicates are allowed")
    return pointers, used


def _part(x: Any, attribute: str) -> Any:
    return getattr(x, attribute, None)


def row_of(indptr: Array, entry: int) -> int:
    """The row that an entry of compressed rows is in."""
    return int(np.searchsorted(indptr, entry, side="right")) - 1


def _shape(x: Any, name: str) -> tuple[int, int]:
    shape = _part(x, "shape")
    if not isinstance(shape, tuple) or not all(hasattr(size, "__index__") and size >= 0 for size in shape):
        raise ValueError(f"{name} has the shape {shape!r}; (samples, features) is allowed")
    if len(shape) != 2:
        raise ValueError(f"{name} must have two dimensions, (samples, features); received shape {shape}")
    n, cols = (size.__index__() for size in shape)
    if not n or not cols:
        raise ValueError(f"{name} is empty: shape {shape}; at least one sample of one feature is needed")
    if max(n, cols) >= 2**62 or cols >= 2**31:
        raise ValueError(f"{name} has the shape {shape}; at most {2**31 - 1} features are allowed")
    return n, cols


def _integers(array: Any, name: str) -> Array:
    """A contiguous vector of int32 or int64."""
    if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray) or array.ndim != 1 \
            or array.dtype.kind not in "iu":
        what = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(f"{name} must be a vector of integers; received {what}")
    if array.dtype not in WIDTHS or not array.dtype.isnative:
        if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"{name} contains {array.max()}, which is no index")
        array = array.astype(np.int64)
    return np.require(array, requirements=["C", "A"])


def _values(x: Any, name: str, dtype: str | None) -> Array:
    """The values of a matrix, contiguous, as float32 or float64."""
    values = as_array(_part(x, "data"), f"{name}.data")
    if values.ndim != 1:
        raise ValueError(f"{name}.data must be a vector; received shape {values.shape}")
    if dtype is None:
        dtype = values.dtype.name if values.dtype.name in ("float32", "float64") else "float64"
    with np.errstate(over="ignore"):
        return np.require(values, dtype, ["C", "A"])


def _finite(values: Array, name: str, indptr: Array) -> Array:
    """The values that rows have; a ValueError if one is not finite."""
    values = values[:indptr[-1]]
    if not all_values_finite(values):
        at = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"{name} contains NaN, infinity or a number too large for {values.dtype}, first in row "
                         f"{row_of(indptr, at)} (entry {at} of its data); only finite numbers are allowed")
    return values


def _converted(rows: Csr, dtype: str, name: str) -> Csr:
    if rows.values.dtype == dtype:
        return rows
    first, last = rows.indptr[0], rows.indptr[-1]
    with np.errstate(over="ignore"):
        values = rows.values[first:last].astype(dtype)
    indptr = rows.indptr - first
    return Csr(indptr, rows.indices[first:last], _finite(values, name, indptr), rows.cols)


def _of_columns(x: Any, values: Array, n: int, cols: int, name: str) -> Any:
    """CSC to CSR; only a structure that has been checked may be converted."""
    from scipy.sparse import csc_array

    indptr, indices = check_structure(_part(x, "indptr"), _part(x, "indices"), cols, n, name, len(values),
                                      row="column", column="row")
    return csc_array((values[:indptr[-1]], indices, indptr), shape=(n, cols)).tocsr()


def _of_coordinates(x: Any, values: Array, n: int, cols: int, name: str) -> Any:
    from scipy.sparse import coo_array

    places = []
    for what, limit in (("row", n), ("col", cols)):
        place = _integers(_part(x, what), f"{name}.{what}")
        if len(place) != len(values):
            raise ValueError(f"{name}.{what} has {len(place)} numbers, but there are {len(values)} values")
        entry = first_outside(place, limit)
        if entry >= 0:
            raise ValueError(f"{name}.{what} contains {place[entry]} (entry {entry}); 0 to {limit - 1} are allowed")
        places.append(place)
    return coo_array((values, tuple(places)), shape=(n, cols)).tocsr()
