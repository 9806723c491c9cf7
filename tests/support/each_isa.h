/* Runs a test program once per ISA that this processor has: each in a process of its own, because what multiplies and which
 * kernels run is chosen once per process. */
#ifndef SQ_TESTS_SUPPORT_EACH_ISA_H
#define SQ_TESTS_SUPPORT_EACH_ISA_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cpu.h"

static inline int run_under_each_isa(int (*run)(void))
{
    int failed = 0;
    for (int isa = 0; isa <= (int)sq__cpu_detected(); isa++) {
        fprintf(stderr, "---- SUBQUAD_ISA=%s\n", sq__isa_name((sq_isa)isa));
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            setenv("SUBQUAD_ISA", sq__isa_name((sq_isa)isa), 1);
            exit(run());
        }
        int status = 1;
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) failed++;
    }
    return failed;
}

#endif
