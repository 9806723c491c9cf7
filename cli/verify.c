/* subquad verify: reference vectors against this build. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "flags.h"

/* The tensor nearest to its tolerance, or farthest beyond it. */
static const sq_verify_tensor *worst_tensor(const sq_verify_result *result)
{
    const sq_verify_tensor *worst = NULL;
    double most = -1;
    for (int i = 0; i < result->tensor_count; i++) {
        const sq_verify_tensor *t = &result->tensors[i];
        double ratio = t->tolerance > 0 ? t->error / t->tolerance : t->error > 0 ? 1e300 : 0;
        if (!t->passed) ratio = ratio > 1 ? ratio * 1e6 : 1e300;
        if (!(ratio <= most)) {   /* a NaN error is the worst */
            most = ratio;
            worst = t;
        }
    }
    return worst;
}

static void print_result(const char *path, const sq_verify_result *result, bool all)
{
    static const char *const word[] = { [SQ_VERIFY_PASSED] = "passed", [SQ_VERIFY_FAILED] = "FAILED", [SQ_VERIFY_SKIPPED] = "skipped" };
    const sq_verify_tensor *worst = worst_tensor(result);
    printf("%-7s %s", word[result->outcome], path);
    if (result->outcome != SQ_VERIFY_PASSED) printf(": %s", result->reason);
    if (worst) printf(" (%d tensors; nearest to its bound: %s, %.2g of %.2g)", result->tensor_count, worst->name, worst->error, worst->tolerance);
    printf("\n");
    for (int i = 0; all && i < result->tensor_count; i++) {
        const sq_verify_tensor *t = &result->tensors[i];
        printf("        %-44s error %9.3g  tolerance %9.3g  largest %9.3g%s\n", t->name, t->error, t->tolerance, t->largest,
               t->passed ? "" : "  FAILED");
    }
}

int command_verify(int argc, char **argv)
{
    bool all = false;
    const flag flags[] = { { "verbose", 'v', FLAG_SWITCH, &all, NULL, "every tensor: its error beside its tolerance" } };
    usage u = { .command = "verify", .synopsis = "FILE...",
                .summary = "Runs each safetensors file of reference vectors through this build and compares every tensor with its tolerance.\n"
                           "The exit status is 0 only if none failed. What this build does not have is skipped, with the reason.",
                .flags = flags, .flag_count = 1, .least = 1, .most = -1 };
    int count, passed = 0, failed = 0, unreadable = 0, skipped = 0;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    for (int i = 0; i < count; i++) {
        sq_verify_result result = { 0 };
        sq_error error;
        if (sq_verify_file(argv[1 + i], &result, &error) != SQ_OK) {
            printf("FAILED  %s: %s\n", argv[1 + i], error.message);
            unreadable++;
        } else {
            print_result(argv[1 + i], &result, all);
            passed += result.outcome == SQ_VERIFY_PASSED;
            failed += result.outcome == SQ_VERIFY_FAILED;
            skipped += result.outcome == SQ_VERIFY_SKIPPED;
        }
        sq_verify_result_clear(&result);
        fflush(stdout);
    }
    printf("%d passed, %d failed, %d skipped\n", passed, failed + unreadable, skipped);
    return failed ? 1 : unreadable ? 2 : 0;
}
