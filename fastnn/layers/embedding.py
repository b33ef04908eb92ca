"""Embedding: a vector for each integer."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from fastnn import constraints, initializers, regularizers
from fastnn._kernels.program import Program
from fastnn.inputs import check_count, check_size
from fastnn.layers.base import Layer, Parameter, parameter_property

__all__ = ["Embedding"]

# Integers up to here are exact in float32, whatever came before them.
MOST = {"float32": 2**24, "float64": 2**31 - 1}


class Embedding(Layer):
    """Replaces each integer by a row of a table that is learned: ``y[..., i, :] = embeddings[x[..., i]]``.

    For categories: samples of shape (n_columns,) become (n_columns, output_dim), all columns from one table;
    :class:`Flatten` behind it costs nothing. Every row of the table takes every step of the optimizer, with a gradient
    of zero where the batch has not named it, as in Keras; unless that is :class:`~fastnn.optimizers.LazyAdam`.

    Parameters
    ----------
    input_dim : int
        Rows of the table: integers from 0 to ``input_dim - 1`` are allowed. Others, and numbers that are not
        integers, are refused: before anything changes where they come straight from the model's input.
    output_dim : int
        Numbers in a row.
    embeddings_initializer : str or Initializer, default "uniform"
        "uniform" is RandomUniform(-0.05, 0.05).
    embeddings_regularizer : str or Regularizer, optional
        Penalty on the whole table, from :mod:`fastnn.regularizers`: part of the loss.
    embeddings_constraint : str or Constraint, optional
        What the table is brought back to after each step, from :mod:`fastnn.constraints`.
    name : str, optional
    trainable : bool, default True

    Attributes
    ----------
    embeddings : ndarray (input_dim, output_dim)
        A live view of the model's parameters, once the model is built.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or out of range, or later if an integer is.

    Examples
    --------
    >>> import fastnn as fnn
    >>> model = fnn.Sequential([fnn.layers.Embedding(3, 2)], seed=0)
    >>> model.build((1,))
    >>> model.layers[0].embeddings = [[0, 1], [2, 3], [4, 5]]
    >>> model.predict([[2], [0]])
    array([[[4., 5.]],
    <BLANKLINE>
           [[0., 1.]]], dtype=float32)
    """

    embeddings = parameter_property(
        "embeddings", "ndarray (input_dim, output_dim): live view; assign to overwrite it.")

    def __init__(self, input_dim: int, output_dim: int, embeddings_initializer: Any = "uniform",
                 embeddings_regularizer: Any = None, embeddings_constraint: Any = None, name: str | None = None,
                 trainable: bool = True) -> None:
        super().__init__(name=name, trainable=trainable)
        self.input_dim = check_count("input_dim", input_dim)
        self.output_dim = check_count("output_dim", output_dim)
        check_size(f"a table of {input_dim} x {output_dim}", self.input_dim, self.output_dim)
        self.embeddings_initializer = initializers.get(embeddings_initializer)
        self.embeddings_regularizer = regularizers.get(embeddings_regularizer)
        self.embeddings_constraint = constraints.get(embeddings_constraint)

    def compute_output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        check_size(f"samples of shape {input_shape}, embedded in {self.output_dim} dimensions,", *input_shape,
                   self.output_dim)
        return (*input_shape, self.output_dim)

    def parameters(self, input_shape: tuple[int, ...]) -> dict[str, Parameter]:
        return {"embeddings": Parameter((self.input_dim, self.output_dim), self.embeddings_initializer, True,
                                        self.embeddings_regularizer, self.embeddings_constraint)}

    def check_dtype(self, dtype: str) -> None:
        if self.input_dim > MOST[dtype]:
            raise ValueError(f"input_dim must be at most {MOST[dtype]} in {dtype}, where larger integers are not "
                             f"exact; received {self.input_dim}")

    def trace(self, input_shape: tuple[int, ...], columns: NDArray[Any] | None, found: Any) -> None:
        if columns is not None:
            found.append((self.path, columns, self.input_dim))

    def lower(self, program: Program, source: int, training: bool, absorbed: bool) -> int:
        return program.embedding(source, self.input_dim, self.output_dim, self._tensor(program, "embeddings"),
                                 self.trainable, self.path)
