"""Tables of numbers and categories as the arrays that a network reads."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_array

__all__ = ["TableEncoder", "as_frame", "is_frame"]

Array = NDArray[Any]

ROWS = 4096         # of an array that are worked on at a time, in float64
FARTHEST = 1e100    # scaled numbers beyond it, whose squares would overflow, are all but 3 after the clip


class _Numbers(NamedTuple):
    """A column of numbers: ``(x - center) * scale``, and whether `fit` saw missing ones."""

    center: float
    scale: float
    missing: bool


class _Levels(NamedTuple):
    """A column of categories: the place of each level's text. Missing ones, where `fit` saw some, are one: None."""

    places: dict[str | None, int]
    embedded: bool

    @property
    def width(self) -> int:
        return 1 if self.embedded or len(self.places) <= 2 else len(self.places)


class TableEncoder:
    """Arrays and frames as float rows: scaled numbers, indicators of missing ones, categories.

    Numbers become ``z / sqrt(1 + (z / 3) ** 2)`` with ``z = (x - median) / (q75 - q25)``: outliers come to lie between
    -3 and 3 (the preprocessing of RealMLP: Holzmüller, Grinsztajn and Steinwart, 2024). Where the quartiles are equal,
    2 / (max - min) takes their place. A missing number is the median; a column of which some were missing in `fit` has
    another beside it that is 1 there, else 0.

    Categories, columns of a frame that are categorical, enumerated, strings or objects, become 0 and 1 for each level;
    -1 and 1 where there are two; and numbers for an embedding where there are more than `max_one_hot`. Missing ones are
    a level if `fit` saw any. What `fit` has not seen is 0 everywhere. Levels are compared as texts, but numbers
    by value, so that a table is the same in all libraries and with or without missing values; numbers and booleans may
    stand where `fit` saw categories.

    Parameters
    ----------
    max_one_hot : int, default 9
    dtype : {"float32", "float64"}, default "float32"
        Of the result.

    Attributes
    ----------
    n_features : int
        Columns of the table.
    n_numbers : int
        Columns of the result that are no integers for an embedding; they come first.
    n_levels : list of int
        Rows that the embedding of each of the other columns needs: row 0 is for what `fit` has not seen.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.sklearn._tables import TableEncoder
    >>> table = np.array([[1.0, 0.0], [2.0, 5.0], [np.nan, 0.0], [4.0, 10.0]])
    >>> TableEncoder(dtype="float64").fit(table).transform(table)
    array([[-0.33129458,  0.        ,  0.        ],
           [ 0.        ,  0.9486833 ,  0.        ],
           [ 0.        ,  0.        ,  1.        ],
           [ 0.65079137,  1.66410059,  0.        ]])
    """

    def __init__(self, max_one_hot: int = 9, dtype: str = "float32") -> None:
        self.max_one_hot, self.dtype = max_one_hot, dtype

    def fit(self, X: Any, sample_weight: Array | None = None) -> TableEncoder:
        """Learn centers, scales and levels.

        Parameters
        ----------
        X : array-like (n, n_features) or frame
            Frames are those of pandas, polars, Arrow, and others that narwhals knows or that speak Arrow's C stream.
            Arrays and lists are numbers, NaN where they are missing.
        sample_weight : ndarray (n,), optional
            Of the quartiles: a row of weight 2 counts as two rows.

        Raises
        ------
        TypeError, ValueError
            For what is neither a number nor a category, for infinity, and for tables without rows or columns.
        """
        columns = _columns(X)
        self.columns: list[_Numbers | _Levels] = [self._learned(column, sample_weight) for column in columns]
        self.n_features = len(columns)
        # The result: all numbers, indicators of missing ones, categories, those for embeddings.
        numbers = [column for column in self.columns if isinstance(column, _Numbers)]
        levels = [column for column in self.columns if isinstance(column, _Levels)]
        self.centers, self.scales = (np.array([getattr(column, name) for column in numbers])
                                     for name in ("center", "scale"))
        self.indicated = np.flatnonzero([column.missing for column in numbers])
        self.n_levels = [len(column.places) + 1 for column in levels if column.embedded]
        self.n_numbers = len(numbers) + len(self.indicated) + sum(column.width for column in levels
                                                                  if not column.embedded)
        return self

    @property
    def n_outputs(self) -> int:
        """Columns of the result."""
        return self.n_numbers + len(self.n_levels)

    def _learned(self, values: Array, sample_weight: Array | None) -> _Numbers | _Levels:
        if sample_weight is not None:
            values, sample_weight = values[sample_weight > 0], sample_weight[sample_weight > 0]
        if values.dtype == object:
            seen = set(values)
            levels = sorted(level for level in seen if level is not None)
            places = {level: i for i, level in enumerate([*levels, *({None} & seen)])}
            return _Levels(places, len(places) > self.max_one_hot)
        missing = np.isnan(values)
        some = bool(missing.any())
        if some:
            values = values[~missing]
            sample_weight = None if sample_weight is None else sample_weight[~missing]
        if not len(values):
            return _Numbers(0.0, 0.0, some)
        # Of the kinds of quantiles, this one takes weights, and is the same for a weight of 2 and for two rows.
        low, center, high = np.quantile(values, [0.25, 0.5, 0.75], method="inverted_cdf", weights=sample_weight)
        span, reach = float(high) - float(low), (float(values.max()) - float(values.min())) / 2
        scale = 1 / span if span > 0 else 1 / reach if reach > 0 else 0.0
        return _Numbers(float(center), scale if np.isfinite(scale) else 0.0, some)

    def transform(self, X: Any, index: NDArray[np.intp] | None = None) -> Array:
        """The rows of a table that has the columns of that of `fit`, or those of them that `index` names.

        Returns
        -------
        ndarray (n, n_outputs), C-contiguous
            The only copy that is made of a table.

        Raises
        ------
        TypeError, ValueError
            As `fit`, and for other columns.
        """
        columns = _columns(X)
        if len(columns) != self.n_features:
            raise ValueError(f"X has {len(columns)} features, but the encoder was fitted with {self.n_features}")
        if not isinstance(columns, np.ndarray) or len(self.centers) < self.n_features:
            columns = [_as_fitted(j, values, column) for j, (values, column)
                       in enumerate(zip(columns, self.columns, strict=True))]
        chosen = np.arange(len(columns[0])) if index is None else index
        out = np.zeros((len(chosen), self.n_outputs), self.dtype)
        self._write_numbers(columns, chosen, out)
        one_hot, embedded, strange = len(self.centers) + len(self.indicated), self.n_numbers, []
        for j, (values, column) in enumerate(zip(columns, self.columns, strict=True)):
            if not isinstance(column, _Levels):
                continue
            levels = values[chosen]
            found = _found(levels, column)
            if (found < 0).all() and any(level is not None for level in levels):
                strange.append(j)
            if column.embedded:
                out[:, embedded] = found + 1
                embedded += 1
            else:
                _write_levels(found, column, out[:, one_hot:one_hot + column.width])
                one_hot += column.width
        if strange:
            warnings.warn(f"none of the categories in columns {strange} of X is one that fit saw: they say nothing",
                          stacklevel=2)
        return out

    def _write_numbers(self, columns: Sequence[Array], chosen: NDArray[np.intp], out: Array) -> None:
        n = len(self.centers)
        table = columns.T if isinstance(columns, np.ndarray) else None
        numbers = [values for values in columns if values.dtype != object]
        for first in range(0, len(out) if n else 0, ROWS):
            rows = slice(first, first + ROWS)
            if table is not None:
                z = table[chosen[rows]].astype(np.float64)
            else:
                z = np.stack([values[chosen[rows]] for values in numbers], axis=1, dtype=np.float64)
            missing = np.isnan(z)
            with np.errstate(over="ignore"):
                z -= self.centers
                z *= self.scales
            z[missing] = 0.0
            np.clip(z, -FARTHEST, FARTHEST, out=z)
            out[rows, :n] = z / np.sqrt(1 + (z / 3) ** 2)
            out[rows, n:n + len(self.indicated)] = missing[:, self.indicated]


