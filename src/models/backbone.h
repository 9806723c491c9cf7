/* A backbone maps embedded events to rows; a model is embedding, backbone, pooling and head (model.h). One kind per file, listed in
 * backbones.c; its blocks live in nn, its loops over time in autograd.
 *
 * A kind that streams is causal (row t depends on events 0..t alone) and goes on from a carry: one event at a time, in segments of any
 * lengths or in one run, the rows are the same. Depends on nn, model.h. */
#ifndef SQ_MODELS_BACKBONE_H
#define SQ_MODELS_BACKBONE_H

#include "base/fields.h"
#include "models/config.h"
#include "nn/carry.h"
#include "nn/layers.h"
#include "subquad/task.h"

enum {
    SQ_MODEL_STREAMS = 1,              /* causal, and goes on from a carry */
    SQ_MODEL_UNALIGNED = 2,            /* rows are not one per event (latents): pooled by their mean */
    SQ_MODEL_POSITIONS = 4,            /* wants positions added to the events; others know the order by themselves */
    SQ_MODEL_LAST = 8,                 /* pooled by the last row unless the configuration says otherwise */
};

typedef struct sq_backbone_spec {
    const sq_model_config *model;      /* what applies of it */
    int64_t max_length;                /* longest sequence that will come */
    int classes;
    sq_target_kind target;             /* what is asked of the model, and whether of the next event */
    bool next;
    const char *mechanism;             /* encoder: of its attention */
    const sq_option *options;
    int option_count;
    int threads;
    uint64_t seed;
    sq_parameters *set;                /* parameters are added here: "KIND.I.part.weight" */
    sq_carry_layout *layout;           /* and here what a kind that streams carries */
} sq_backbone_spec;

typedef struct sq_backbone_kind sq_backbone_kind;

/* First member of what a kind's create makes. */
/* row_width: of what the head reads; cannot: set by create, what its options take away of what the kind can; can: what is left */
typedef struct sq_backbone { const sq_backbone_kind *kind; int64_t row_width; unsigned can, cannot; } sq_backbone;

typedef struct sq_backbone_call {
    sq_var *x;                         /* [B,T,model.width]; rows beyond a length are rubbish that must not matter */
    const int32_t *lengths;            /* [B], 0 to T */
    sq_carry *carry;                   /* NULL: sequences begin afresh and nothing is kept. Else read, and overwritten */
    sq_var **auxiliary;                /* NULL allowed; a weighted regulariser is added to *auxiliary (NULL: becomes it) */
    sq_scope scope;                    /* rows before a layer may go when it is done: sq__scope_end */
    const int32_t *asked;              /* decode: [B,T] the class of each event, SQ_NOT_ASKED where none is asked; NULL: one answer is asked */
    const sq_linear *head;             /* decode: what reads rows of row_width */
    const int32_t *row_lengths;        /* UNALIGNED: set by run where not all rows count */
} sq_backbone_call;

struct sq_backbone_kind {
    const char *name, *title, *paper, *cost;   /* "lstm", "Long Short-Term Memory", "Hochreiter 1997", "O(n) time" */
    unsigned can;                      /* SQ_MODEL_* */
    size_t config_size;
    const sq_field *fields;            /* its own options; NULL: none */
    sq_status (*create)(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error);   /* checks the options, too */
    void (*destroy)(sq_backbone *backbone);   /* of whole and of half-made ones */
    sq_var *(*run)(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call);   /* rows [B,T,row_width]; UNALIGNED: [B,R,row_width] */
    /* Kinds that say their answer token after token, from the rows of run: outputs [B, outputs], or where events are asked [B*T, outputs],
     * rubbish where none is. NULL: the model's pooling and head do it. */
    sq_var *(*decode)(const sq_backbone *backbone, sq_tape *tape, const sq_backbone_call *call, sq_var *rows);
    sq_status (*redraw)(sq_backbone *backbone, uint64_t draw, sq_error *error);           /* random features and the like; NULL: none */
};

const sq_backbone_kind *const *sq__backbone_kinds(void);    /* NULL-terminated; those that a task can name */
const sq_backbone_kind *sq__backbone_kind(const char *name);   /* NULL if there is none */
extern const sq_backbone_kind sq__backbone_encoder;         /* Transformer encoder over the registry: named by its mechanism */

#endif
