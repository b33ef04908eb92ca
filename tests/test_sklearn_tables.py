"""TableEncoder: arrays and frames of numbers and categories as rows of floats."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from fastnn.sklearn._tables import TableEncoder

COLUMNS = {
    "size": [1.0, 2.0, None, 4.0, 9.0],
    "count": [3, 1, 4, 1, 5],
    "gaps": [1, None, 3, 3, None],
    "sure": [True, False, True, True, False],
    "color": ["red", "green", None, "red", "green"],
    "pair": ["a", "b", "a", "a", "b"],
    "name": ["ann", "bob", "cid", "dan", "eve"],
}


class Stream:
    """What speaks Arrow's C stream and nothing else."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


def frame(kind):
    if kind == "pandas":
        pd = pytest.importorskip("pandas")
        table = pd.DataFrame(COLUMNS)
        return table.assign(gaps=table["gaps"].astype("Int64"), color=table["color"].astype("category"))
    pl = pytest.importorskip("polars")
    table = pl.DataFrame(COLUMNS).with_columns(pl.col("color").cast(pl.Categorical),
                                               pl.col("pair").cast(pl.Enum(["a", "b"])))
    if kind == "polars":
        return table
    pytest.importorskip("pyarrow")
    return table.to_arrow() if kind == "arrow" else Stream(table.to_arrow())


every_frame = pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "stream"])


def clipped(z):
    return z / np.sqrt(1 + (np.asarray(z) / 3) ** 2)


@every_frame
def test_frames(kind):
    table = frame(kind)
    encoder = TableEncoder(max_one_hot=4, dtype="float64").fit(table)
    assert encoder.n_levels == [6] and encoder.n_outputs == encoder.n_numbers + 1
    expected = np.column_stack([
        # quartiles of 1 2 4 9 are 1 and 4, of 1 1 3 4 5 1 and 4, of 1 3 3 1 and 3, of 0 0 1 1 1 0 and 1
        clipped((np.array([1, 2, 2, 4, 9]) - 2) / 3), clipped((np.array([3, 1, 4, 1, 5]) - 3) / 3),
        clipped((np.array([1, 3, 3, 3, 3]) - 3) / 2), clipped(np.array([1, 0, 1, 1, 0]) - 1),
        [0, 0, 1, 0, 0], [0, 1, 0, 0, 1],                       # missing numbers
        [0, 1, 0, 0, 1], [1, 0, 0, 1, 0], [0, 0, 1, 0, 0],      # green, red, missing
        [-1, 1, -1, -1, 1], [1, 2, 3, 4, 5]])
    np.testing.assert_allclose(encoder.transform(table), expected, rtol=1e-14)
    assert TableEncoder().fit(table).transform(table).dtype == np.float32


@every_frame
def test_what_fit_has_not_seen(kind):
    pl = pytest.importorskip("polars")
    encoder = TableEncoder(max_one_hot=4).fit(frame(kind))
    new = pl.DataFrame({"size": [None], "count": [None], "gaps": [None], "sure": [None], "color": ["blue"],
                        "pair": ["c"], "name": ["zoe"]}, schema_overrides={
                            "size": pl.Float32, "count": pl.Int8, "gaps": pl.Int64, "sure": pl.Boolean})
    with pytest.warns(UserWarning, match=r"none of the categories in columns \[4, 5, 6\]"):
        encoded = encoder.transform(new)
    np.testing.assert_array_equal(encoded, [[0, 0, clipped(0), 0, 1, 1, 0, 0, 0, 0, 0]])
    with pytest.warns(UserWarning, match=r"columns \[5\]"):
        no_missing = encoder.transform(new.with_columns(color=pl.lit(None, pl.String), name=pl.lit(None, pl.String)))
    np.testing.assert_array_equal(no_missing[0, 6:], [0, 0, 1, 0, 0])


@every_frame
def test_chosen_rows(kind):
    table = frame(kind)
    encoder = TableEncoder(max_one_hot=4).fit(table)
    index = np.array([3, 0, 3])
    np.testing.assert_array_equal(encoder.transform(table, index), encoder.transform(table)[index])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "uint8", "bool", "float16"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(dtype, order):
    rows = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (5000, 3)).astype(dtype, order=order)
    rows.flags.writeable = False
    x = rows.astype(float)
    low, center, high = np.quantile(x, [0.25, 0.5, 0.75], axis=0, method="inverted_cdf")
    expected = clipped((x - center) / (high - low))
    encoded = TableEncoder(dtype="float64").fit(rows).transform(rows)
    np.testing.assert_allclose(encoded, expected, rtol=1e-14)
    assert encoded.flags.c_contiguous
    np.testing.assert_array_equal(encoded[:7], TableEncoder(dtype="float64").fit(rows).transform(rows[:7]))


def test_columns_without_spread():
    rows = np.column_stack([np.full(9, 5.0), [0] * 8 + [4], [np.nan] * 9, [1e-320] * 8 + [0]])
    encoded = TableEncoder(dtype="float64").fit(rows).transform(rows)
    np.testing.assert_array_equal(encoded[:, 0], 0)
    np.testing.assert_allclose(encoded[:, 1], clipped([0] * 8 + [2]))
    np.testing.assert_array_equal(encoded[:, 2], 0)
    np.testing.assert_array_equal(encoded[:, 3], 0)
    np.testing.assert_array_equal(encoded[:, 4], 1)


