/* cmocka with the headers it needs, and checks of floats. */
#ifndef SQ_TESTS_SUPPORT_CHECK_H
#define SQ_TESTS_SUPPORT_CHECK_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define assert_close(x, expected, bound)                                                                        \
    do {                                                                                                        \
        double sq_x = (x), sq_e = (expected), sq_b = (bound);                                                   \
        if (!(fabs(sq_x - sq_e) <= sq_b)) fail_msg("%s is %.9g; expected %.9g within %.3g", #x, sq_x, sq_e, sq_b); \
    } while (0)

#define assert_ok(expression, error)                                                                            \
    do {                                                                                                        \
        sq_status sq_s = (expression);                                                                          \
        if (sq_s != SQ_OK) fail_msg("%s: %s: %s", #expression, sq_status_name(sq_s), (error)->message);        \
    } while (0)

#define assert_contains(text, part)                                                                             \
    do {                                                                                                        \
        if (!strstr((text), (part))) fail_msg("'%s' does not contain '%s'", (text), (part));                    \
    } while (0)

#endif
