/* The table of operations. To add one: its row here, its row in ops.h, its function in tape.h, its gradient check in tests/autograd. */
#include "autograd/ops.h"

#define ROW(symbol) &sq__op_##symbol,
const sq_op *const sq__ops[] = { SQ_OPS_TABLE(ROW) NULL };
