"""Readers of data files: what they return, and what they refuse."""

import doctest
import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastnn import datasets

PARTS = (("train-images", 3), ("train-labels", 1), ("t10k-images", 3), ("t10k-labels", 1))
IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(values):
    values = np.asarray(values)
    code = IDX_CODES[values.dtype.str[1:]]
    header = struct.pack(f">BBBB{values.ndim}I", 0, 0, code, values.ndim, *values.shape)
    return header + values.astype(values.dtype.newbyteorder(">")).tobytes()


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refused(function, *arguments, match):
    with pytest.raises(ValueError, match=match) as caught:
        function(*arguments)
    assert str(arguments[0]) in str(caught.value)  # every refusal names the file


def test_doctests():
    result = doctest.testmod(datasets)
    assert result.attempted > 10
    assert result.failed == 0


class TestDigits:
    def test_shapes_and_values(self):
        (x_train, y_train), (x_test, y_test) = datasets.load_digits()
        assert (x_train.shape, x_test.shape) == ((1437, 8, 8), (360, 8, 8))
        assert (y_train.shape, y_test.shape) == ((1437,), (360,))
        assert x_train.dtype == x_test.dtype == np.uint8
        assert y_train.dtype == y_test.dtype == np.int64
        assert (x_train.min(), x_train.max()) == (0, 16)
        assert set(y_train) == set(y_test) == set(range(10))

    def test_arrays_are_the_callers(self):
        for x, y in datasets.load_digits():
            assert x.flags.writeable
            assert x.flags.owndata
            x[:] = 0
            y[:] = 0
        (x, y), _ = datasets.load_digits()
        assert x.any()
        assert y.any()

    def test_equals_scikit_learns_copy(self):
        source = pytest.importorskip("sklearn.datasets").load_digits()
        (x_train, y_train), (x_test, y_test) = datasets.load_digits()
        np.testing.assert_array_equal(np.concatenate([x_train, x_test]), source.images)
        np.testing.assert_array_equal(np.concatenate([y_train, y_test]), source.target)

    def test_size_and_licence(self):
        folder = Path(datasets.__file__).with_name("data")
        assert (folder / "digits.npz").stat().st_size < 60_000
        note = (folder / "digits-licence.txt").read_text()
        assert "CC BY 4.0" in note
        assert "UCI Machine Learning Repository" in note


