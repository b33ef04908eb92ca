/* Rows of few columns, VL of them at a time and turned so that a vector holds one column of them all. A row that
 * fills a part of a vector would leave the rest of it idle and end in sums across lanes: the softmax and loss of a
 * row of 10 classes took 31 ns with AVX-512 and float, so they take 10.
 *
 * Which rows go this way is decided by `cols` alone, and a block of fewer than VL rows repeats its last one: lanes
 * never meet, so the bits of a row are the same wherever it stands.
 */

/* A multiple of VL. With fewer lanes to fill, turning costs more than it saves from fewer columns on. */
enum { FN(NARROW) = VL >= 8 ? 32 : VL == 4 ? 12 : VL };

/* Columns [0, n), n <= width, of VL rows */
INLINE void FN(load_block)(const T *const *row, fnn_size c, fnn_size n, const int width, V *column)
{
    V block[VL];
#pragma GCC unroll 16
    for (int i = 0; i < VL; i++) block[i] = v_loadp(row[i] + c, n);
    FN(v_turn)(block);
#pragma GCC unroll 16
    for (int j = 0; j < width; j++) column[j] = block[j];
}
INLINE void FN(store_block)(const V *column, fnn_size n, const int width, T *x, fnn_size ldx, fnn_size rows)
{
    V block[VL];
#pragma GCC unroll 16
    for (int j = 0; j < VL; j++) block[j] = j < width ? column[j] : (V){0};
    FN(v_turn_back)(block);
    if (rows == VL)
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) v_storep(x + i * ldx, block[i], n);
    else
        for (fnn_size i = 0; i < rows; i++) v_storep(x + i * ldx, block[i], n);
}

/* column[j] = element j of every row, for j < cols; room for cols rounded up to whole vectors */
static void FN(load_columns)(const T *const *row, fnn_size cols, V *column)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        const fnn_size n = cols - c;
        if (n <= VL / 4) FN(load_block)(row, c, n, VL / 4, column + c);
        else if (n <= VL / 2) FN(load_block)(row, c, n, VL / 2, column + c);
        else FN(load_block)(row, c, n, VL, column + c);
    }
}

/* The inverse, for the first n rows */
static void FN(store_columns)(const V *column, fnn_size cols, T *x, fnn_size ldx, fnn_size rows)
{
    for (fnn_size c = 0; c < cols; c += VL) {
        const fnn_size n = cols - c;
        if (n <= VL / 4) FN(store_block)(column + c, n, VL / 4, x + c, ldx, rows);
        else if (n <= VL / 2) FN(store_block)(column + c, n, VL / 2, x + c, ldx, rows);
        else FN(store_block)(column + c, n, VL, x + c, ldx, rows);
    }
}
