/* cosformer: multi-head modules of the authors' code; without wo the heads side by side. */
#include "verify/families.h"
#include "verify/heads.h"

void sq__family_cosformer(sq_golden *golden)
{
    sq_heads h;
    if (sq__heads_open(&h, golden, "cosformer") && sq__heads_read(&h, true, true)) {
        h.desc.causal = sq__golden_flag(golden, "causal", false);
        sq__heads_option(&h, "convention", "opennlplab");
        sq__heads_finish(&h, sq__heads_attend(&h));
    }
    sq__heads_close(&h);
}
