"""Class labels as the engine reads them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, issparse
from sklearn.utils.multiclass import type_of_target, unique_labels

try:
    from sklearn.utils._sparse import _align_api_if_sparse
except ImportError:  # scikit-learn before 1.9, which gives matrices

    def _align_api_if_sparse(X: Any) -> Any:
        return X

__all__ = ["Labels"]

Array = NDArray[Any]


class Labels:
    """The classes of a target.

    Attributes
    ----------
    classes : ndarray (n_classes,)
        Sorted; of indicator rows the numbers of their columns.
    kind : {"binary", "multiclass", "multilabel"}
        One class alone is "binary".
    """

    def __init__(self, classes: Array, multilabel: bool = False, sparse: bool = False) -> None:
        self.classes = classes
        self.kind = "multilabel" if multilabel else "binary" if len(classes) <= 2 else "multiclass"
        self.sparse = sparse    # whether indicator rows came as a sparse matrix, and so go back

    @classmethod
    def of(cls, y: Any) -> Labels:
        """The classes in y; ValueError where it is no target of a classifier."""
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind == "multiclass-multioutput":
            raise ValueError("Multioutput target data is not supported: y has several columns, of which at least one "
                             "has more than two values; one column of classes, or indicator rows, are allowed")
        return cls(unique_labels(y), kind.startswith("multilabel"), issparse(y))

    @property
    def n_outputs(self) -> int:
        return 1 if self.kind == "binary" else len(self.classes)

    def encode(self, y: Any) -> Array:
        """int32 class numbers (n,); of indicator rows a bool array (n, n_classes)."""
        if self.kind == "multilabel":
            rows = y.toarray() if issparse(y) else np.asarray(y)
            if rows.ndim != 2 or rows.shape[1] != len(self.classes):
                raise ValueError(f"y must be indicator rows of {len(self.classes)} columns; received shape "
                                 f"{rows.shape}")
            return rows != 0
        if y.ndim != 1:
            raise ValueError(f"y must be one of {len(self.classes)} classes for each sample; received shape {y.shape}")
        return np.searchsorted(self.classes, y).astype(np.int32)

    def decode(self, outputs: Array) -> Any:
        """The classes that outputs (n, n_outputs) of the network stand for."""
        if self.kind == "multiclass":
            return self.classes[outputs.argmax(axis=1)]
        if self.kind == "binary":
            return self.classes[np.minimum(outputs[:, 0] > 0.5, len(self.classes) - 1)]
        rows = (outputs > 0.5).astype(int)
        return _align_api_if_sparse(csr_matrix(rows)) if self.sparse else rows
