/* Every family for one T, and the table that lists them. */
#include "simd.h"
#include "math.inc.c"
#include "columns.inc.c"
#include "activations.inc.c"
#include "gemm.inc.c"
#include "conv.inc.c"
#include "losses.inc.c"
#include "metrics.inc.c"
#include "optimizers.inc.c"
#include "restraints.inc.c"
#include "tensors.inc.c"
#include "distribution.inc.c"
#include "rows.inc.c"
#include "structure.inc.c"
#include "sparse.inc.c"
#include "csr.inc.c"
#include "packed.inc.c"
#include "noise.inc.c"
#include "norms.inc.c"

static const fnn_kernels FN(table) = {
    .isa = FNN_STR(FNN_ISA),
    .itemsize = sizeof(T),
    .nr = NR,
    .mr = FNN_MR,
    .math = FN(math),
    .activation_forward = FN(activation_forward),
    .activation_backward = FN(activation_backward),
    .transposed_size = FN(transposed_size),
    .transpose = FN(transpose),
    .dense_forward = FN(dense_forward),
    .dense_forward_transposed = FN(dense_forward_transposed),
    .dense_input_grad = FN(dense_input_grad),
    .dense_kernel_grad = FN(dense_kernel_grad),
    .column_sum = FN(column_sum),
    .accumulate = FN(accumulate),
    .clip = FN(clip_values),
    .average = FN(move_average),
    .sum_of_squares = FN(sum_of_squares),
    .square_sums = FN(square_sums),
    .over_root = FN(over_root),
    .turn = FN(turn),
    .histogram = FN(histogram),
    .extent = FN(extent),
    .conv_scratch = FN(conv_scratch),
    .conv_forward = FN(conv_forward),
    .conv_input_grad = FN(conv_input_grad),
    .conv_kernel_grad = FN(conv_kernel_grad),
    .pool_forward = FN(pool_forward),
    .pool_backward = FN(pool_backward),
    .loss = FN(loss),
    .metric = FN(metric),
    .update = FN(update),
    .penalty = FN(penalty),
    .norm_columns = FN(norm_columns),
    .norm_rows = FN(norm_rows),
    .mask = FN(apply_mask),
    .unit_rows = FN(unit_rows),
    .orthogonal = FN(orthogonal),
    .gather = FN(gather),
    .affine = FN(affine),
    .all_finite = FN(all_finite),
    .dropout = FN(dropout),
    .add = FN(add),
    .take_columns = FN(take_columns),
    .put_columns = FN(put_columns),
    .embed = FN(embed),
    .embed_grad = FN(embed_grad),
    .panel = FN(PANEL),
    .narrow = FN(FEW),
    .sparse_rows = FN(sparse_rows),
    .sparse_scratch = FN(sparse_scratch),
    .sparse_turn = FN(sparse_turn),
    .sparse_forward = FN(sparse_forward),
    .sparse_backward = FN(sparse_backward),
    .csr_forward = FN(csr_forward),
    .entry_grad = FN(entry_grad),
    .all_within = FN(all_within),
    .pack_bits = FN(pack_bits),
    .packed_scratch = FN(packed_scratch),
    .packed_forward = FN(packed_forward),
    .round_randomly = FN(round_randomly),
    .keep_scaled = FN(keep_scaled),
    .gaussian = FN(gaussian),
    .column_moments = FN(column_moments),
    .merge_moments = FN(merge_moments),
    .inverse_deviation = FN(inverse_deviation),
    .normalize = FN(normalize),
    .gradient_moments = FN(gradient_moments),
    .merge_gradients = FN(merge_gradients),
    .normalize_backward = FN(normalize_backward),
    .row_normalize = FN(row_normalize),
    .row_normalize_backward = FN(row_normalize_backward),
    .row_gradient_sums = FN(row_gradient_sums),
    .prelu_forward = FN(prelu_forward),
    .prelu_backward = FN(prelu_backward),
    .prelu_sums = FN(prelu_sums),
    .srelu_forward = FN(srelu_forward),
    .srelu_backward = FN(srelu_backward),
    .srelu_sums = FN(srelu_sums),
};
