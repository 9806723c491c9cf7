/* Numbers of events: numeric columns and what the time column says. Depends on store, schema, scan. */
#ifndef SQ_DATA_FEATURES_H
#define SQ_DATA_FEATURES_H

#include "data/config.h"
#include "data/scan.h"
#include "data/schema.h"
#include "data/store.h"

typedef enum sq_time_feature {
    SQ_TIME_GAP, SQ_TIME_AGE, SQ_TIME_HOUR_SIN, SQ_TIME_HOUR_COS, SQ_TIME_WEEKDAY_SIN, SQ_TIME_WEEKDAY_COS, SQ_TIME_MONTHDAY_SIN,
    SQ_TIME_MONTHDAY_COS, SQ_TIME_FEATURE_COUNT
} sq_time_feature;

/* column >= 0: a numeric column of the configuration; else the time feature. */
typedef struct sq_feature { int column; sq_time_feature time; } sq_feature;

/* The features a configuration gives, numeric columns first. features[numeric_count + SQ_TIME_FEATURE_COUNT]. */
int sq__features_list(const sq_data_config *config, sq_time_form form, sq_feature *features);
const char *sq__feature_name(const sq_data_config *config, const sq_feature *feature);
int sq__feature_transform(const sq_data_config *config, const sq_feature *feature);

/* Sines (0) and cosines (1) by minute of the day, weekday and day of the month. */
typedef struct sq_calendar { sq_time_form form; float hour[2][1440], weekday[2][7], month_day[2][31]; } sq_calendar;
void sq__calendar_fill(sq_calendar *calendar, sq_time_form form);

/* Raw values of a client's sorted events; NaN where a cell was empty.
 * GAP: seconds since the previous event (0 at the first); AGE: seconds until the last event of the client. */
void sq__feature_values(const sq_feature *feature, const sq_calendar *calendar, const sq_event_layout *layout, char *events, int64_t count,
                        float *values);

/* In place; an empty cell (NaN) becomes 0, the training mean or median. */
void sq__number_transform(const sq_number *number, float *values, int64_t count);

#endif
