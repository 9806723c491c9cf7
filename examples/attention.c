/* Attention on raw arrays, forward and backward: Performer against exact attention on the same queries, keys and values.
 *
 *   cc attention.c $(pkg-config --cflags --libs subquad) -lm && ./a.out
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "subquad/subquad.h"

enum { B = 1, T = 512, H = 4, D = 32, COUNT = B * T * H * D };

typedef struct workspace { void *memory, *saved; float *tensor[16]; } workspace;

static void *aligned(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

/* Plans one mechanism, runs it forward and backward, and leaves out and dq. Returns the exit status. */
static int attend(const char *mechanism, const sq_option *options, int option_count, const float *q, const float *k, const float *v,
                  const float *dout, float *out, float *dq)
{
    sq_error error;
    sq_attention *plan;
    sq_attention_desc desc = { .mechanism = mechanism, .options = options, .option_count = option_count, .B = B, .H = H, .T = T, .N = T,
                               .D = D, .M = D, .threads = 2, .seed = 1 };
    if (sq_attention_create(&plan, &desc, &error) != SQ_OK) {
        fprintf(stderr, "%s\n", error.message);
        return sq_status_exit_code(error.status);
    }

    size_t forward = sq_attention_workspace_bytes(plan, SQ_FORWARD), backward = sq_attention_workspace_bytes(plan, SQ_BACKWARD);
    workspace w = { .memory = aligned(forward > backward ? forward : backward), .saved = aligned(sq_attention_saved_bytes(plan)) };
    float *gradient[16] = { 0 };
    for (int i = 0; i < sq_attention_tensor_count(plan); i++) {   /* Performer's random projection, for instance */
        sq_attention_tensor info;
        sq_attention_tensor_get(plan, i, &info);
        size_t count = 1;
        for (int axis = 0; axis < info.rank; axis++) count *= (size_t)info.shape[axis];
        w.tensor[i] = aligned(count * sizeof(float));
        if (info.trainable) gradient[i] = aligned(count * sizeof(float));
        sq_attention_tensor_init(plan, i, 1, 0, w.tensor[i]);
    }

    float *dk = aligned(COUNT * sizeof(float)), *dv = aligned(COUNT * sizeof(float));
    sq_attention_call call = { .q = sq_view_bthd(q, T, H, D), .k = sq_view_bthd(k, T, H, D), .v = sq_view_bthd(v, T, H, D),
                               .out = sq_view_bthd(out, T, H, D), .tensors = w.tensor, .saved = w.saved, .workspace = w.memory };
    sq_attention_forward(plan, &call);
    sq_attention_gradients gradients = { .dout = sq_view_bthd(dout, T, H, D), .dq = sq_view_bthd(dq, T, H, D),
                                         .dk = sq_view_bthd(dk, T, H, D), .dv = sq_view_bthd(dv, T, H, D), .dtensors = gradient };
    sq_attention_backward(plan, &call, &gradients);

    for (int i = 0; i < 16; i++) {
        free(w.tensor[i]);
        free(gradient[i]);
    }
    free(dk);
    free(dv);
    free(w.saved);
    free(w.memory);
    sq_attention_destroy(&plan);
    return 0;
}

static double relative_error(const float *x, const float *exact)
{
    double difference = 0, size = 0;
    for (int i = 0; i < COUNT; i++) {
        difference += pow(x[i] - exact[i], 2);
        size += pow(exact[i], 2);
    }
    return sqrt(difference / size);
}

int main(void)
{
    float *data[8];
    for (int i = 0; i < 8; i++) {
        data[i] = aligned(COUNT * sizeof(float));
        for (int j = 0; j < COUNT; j++) data[i][j] = (float)sin(0.37 * j * (i + 1));
    }
    float *q = data[0], *k = data[1], *v = data[2], *dout = data[3];
    int status = attend("softmax", NULL, 0, q, k, v, dout, data[4], data[5]);
    for (int features = 32; !status && features <= 512; features *= 4) {
        char text[16];
        snprintf(text, sizeof text, "%d", features);
        sq_option option = { "features", text };
        status = attend("performer", &option, 1, q, k, v, dout, data[6], data[7]);
        printf("performer with %3d features: output %.3f, gradient of q %.3f away from exact attention\n", features,
               relative_error(data[6], data[4]), relative_error(data[7], data[5]));
    }
    for (int i = 0; i < 8; i++) free(data[i]);
    return status;
}