def _found(values: Array, column: _Levels) -> NDArray[np.int64]:
    """The place of each value's level, -1 for what fit has not seen."""
    return np.fromiter((column.places.get(value, -1) for value in values), np.int64, len(values))


def _write_levels(found: NDArray[np.int64], column: _Levels, into: Array) -> None:
    if column.width < len(column.places):
        into[:, 0] = np.where(found < 0, 0, 2 * found - 1)
    else:
        rows = np.flatnonzero(found >= 0)
        into[rows, found[rows]] = 1


def _as_fitted(j: int, values: Array, column: _Numbers | _Levels) -> Array:
    """Column j as numbers or texts, as `fit` saw it. A column that is missing throughout may be of either kind."""
    if (values.dtype == object) is isinstance(column, _Levels):
        return values
    if values.dtype != object:
        return _texts(values.tolist())
    if any(value is not None for value in values):
        raise TypeError(f"column {j} of X has categories, where fit saw numbers")
    return np.full(len(values), np.nan)


def _texts(values: Sequence[Any]) -> Array:
    return np.array([value if type(value) is str else _text(value) for value in values], dtype=object)


def _text(value: Any) -> str | None:
    """Equal for equal values of all libraries' types; None for NaN."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (Real, Decimal)):
        number: Any = value
        return None if number != number else str(int(number)) if number % 1 == 0 else str(float(number))
    return None if value is None else str(value)


# ---- what users hand over -------------------------------------------------------------------------------------


def is_frame(X: Any) -> bool:
    """Whether X has columns of kinds of their own."""
    return not isinstance(X, np.ndarray) and any(hasattr(X, name) for name in (
        "__arrow_c_stream__", "__dataframe__", "__narwhals_dataframe__", "iloc"))


def _columns(X: Any) -> Sequence[Array]:
    """The columns: numbers, float with NaN where they are missing, integers or bool, or str and None in arrays of
    object."""
    if not is_frame(X):
        rows = check_array(X, dtype="numeric", ensure_all_finite="allow-nan", input_name="X")
        return rows.T
    frame = as_frame(X)
    if not frame.shape[0] or not frame.shape[1]:
        raise ValueError(f"Found array with {frame.shape[0]} sample(s) and {frame.shape[1]} feature(s) (shape="
                         f"{frame.shape}) while a minimum of 1 is required.")
    return [_column(series) for series in frame.iter_columns()]


def as_frame(X: Any) -> Any:
    """X as narwhals has it; TypeError, ValueError where it is no table in memory."""
    try:
        import narwhals.stable.v2 as nw
    except ModuleNotFoundError as error:
        raise ImportError("frames need narwhals, version 2 or later: pip install 'fastnn[sklearn]'") from error
    try:
        frame = nw.from_native(X, eager_only=True, pass_through=True)
        if isinstance(frame, nw.DataFrame):
            return frame
        if len(getattr(X, "shape", (0, 0))) != 2:
            raise ValueError(f"it has the shape {X.shape}")
        if not hasattr(X, "__arrow_c_stream__"):
            raise TypeError(f"X is a {type(X).__module__}.{type(X).__name__}; frames in memory and arrays are allowed")
        return nw.from_arrow(X, backend="pyarrow")
    except (nw.exceptions.DuplicateError, ValueError) as error:
        raise ValueError(f"X, a {type(X).__name__}, is no frame whose columns have different names: {error}") from error


def _column(series: Any) -> Array:
    import narwhals.stable.v2 as nw

    dtype = series.dtype
    if dtype == nw.Unknown and series.is_null().all():      # the type of nothing
        return np.full(len(series), np.nan)
    values: Array
    unnamed = dtype == nw.Unknown and series.to_numpy().dtype.kind in "biuf"    # pandas' sparse columns
    if dtype.is_numeric() or dtype == nw.Boolean or unnamed:
        if not unnamed and not dtype.is_float() and (dtype == nw.Decimal or series.is_null().any()):
            series = series.cast(nw.Float64)
        values = series.to_numpy()
        if np.isinf(values).any():
            raise ValueError(f"Input X contains infinity or a value too large for {values.dtype!r}: column "
                             f"{series.name!r}")
        return values
    if not isinstance(dtype, (nw.Categorical, nw.Enum, nw.String, nw.Object)):
        raise TypeError(f"column {series.name!r} of X has the type {dtype}; numbers, booleans and categories "
                        "(categorical, enumerated, strings, objects) are allowed")
    return _texts([None if missing else value
                   for value, missing in zip(series.to_list(), series.is_null().to_list(), strict=True)])
