/* Load a trained run and predict the clients of a table.
 *
 *   cc predict.c $(pkg-config --cflags --libs subquad) && ./a.out RUN TABLE
 */
#include <stdio.h>

#include "subquad/subquad.h"

static sq_status show(void *user, const char *id, const float *probabilities, int class_count)
{
    int *left = user, best = 0;
    for (int i = 1; i < class_count; i++)
        if (probabilities[i] > probabilities[best]) best = i;
    if ((*left)-- > 0) printf("client %s: class number %d with probability %.3f\n", id, best, probabilities[best]);
    return SQ_OK;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: predict RUN TABLE\n");
        return 2;
    }
    sq_error error;
    sq_classifier *classifier = NULL;
    int shown = 5;
    sq_status status = sq_classifier_open(&classifier, argv[1], 2, &error);
    if (status == SQ_OK) status = sq_classifier_predict(classifier, argv[2], show, &shown, NULL, &error);
    if (status == SQ_OK)
        printf("%d clients predicted, %d classes\n", 5 - shown, sq_classifier_class_count(classifier));
    else
        fprintf(stderr, "%s\n", error.message);
    sq_classifier_destroy(&classifier);
    return sq_status_exit_code(status);
}
