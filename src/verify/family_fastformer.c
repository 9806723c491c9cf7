/* fastformer: on given q, k, v, with the two score vectors and the matrix of each head. */
#include "verify/core.h"
#include "verify/families.h"

void sq__family_fastformer(sq_golden *golden)
{
    sq_core core = { .desc = { .mechanism = "fastformer", .scale = sq__golden_scale(golden) }, .tensor_count = 3 };
    const sq_st_tensor *w = sq__golden_tensor(golden, "w", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    if (!w) return;
    const int64_t H = w->shape[0], D = w->shape[1];
    core.tensors[0] = (sq_core_tensor){ sq__golden_floats(golden, "wq", SQ_SHAPE(H, D)), H * D, "dwq" };
    core.tensors[1] = (sq_core_tensor){ sq__golden_floats(golden, "wk", SQ_SHAPE(H, D)), H * D, "dwk" };
    core.tensors[2] = (sq_core_tensor){ sq__golden_floats(golden, "w", SQ_SHAPE(H, D, D)), H * D * D, "dw" };
    if (sq__golden_has(golden, "mask_keep")) core.key_keep = "mask_keep";
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}