class TestReadIdx:
    @given(
        values=st.sampled_from(sorted(IDX_CODES)).flatmap(
            lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=4))
        ),
        packed=st.booleans(),
    )
    def test_round_trip(self, tmp_path_factory, values, packed):
        content = idx_bytes(values)
        path = write(tmp_path_factory.mktemp("idx") / "values", gzip.compress(content) if packed else content)
        read = datasets.read_idx(path)
        assert read.dtype == values.dtype
        assert read.dtype.isnative
        assert read.flags.writeable
        np.testing.assert_array_equal(read, values)

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (b"", "starts with nothing"),
            (b"\0\0\x08", "starts with 00 00 08"),
            (b"PK\x03\x04", "starts with 50 4b 03 04"),
            (b"\0\0\x0a\x01\0\0\0\1\0", "type code 0x0a; allowed: 0x08"),
            (b"\0\0\x08\0\1", "0 dimensions; allowed: 1 to 64"),
            (b"\0\0\x08\x41" + bytes(4 * 65), "65 dimensions"),
            (b"\0\0\x08\x02\0\0\0\1\0", "truncated IDX header: 9 bytes; its 2 dimensions need 12"),
            (b"\0\0\x08\x01\0\0\0\3ab", r"declares shape \(3,\) of uint8, 3 bytes; the file holds at most 2"),
            (b"\0\0\x08\x01\0\0\0\3abcd", "trailing data after the 3 bytes"),
            (b"\0\0\x0d\x03" + b"\xff" * 12 + bytes(64), r"declares shape \(4294967295, 4294967295, "),
            (b"\0\0\x08\x03\0\0\0\0" + b"\xff" * 8, r"declares shape \(0, 4294967295, 4294967295\)"),
        ],
    )
    def test_refuses(self, tmp_path, content, match):
        refused(datasets.read_idx, write(tmp_path / "values", content), match=match)

    def test_refuses_any_truncation(self, tmp_path):
        content = idx_bytes(np.arange(24, dtype="i2").reshape(2, 3, 4))
        for length in range(len(content)):
            with pytest.raises(ValueError, match=r"IDX"):
                datasets.read_idx(write(tmp_path / "plain", content[:length]))
            with pytest.raises(ValueError, match=r"IDX"):
                datasets.read_idx(write(tmp_path / "packed", gzip.compress(content[:length])))

    def test_refuses_damaged_gzip(self, tmp_path):
        packed = gzip.compress(idx_bytes(np.arange(200, dtype="i4")))
        refused(datasets.read_idx, write(tmp_path / "cut", packed[:-9]), match="damaged gzip stream")
        flipped = packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:]
        refused(datasets.read_idx, write(tmp_path / "flipped", flipped), match="damaged gzip stream")

    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    def test_declared_size_is_checked_before_allocating(self, tmp_path, pack):
        path = write(tmp_path / "huge", pack(struct.pack(">BBBBI", 0, 0, 0x08, 1, 2**30) + bytes(100)))
        tracemalloc.start()
        try:
            refused(datasets.read_idx, path, match="holds at most")
            assert tracemalloc.get_traced_memory()[1] < 2**20
        finally:
            tracemalloc.stop()

    def test_absent(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            datasets.read_idx(tmp_path / "absent")


class TestFolderOfIdx:
    FILES = tuple(f"{part}-idx{n}-ubyte" for part, n in PARTS)

    @pytest.fixture
    def parts(self):
        x = np.arange(5 * 3 * 2, dtype="u1").reshape(5, 3, 2)
        y = np.array([1, 0, 2, 1, 0], dtype="u1")
        return dict(zip(self.FILES, (x, y, x[:2], y[2:4]), strict=True))

    def fill(self, folder, parts, packed=(), mark="-"):
        for name, values in parts.items():
            content = idx_bytes(values)
            name = name.replace("-idx", mark + "idx")
            if name in packed:
                name, content = name + ".gz", gzip.compress(content)
            write(folder / name, content)
        return folder

    @pytest.mark.parametrize("packed", [(), FILES, FILES[:2]])
    def test_reads(self, tmp_path, parts, packed):
        (x_train, y_train), (x_test, y_test) = datasets.load_idx(self.fill(tmp_path, parts, packed))
        np.testing.assert_array_equal(x_train, parts[self.FILES[0]])
        np.testing.assert_array_equal(x_test, x_train[:2])
        assert x_train.dtype == np.uint8
        assert y_train.dtype == y_test.dtype == np.int64
        assert (y_train.tolist(), y_test.tolist()) == ([1, 0, 2, 1, 0], [2, 1])

    def test_other_naming(self, tmp_path, parts):
        (x_train, _), _ = datasets.load_fashion_mnist(str(self.fill(tmp_path, parts, mark=".")))
        assert x_train.shape == (5, 3, 2)

    @pytest.mark.parametrize(
        ("name", "values", "match"),
        [
            (FILES[1], np.zeros(4, "u1"), "5 images in train-images-idx3-ubyte, 4 in train-labels"),
            (FILES[1], np.zeros((5, 1), "u1"), r"labels of shape \(5, 1\)"),
            (FILES[3], np.zeros(2, "f4"), "float32; allowed: a vector of integers"),
            (FILES[2], np.zeros((2, 3, 3), "u1"), r"images of shape \(3, 2\), test images of \(3, 3\)"),
        ],
    )
    def test_refuses(self, tmp_path, parts, name, values, match):
        refused(datasets.load_idx, self.fill(tmp_path, {**parts, name: values}), match=match)

    def test_absent(self, tmp_path, parts):
        del parts[self.FILES[2]]
        with pytest.raises(FileNotFoundError, match=r"no file t10k-images-idx3-ubyte \(nor .*idx3-ubyte\.gz"):
            datasets.load_idx(self.fill(tmp_path, parts))

    def test_fashion_mnist_absent_says_how_to_get_it(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="apt-get install dataset-fashion-mnist") as caught:
            datasets.load_fashion_mnist(tmp_path / "nowhere")
        assert str(tmp_path / "nowhere") in str(caught.value)

    def test_fashion_mnist(self):
        if not Path(datasets.FASHION_MNIST_ROOT).is_dir():
            pytest.skip("Debian's dataset-fashion-mnist is not installed")
        (x_train, y_train), (x_test, y_test) = datasets.load_fashion_mnist()
        assert (x_train.shape, x_test.shape) == ((60000, 28, 28), (10000, 28, 28))
        assert x_train.dtype == np.uint8
        assert np.bincount(y_train).tolist() == [6000] * 10
        assert np.bincount(y_test).tolist() == [1000] * 10


class TestCsv:
    def read(self, tmp_path, text, target=None, **options):
        return datasets.load_csv(write(tmp_path / "table.csv", text), target, **options)

    def test_numbers(self, tmp_path):
        X, y, names = self.read(tmp_path, "a,b,c\n1,2,3\n4.5, -6e3 ,7\n", "b")
        assert X.dtype == np.float64
        assert X.flags.writeable
        assert X.tolist() == [[1, 3], [4.5, 7]]
        assert (y.tolist(), names) == ([2, -6000], ["a", "c"])

    @pytest.mark.parametrize(
        ("labels", "dtype"),
        [(["1", "-2", "3"], "int64"), (["1", "2.5", "3"], "float64"), ([str(2**63), "1", "2"], "float64"),
         (["cat", "dog", "cat"], "<U3"), (["1_0", "1_1", "2_0"], "<U3"), (["nan", "inf", "x"], "<U3")],
    )  # fmt: skip
    def test_target_types(self, tmp_path, labels, dtype):
        _, y, _ = self.read(tmp_path, "x,y\n" + "".join(f"0,{label}\n" for label in labels), "y")
        assert y.dtype == np.dtype(dtype)
        assert y.tolist() == (labels if y.dtype.kind == "U" else [float(label) for label in labels])

    def test_without_target(self, tmp_path):
        X, y, names = self.read(tmp_path, "a,b\n1,2\n")
        assert y is None
        assert (X.shape, names) == ((1, 2), ["a", "b"])

    def test_forms_of_text(self, tmp_path):
        plain = '"first, one",b\r\n"1",2\r\n\r\n3,"4"\r\n'
        for text in (plain, "\ufeff" + plain, plain.replace("\r\n", "\n")[:-1]):
            X, _, names = self.read(tmp_path, text)
            assert (X.tolist(), names) == ([[1, 2], [3, 4]], ["first, one", "b"])
        X, _, names = datasets.load_csv(write(tmp_path / "t.csv.gz", gzip.compress(plain.encode())))
        assert X.tolist() == [[1, 2], [3, 4]]
        X, _, _ = self.read(tmp_path, "a;b\n1;2\n", delimiter=";")
        assert X.tolist() == [[1, 2]]

    def test_pandas_default_names(self, tmp_path):
        X, _, names = self.read(tmp_path, "0,1\n5,6\n")
        assert (X.tolist(), names) == ([[5, 6]], ["0", "1"])

    def test_largest_numbers(self, tmp_path):
        X, _, _ = self.read(tmp_path, "a,b\n1.7e308,1.7e308\n")
        assert X.tolist() == [[1.7e308, 1.7e308]]

    @pytest.mark.parametrize(
        ("text", "target", "match"),
        [
            ("", None, "no header in line 1"),
            ("\n", None, "no header in line 1"),
            ("a,b\n", None, "no row after the header"),
            ("a,,c\n1,2,3\n", None, "line 1: the name of column 2 is empty"),
            ("a,b,a\n1,2,3\n", None, "line 1: column name 'a' occurs twice"),
            ("5.1,3.5\n4.9,3.0\n", None, "line 1: only numbers"),
            ("price,size\n1,2\n", "prize", "did you mean 'price'. Its columns: price, size"),
            ("a,b\n1,2\n", "zzz", "no column 'zzz'; its columns: a, b"),
            ("y\n1\n", "y", "'y' is the only column"),
            ("a,b\n1,2\n3\n", None, "line 3: 1 fields; allowed: 2"),
            ("a,b\n1,2\n\n3,4,5\n", None, "line 4: 3 fields"),
            ("a,b\n1,2\n3,x\n", None, "line 3, column 'b': 'x'; allowed: a finite number"),
            ("a,b\n1,\n", None, "line 2, column 'b': ''.*: encode columns of text, fill empty cells"),
            (f"a,b\n1,{'x' * 999}\n", None, r"'b': 'x{37}\.\.\.'; allowed"),
            (f"a,y\n1,2\n1,{'x' * 999}\n", "y", r"'y': 'x{37}\.\.\.'; allowed"),
            ("a,b\nnan,1\n", None, "line 2, column 'a': 'nan'"),
            ("a,b\n1,-inf\n", None, "line 2, column 'b': '-inf'"),
            ("a,b\n1,1e999\n", None, "line 2, column 'b': '1e999'"),
            ("a,b\n1,1_000\n", None, "line 2, column 'b': '1_000'"),
            ("a,y\n1,2\n3,\n", "y", "line 3, column 'y': ''; allowed: a finite number"),
            ("a,y\n1,\n", "y", "line 2, column 'y': ''"),
            ("a,y\n1,cat\n\n1,7\n", "y", "line 4, column 'y': '7'; allowed: a label .*, as in line 2"),
            ("a,y\n1,2\n1,nan\n", "y", "line 3, column 'y': 'nan'; allowed: a finite number"),
            ('a,b\n1,"2\n', None, "line 2: unexpected end of data"),
            ("a,b\n1,\xff\n".encode("latin-1"), None, "not UTF-8 text"),
            (b"\x1f\x8b\x08\0", None, "damaged gzip stream"),
        ],
    )
    def test_refuses(self, tmp_path, text, target, match):
        refused(datasets.load_csv, write(tmp_path / "table.csv", text), target, match=match)

    def test_many_columns_are_not_all_listed(self, tmp_path):
        header = ",".join(f"column_{i}" for i in range(500))
        with pytest.raises(ValueError, match=r"500 in all") as caught:
            self.read(tmp_path, header + "\n", "target")
        assert len(str(caught.value)) < 500

    def test_absent(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            datasets.load_csv(tmp_path / "absent.csv")


class TestNpz:
    X = np.arange(12, dtype=np.float32).reshape(4, 3)
    Y = np.arange(4)

    @pytest.mark.parametrize("x_name", datasets.NPZ_X_NAMES)
    @pytest.mark.parametrize("y_name", datasets.NPZ_Y_NAMES)
    def test_names(self, tmp_path, x_name, y_name):
        np.savez_compressed(tmp_path / "t.npz", **{x_name: self.X, y_name: self.Y})
        X, y = datasets.load_npz(tmp_path / "t.npz")
        np.testing.assert_array_equal(X, self.X)
        np.testing.assert_array_equal(y, self.Y)
        assert (X.dtype, y.dtype) == (self.X.dtype, self.Y.dtype)

    def test_target(self, tmp_path):
        np.savez(tmp_path / "t.npz", data=self.X, price=self.Y + 1, y=self.Y)
        assert datasets.load_npz(tmp_path / "t.npz", "price")[1].tolist() == [1, 2, 3, 4]

    def test_without_target(self, tmp_path):
        np.savez(tmp_path / "t.npz", x=self.X)
        assert datasets.load_npz(tmp_path / "t.npz")[1] is None

    @pytest.mark.parametrize(
        ("arrays", "target", "match"),
        [
            ({"a": X}, None, "no features; its arrays: a; allowed: X, x,"),
            ({"X": X, "price": Y}, "prize", "no array 'prize'; did you mean 'price'. Its arrays: X, price"),
            ({"X": X, "y": Y[:3]}, None, "4 rows in 'X', 3 in 'y'"),
            ({"X": np.float64(1)}, None, "'X' is no array of rows"),
            ({"X": X, "y": np.array([{}, 1, 2, 3])}, None, "'y' cannot be read .*pickle"),
        ],
    )
    def test_refuses(self, tmp_path, arrays, target, match):
        np.savez(tmp_path / "t.npz", **arrays)
        refused(datasets.load_npz, tmp_path / "t.npz", target, match=match)

    def test_refuses_what_is_no_archive(self, tmp_path):
        np.save(tmp_path / "t.npy", self.X)
        for content in (b"", b"PK\x03\x04 and so on", (tmp_path / "t.npy").read_bytes()):
            refused(datasets.load_npz, write(tmp_path / "t.npz", content), match="not an NPZ archive")

    def test_refuses_any_truncation_and_damage(self, tmp_path):
        np.savez_compressed(tmp_path / "t.npz", X=self.X, y=self.Y)
        content = (tmp_path / "t.npz").read_bytes()
        for length in range(0, len(content), 7):
            refused(datasets.load_npz, write(tmp_path / "cut.npz", content[:length]), match="NPZ archive")
        start = content.index(b"X.npy") + len(b"X.npy")  # the member's compressed stream, after its header
        damaged = content[: start + 30] + bytes(20) + content[start + 50 :]
        refused(datasets.load_npz, write(tmp_path / "bad.npz", damaged), match="damaged|cannot be read")
