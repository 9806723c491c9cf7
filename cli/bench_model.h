#ifndef CLI_BENCH_MODEL_H
#define CLI_BENCH_MODEL_H

int bench_model(int argc, char **argv);   /* argv from "model" on; exit status */

#endif
