/* What the generator says about its data: README.md beside it, and the task file. */
#include "data/generate.h"

void sq__clients_readme(FILE *out, const sq_clients_text *text)
{
    const sq_clients_options *options = text->options;
    const sq_clients_result *result = text->result;
    fprintf(out, "# Sample clients\n\n"
                 "Generated, no real person's data: `subquad data clients --out %s --mode %s --clients %lld --seed %llu --min-events %lld"
                 " --max-events %lld --noise %g`\n\n",
            options->folder, options->mode, (long long)options->clients, (unsigned long long)options->seed,
            (long long)options->min_events, (long long)options->max_events, options->noise);
    fprintf(out, "* transactions.csv: %lld events, `customer_id,tr_datetime,mcc_code,tr_type,amount,term_id`. `tr_datetime` is `<day> HH:MM:SS`,"
                 " an amount below 0 is spending, `term_id` may be empty. Events of a client stand together, oldest first.\n"
                 "* gender.csv: %lld clients, `customer_id,gender`; %.4f of them have 1.\n"
                 "* task.yaml: the task for `subquad compare` and `subquad train`.\n\n",
            (long long)result->events, (long long)result->clients, text->positive_share);
    fputs("## What decides the label\n\n", out);
    if (text->mode == SQ_CLIENTS_LONG_RANGE)
        fprintf(out, "Every client has the same number of events with code %d (building materials, U) as with code %d (travel agency, V): a 25th of the"
                     " history each. One kind lies in a zone at the front, the other in a zone at the back, and every U is more than 1,000 events away"
                     " from every V. P(1) is %g when U comes first and %g when V comes first; exactly half of the clients have U first.\n\n"
                     "Nothing else depends on the label. Type, amount and terminal of an event depend on its code and not on its place, so every"
                     " count and every statistic over a history that leaves out when things happened has the same distribution for both"
                     " labels: a model of such aggregates is at chance, whatever it is.\n\n",
                SQ_CODE_U, SQ_CODE_V, 1 - options->noise, options->noise);
    else
        fprintf(out, "P(1) = sigmoid(2.0 share + 1.4 order + 1.4 recency + 1.4 distant), then a fraction %g of the labels is flipped.\n\n"
                     "| factor | range | value |\n| --- | --- | --- |\n"
                     "| share | whole history, no order | (share of events with code %d, %d or %d - 0.12) / 0.08, cut to [-1, 1] |\n"
                     "| order | two events | sign of (times %d comes directly before %d) - (times %d comes directly before %d) |\n"
                     "| recency | the last %d events | sign of (events with code %d) - (with code %d) among them |\n"
                     "| distant | more than 1,000 events, in a history of 1,200 and more; else half of it | 1 when all events with code %d come"
                     " before all with code %d, -1 when after |\n\n"
                     "Both codes of order come equally often, so do those of recency, and those of distant: only share shows in counts. The"
                     " second event of a pair of order follows within minutes.\n\n",
                options->noise, SQ_CODE_SHARE_0, SQ_CODE_SHARE_1, SQ_CODE_SHARE_2, SQ_CODE_DOCTOR, SQ_CODE_PHARMACY, SQ_CODE_PHARMACY,
                SQ_CODE_DOCTOR, SQ_RECENT, SQ_CODE_FUEL, SQ_CODE_TRANSPORT, SQ_CODE_U, SQ_CODE_V);
    fprintf(out, "## The best that can be reached\n\n"
                 "Computed from the label probabilities of these clients, in expectation over labels drawn from them:\n"
                 "Bayes accuracy %.4f, Bayes AUC %.4f.\n",
            result->bayes_accuracy, result->bayes_auc);
}

void sq__clients_task(FILE *out, const sq_clients_text *text)
{
    const sq_clients_options *options = text->options;
    const sq_clients_result *result = text->result;
    const bool far = text->mode == SQ_CLIENTS_LONG_RANGE;
    fprintf(out, SQ_CLIENTS_MARK " (mode %s, %lld clients, seed %llu); README.md says what decides the label.\n"
                 "# The best that can be reached: accuracy %.4f, AUC %.4f.\n",
            options->mode, (long long)result->clients, (unsigned long long)options->seed, result->bayes_accuracy, result->bayes_auc);
    fprintf(out, "data:\n"
                 "  files: transactions.csv\n"
                 "  id: customer_id\n"
                 "  time: {column: tr_datetime, format: day-hms, gap: true, age: true, calendar: true}\n"
                 "  categorical: [mcc_code, tr_type]\n"
                 "  numeric: [{column: amount, transform: log}]\n"
                 "  target: {column: gender, file: gender.csv}\n"
                 "  max_length: %lld\n"
                 "  split: {by: stratified, validation: 0.15, test: 0.25, seed: 1}\n",
            (long long)options->max_events);
    fprintf(out, "model:\n"
                 "  layers: 2\n"
                 "  width: 64\n"
                 "  heads: 4\n"
                 "  feed_forward: 128\n"
                 "  positions: sinusoidal\n"
                 "  pooling: mean\n"
                 "  dropout: %g\n"
                 "  embedding_dropout: %g\n",
            far ? 0 : 0.1, far ? 0 : 0.1);
    fprintf(out, "train:\n"
                 "  epochs: %d\n"
                 "  batch: 16\n"
                 "  learning_rate: %g\n"
                 "  warmup: 0.1\n"
                 "  schedule: cosine\n"
                 "  patience: 0\n"
                 "  metric: auc\n",
            far ? (result->clients < 3000 ? 3 : 2) : 6, far ? 0.003 : 0.001);
    fprintf(out, "attention:\n"
                 "  linformer: {rank: 64}\n"
                 "  performer: {features: 64}\n"
                 "  infinite-former: {segment: %lld}\n",
            (long long)(options->max_events < 128 ? 32 : options->max_events > 2048 ? 512 : options->max_events / 4));   /* most of a history is memory */
    fprintf(out, "compare:\n"
                 "  seeds: 3\n");
}
