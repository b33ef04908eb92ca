/* Branches and tables: sums of two matrices, columns picked by an index, rows of a table looked up and trained. */

static void FN(add)(fnn_size rows, fnn_size cols, const void *a_, fnn_size lda, const void *b_, fnn_size ldb, void *y_,
                    fnn_size ldy)
{
    for (fnn_size r = 0; r < rows; r++) {
        const T *a = (const T *)a_ + r * lda, *b = (const T *)b_ + r * ldb;
        T *y = (T *)y_ + r * ldy;
        for (fnn_size c = 0; c < cols; c += VL)
            v_storep(y + c, v_loadp(a + c, cols - c) + v_loadp(b + c, cols - c), cols - c);
    }
}

static void FN(take_columns)(fnn_size rows, fnn_size n, const int64_t *column, const void *x_, fnn_size ldx, void *y_,
                             fnn_size ldy)
{
    for (fnn_size r = 0; r < rows; r++) {
        const T *x = (const T *)x_ + r * ldx;
        T *y = (T *)y_ + r * ldy;
        for (fnn_size i = 0; i < n; i++) y[i] = x[column[i]];
    }
}

static void FN(put_columns)(fnn_size rows, fnn_size cols, fnn_size n, const int64_t *column, const void *dy_, fnn_size lddy,
                            void *dx_, fnn_size lddx)
{
    for (fnn_size r = 0; r < rows; r++) {
        const T *dy = (const T *)dy_ + r * lddy;
        T *dx = (T *)dx_ + r * lddx;
        memset(dx, 0, (size_t)cols * sizeof(T));
        for (fnn_size i = 0; i < n; i++) dx[column[i]] += dy[i];
    }
}

/* Entries that are looked up together: while one is checked, the table's row for it is on its way. */
enum { FN(LOOKUP) = 64 };

static fnn_size FN(embed)(fnn_size rows, fnn_size cols, fnn_size dim, fnn_size limit, const void *x_, fnn_size ldx,
                          const void *table_, int32_t *index, void *y_, fnn_size ldy)
{
    const T *table = table_;
    const fnn_size bytes = dim * (fnn_size)sizeof(T), ahead = bytes < 1024 ? bytes : 1024;
    fnn_size bad = -1;
    for (fnn_size r = 0; r < rows; r++) {
        const T *x = (const T *)x_ + r * ldx;
        int32_t *entry = index + r * cols;
        for (fnn_size c = 0; c < cols; c++) {
            const T value = x[c];
            const int inside = value >= 0 && value < (T)limit; /* false for NaN */
            entry[c] = inside ? (int32_t)value : 0;
            if ((!inside || (T)entry[c] != value) && bad < 0) bad = r * cols + c;
            for (fnn_size b = 0; b < ahead; b += 64) __builtin_prefetch((const char *)(table + entry[c] * dim) + b);
        }
        if (r % FN(LOOKUP) < FN(LOOKUP) - 1 && r < rows - 1) continue;
        for (fnn_size s = r / FN(LOOKUP) * FN(LOOKUP); s <= r; s++)
            for (fnn_size c = 0; c < cols; c++) {
                const T *from = table + index[s * cols + c] * dim;
                T *y = (T *)y_ + s * ldy + c * dim;
                for (fnn_size j = 0; j < dim; j += VL) v_storep(y + j, v_loadp(from + j, dim - j), dim - j);
            }
    }
    return bad;
}

static void FN(embed_grad)(fnn_size rows, fnn_size cols, fnn_size dim, const int32_t *index, fnn_size t0, fnn_size t1,
                           fnn_size j0, fnn_size j1, const void *dy_, fnn_size lddy, void *g_, fnn_size ldg)
{
    const T *dy = dy_;
    T *g = g_;
    const fnn_size n = rows * cols, width = j1 - j0;
    const uint32_t first = (uint32_t)t0, count = (uint32_t)(t1 - t0);
    for (fnn_size t = 0; t < t1 - t0; t++) memset(g + t * ldg, 0, (size_t)width * sizeof(T));
    for (fnn_size e0 = 0; e0 < n; e0 += FN(LOOKUP)) {
        const fnn_size e1 = n - e0 < FN(LOOKUP) ? n : e0 + FN(LOOKUP);
        uint32_t hits = 0; /* of a large table few blocks of it are named by so few entries */
        for (fnn_size e = e0; e < e1; e++) hits += (uint32_t)index[e] - first < count;
        for (fnn_size e = e0; e < e1 && hits; e++) {
            const uint32_t t = (uint32_t)index[e] - first;
            if (t >= count) continue;
            const T *from = dy + e / cols * lddy + e % cols * dim + j0;
            T *to = g + (fnn_size)t * ldg;
            for (fnn_size j = 0; j < width; j += VL)
                v_storep(to + j, v_loadp(to + j, width - j) + v_loadp(from + j, width - j), width - j);
            hits--;
        }
    }
}
