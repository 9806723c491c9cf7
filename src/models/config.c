#include "models/config.h"

static const char *const norms[] = { "pre", "post", NULL };
static const char *const activations[] = { "gelu", "relu", NULL };
static const char *const positions[] = { "learned", "sinusoidal", "none", "rotary", "axial", NULL };
static const char *const biases[] = { "none", "alibi", "relative", NULL };   /* sq_bias_kind */
static const char *const poolings[] = { "auto", "mean", "last", "class", "attention", NULL };

const sq_field sq__model_fields[] = {
    SQ_INT(sq_model_config, layers, "2", 1, 1000, "blocks, or recurrent layers"),
    SQ_INT(sq_model_config, width, "128", 1, 65536, "numbers per event inside the model"),
    SQ_INT(sq_model_config, heads, "4", 1, 1024, "attention heads"),
    SQ_INT(sq_model_config, head_size, "0", 0, 65536, "numbers per head, free of width and heads (more rank: arXiv:2002.07028); 0: width / heads"),
    SQ_INT(sq_model_config, feed_forward, "0", 0, 1 << 20, "hidden width of the feed-forward part; 0: 4 width"),
    SQ_CHOICE(sq_model_config, norm, "pre", norms, "layer norm before each part, or after its residual sum"),
    SQ_CHOICE(sq_model_config, activation, "gelu", activations, "of the feed-forward part"),
    SQ_CHOICE(sq_model_config, positions, "learned", positions,
              "what tells the model where an event stands: an embedding (axial: of two small tables), or rotary: queries and keys turned by their positions"),
    SQ_CHOICE(sq_model_config, position_bias, "none", biases,
              "added to attention scores by distance: alibi (a slope per head) or relative (a trained number per head and distance)"),
    SQ_INT(sq_model_config, bias_distance, "128", 1, 1 << 20, "relative: events farther apart share the bias of this distance"),
    SQ_BOOL(sq_model_config, reversible, "false",
            "layers whose input is computed back from their output while training (Reformer): memory does not grow with layers, rows are twice as wide"),
    SQ_BOOL(sq_model_config, recompute, "false", "training keeps the rows between layers alone and computes a layer's own values again: less memory, a forward pass more"),
    SQ_BOOL(sq_model_config, share_layers, "false", "all layers have the first one's parameters"),
    SQ_INT(sq_model_config, feed_forward_chunk, "0", 0, 1 << 30,
           "hidden rows of the feed-forward part that exist at once while training, computed again on the way back; 0: all, kept"),
    SQ_CHOICE(sq_model_config, pooling, "auto", poolings,
              "how the model's rows become one: mean, last event, an extra class token, or attention by a learned seed (Set Transformer); auto: last for recurrent models, else mean"),
    SQ_BOOL(sq_model_config, causal, "false", "an event sees earlier ones only; recurrences always do"),
    SQ_FLOAT(sq_model_config, dropout, "0.1", 0, 0.99, "of each part's output, and between recurrent layers"),
    SQ_FLOAT(sq_model_config, embedding_dropout, "0.1", 0, 0.99, "of the embedded events"),
    SQ_FIELDS_END,
};