def test_far_numbers():
    encoder = TableEncoder().fit([[-1.0], [0.0], [1.0]])
    np.testing.assert_allclose(encoder.transform([[1e300], [-1e300], [1e30]]), [[3], [-3], [3]])


def test_weights_are_repeated_rows():
    rng = np.random.default_rng(0)
    rows, weight = rng.normal(size=(40, 3)), rng.integers(0, 4, 40)
    rows[3, 1] = np.nan
    weighted = TableEncoder(dtype="float64").fit(rows, weight.astype(float))
    repeated = TableEncoder(dtype="float64").fit(rows.repeat(weight, axis=0))
    np.testing.assert_array_equal(weighted.transform(rows), repeated.transform(rows))


def test_rows_without_weight_have_no_levels():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"color": ["red", "green", "blue"]})
    assert TableEncoder().fit(table, np.array([1.0, 1.0, 0.0])).transform(table).ravel().tolist() == [1, -1, 0]


LEVELS = {"int": [1, 2, 3, 1], "float": [0.5, 2.0, 1e20, 0.5], "bool": [True, False, False, True]}


@pytest.mark.parametrize("of", LEVELS)
def test_levels_of_numbers_are_equal_by_value(of):
    pd, pl, pa = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    levels = LEVELS[of]
    frames = [pd.DataFrame({"a": pd.Categorical(levels)}), pd.DataFrame({"a": pd.Series(levels, dtype=object)}),
              pd.DataFrame({"a": pd.Categorical(np.array(levels, dtype=of))}), pd.DataFrame({"a": levels}),
              pa.table({"a": pa.array(levels).dictionary_encode()}), pl.DataFrame({"a": levels})]
    if of == "int":
        frames += [pd.DataFrame({"a": pd.Categorical(np.array(levels, "float64"))}), frames[0].astype(str)]
    encoder = TableEncoder().fit(frames[0])
    expected = encoder.transform(frames[0])
    assert (expected != 0).any()
    for table in frames:
        np.testing.assert_array_equal(encoder.transform(table), expected)
        np.testing.assert_array_equal(encoder.transform(table.head(3) if table is not frames[4] else table[:3]),
                                      expected[:3])


def test_a_missing_value_leaves_the_other_levels_known():
    pd = pytest.importorskip("pandas")
    encoder = TableEncoder().fit(pd.DataFrame({"a": pd.Series([1, 2, 3]).astype("category")}))
    new = pd.DataFrame({"a": pd.Series([1, None, 3]).astype("category")})
    assert encoder.transform(new).tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_columns_of_nothing():
    pd, pl, pa = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    nothing = [pa.table({"a": pa.nulls(2)}), pl.DataFrame({"a": [None, None]}), pd.DataFrame({"a": [None, None]}),
               pd.DataFrame({"a": [np.nan, np.nan]})]
    for learned, expected in [(["x", "y", "x"], [[0], [0]]), (["x", None, "y"], [[0, 0, 1]] * 2),
                              ([1.0, 2.0, 2.0], [[0], [0]])]:
        encoder = TableEncoder().fit(pd.DataFrame({"a": learned}))
        for table in nothing:
            assert encoder.transform(table).tolist() == expected
    for table in (nothing[0], nothing[1], nothing[3]):
        assert TableEncoder().fit(table).transform(table).tolist() == [[0, 1], [0, 1]]


def test_sparse_columns_of_pandas():
    pd = pytest.importorskip("pandas")
    plain = pd.DataFrame({"a": [0.0, 0.0, 1.0, 3.0], "b": [0, 1, 0, 0]})
    sparse = plain.astype(pd.SparseDtype("float64", 0.0))
    encoder = TableEncoder().fit(sparse)
    np.testing.assert_array_equal(encoder.transform(sparse), TableEncoder().fit(plain).transform(plain))


def test_refused():
    pd = pytest.importorskip("pandas")
    numbers = pd.DataFrame({"a": [1.0, 2.0]})
    with pytest.raises(TypeError, match="column 'when' of X has the type Datetime"):
        TableEncoder().fit(pd.DataFrame({"when": pd.to_datetime(["2020-01-01"])}))
    with pytest.raises(ValueError, match=r"infinity .* column 'a'"):
        TableEncoder().fit(pd.DataFrame({"a": [np.inf]}))
    with pytest.raises(ValueError, match="infinity"):
        TableEncoder().fit([[np.inf]])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        TableEncoder().fit(numbers.head(0))
    with pytest.raises(TypeError, match="column 0 of X has categories, where fit saw numbers"):
        TableEncoder().fit(numbers).transform(numbers.astype(str))
    with pytest.raises(ValueError, match="X has 2 features, but the encoder was fitted with 1"):
        TableEncoder().fit(numbers).transform(numbers.assign(b=1))
    for table in (pd.DataFrame([[1, 2]], columns=["a", "a"]), numbers["a"]):
        with pytest.raises(ValueError, match=r"is no frame whose columns have different names"):
            TableEncoder().fit(table)
    other = type("Other", (), {"__dataframe__": None})()
    with pytest.raises(TypeError, match=r"Other; frames in memory and arrays are allowed"):
        TableEncoder().fit(other)
