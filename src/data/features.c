#include "data/features.h"

#include <math.h>
#include <string.h>

static const char *const names[SQ_TIME_FEATURE_COUNT] = {
    "time.gap", "time.age", "time.hour.sin", "time.hour.cos", "time.weekday.sin", "time.weekday.cos", "time.monthday.sin", "time.monthday.cos",
};

/* AGE would tell a window of `target.next` what follows it: its last event is not the client's last. So it would any single event. */
static bool wanted(const sq_data_config *config, sq_time_form form, sq_time_feature feature)
{
    switch (feature) {
    case SQ_TIME_GAP: return config->time.gap;
    case SQ_TIME_AGE: return config->time.age && !config->target.next && !sq__target_per_event(config->target.kind);
    case SQ_TIME_HOUR_SIN:
    case SQ_TIME_HOUR_COS:
    case SQ_TIME_WEEKDAY_SIN:
    case SQ_TIME_WEEKDAY_COS: return config->time.calendar && sq__time_has_clock(form);
    default: return config->time.calendar && sq__time_has_months(form);
    }
}

int sq__features_list(const sq_data_config *config, sq_time_form form, sq_feature *features)
{
    int count = 0;
    for (int i = 0; i < config->numeric_count; i++) features[count++] = (sq_feature){ i, SQ_TIME_FEATURE_COUNT };
    if (!config->time.column[0]) return count;
    for (int i = 0; i < SQ_TIME_FEATURE_COUNT; i++)
        if (wanted(config, form, (sq_time_feature)i)) features[count++] = (sq_feature){ -1, (sq_time_feature)i };
    return count;
}

const char *sq__feature_name(const sq_data_config *config, const sq_feature *feature)
{
    return feature->column >= 0 ? config->numeric[feature->column].column : names[feature->time];
}

/* Sines and cosines are in scale as they are. */
int sq__feature_transform(const sq_data_config *config, const sq_feature *feature)
{
    if (feature->column >= 0) return config->numeric[feature->column].transform;
    return feature->time <= SQ_TIME_AGE ? config->time.transform : SQ_TRANSFORM_NONE;
}

static void fill_circle(float *sines, float *cosines, int size)
{
    for (int i = 0; i < size; i++) {
        double angle = 6.283185307179586476925 * i / size;
        sines[i] = (float)sin(angle);
        cosines[i] = (float)cos(angle);
    }
}

void sq__calendar_fill(sq_calendar *calendar, sq_time_form form)
{
    calendar->form = form;
    fill_circle(calendar->hour[0], calendar->hour[1], 1440);
    fill_circle(calendar->weekday[0], calendar->weekday[1], 7);
    fill_circle(calendar->month_day[0], calendar->month_day[1], 31);
}

static float calendar_value(const sq_calendar *calendar, sq_time_feature feature, double time)
{
    int clock, weekday, month_day;
    sq__time_fields(calendar->form, time, &clock, &weekday, &month_day);
    switch (feature) {
    case SQ_TIME_HOUR_SIN: return calendar->hour[0][clock / 60];
    case SQ_TIME_HOUR_COS: return calendar->hour[1][clock / 60];
    case SQ_TIME_WEEKDAY_SIN: return calendar->weekday[0][weekday];
    case SQ_TIME_WEEKDAY_COS: return calendar->weekday[1][weekday];
    case SQ_TIME_MONTHDAY_SIN: return calendar->month_day[0][month_day];
    default: return calendar->month_day[1][month_day];
    }
}

void sq__feature_values(const sq_feature *feature, const sq_calendar *calendar, const sq_event_layout *layout, char *events, int64_t count,
                        float *values)
{
    const size_t stride = layout->bytes;
    if (feature->column >= 0) {
        for (int64_t i = 0; i < count; i++) values[i] = sq__event_numbers(layout, events + (size_t)i * stride)[feature->column];
    } else if (feature->time == SQ_TIME_GAP) {
        double before = count ? *sq__event_time(events) : 0.0;
        for (int64_t i = 0; i < count; i++) {
            double now = *sq__event_time(events + (size_t)i * stride);
            values[i] = (float)(now - before);
            before = now;
        }
    } else if (feature->time == SQ_TIME_AGE) {
        double last = count ? *sq__event_time(events + (size_t)(count - 1) * stride) : 0.0;
        for (int64_t i = 0; i < count; i++) values[i] = (float)(last - *sq__event_time(events + (size_t)i * stride));
    } else {
        for (int64_t i = 0; i < count; i++) values[i] = calendar_value(calendar, feature->time, *sq__event_time(events + (size_t)i * stride));
    }
}

/* The value's place among the edges, 0 at the middle, linear between two edges. */
static float rank_of(const sq_number *number, double value)
{
    int low = 0, high = number->quantile_count - 1;
    if (high <= 0) return 0.0f;
    if (value <= number->quantiles[low]) return -1.0f;
    if (value >= number->quantiles[high]) return 1.0f;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (value < number->quantiles[middle]) high = middle;
        else low = middle;
    }
    double between = (value - number->quantiles[low]) / (number->quantiles[high] - number->quantiles[low]);
    return (float)(2.0 * (low + between) / (number->quantile_count - 1) - 1.0);
}

void sq__number_transform(const sq_number *number, float *values, int64_t count)
{
    double mean = number->mean, scale = 1.0 / number->deviation;
    switch (number->transform) {
    case SQ_TRANSFORM_QUANTILE:
        for (int64_t i = 0; i < count; i++) values[i] = isnan(values[i]) ? 0.0f : rank_of(number, values[i]);
        return;
    case SQ_TRANSFORM_LOG:
        for (int64_t i = 0; i < count; i++)
            values[i] = isnan(values[i]) ? 0.0f : (float)((copysign(log1p(fabs((double)values[i])), (double)values[i]) - mean) * scale);
        return;
    case SQ_TRANSFORM_STANDARD:
        for (int64_t i = 0; i < count; i++) values[i] = isnan(values[i]) ? 0.0f : (float)((values[i] - mean) * scale);
        return;
    case SQ_TRANSFORM_NONE:
        for (int64_t i = 0; i < count; i++)
            if (isnan(values[i])) values[i] = 0.0f;
        return;
    }
}
