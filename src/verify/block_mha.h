/* torch.nn.MultiheadAttention with everything it offers: an additive mask, a learned key and value, a zero key and value, the weights. */
#ifndef SQ_VERIFY_BLOCK_MHA_H
#define SQ_VERIFY_BLOCK_MHA_H

#include "verify/module.h"

void sq__block_mha(sq_module *module);

#endif
