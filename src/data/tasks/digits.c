#include <math.h>

#include "data/tasks/pixels.h"

typedef struct point { double x, y; } point;

/* Joints in the unit square, y downwards: two columns, three rows. Segments between them, and which of them a digit has. */
static const point joints[6] = { { 0, 0 }, { 1, 0 }, { 0, 1 }, { 1, 1 }, { 0, 2 }, { 1, 2 } };
static const int segments[7][2] = { { 0, 1 }, { 0, 2 }, { 1, 3 }, { 2, 3 }, { 2, 4 }, { 3, 5 }, { 4, 5 } };
static const uint8_t shown[10] = { 0x77, 0x24, 0x5d, 0x6d, 0x2e, 0x6b, 0x7b, 0x25, 0x7f, 0x6f };   /* bit s: segment s */

static double even(sq_draws *draws, double low, double high) { return low + (high - low) * sq__draw(draws); }

static double distance(point p, point a, point b)
{
    const double dx = b.x - a.x, dy = b.y - a.y, squared = dx * dx + dy * dy;
    double along = squared > 0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / squared : 0;
    along = along < 0 ? 0 : along > 1 ? 1 : along;
    return hypot(p.x - a.x - along * dx, p.y - a.y - along * dy);
}

void sq__digit_draw(int digit, int64_t size, sq_draws *draws, uint8_t *pixels)
{
    const double side = (double)size, height = side * even(draws, 0.55, 0.75), width = height * even(draws, 0.4, 0.65);
    const double slant = even(draws, -0.3, 0.3), left = (side - width) / 2 + side * even(draws, -0.1, 0.1), top = (side - height) / 2 + side * even(draws, -0.1, 0.1);
    const double stroke = side * even(draws, 0.03, 0.07);
    point at[6];
    for (int j = 0; j < 6; j++) {
        const double x = joints[j].x * width, y = joints[j].y * height / 2;
        at[j] = (point){ left + x + slant * (height / 2 - y) + side * even(draws, -0.04, 0.04), top + y + side * even(draws, -0.04, 0.04) };
    }
    for (int64_t row = 0; row < size; row++)
        for (int64_t column = 0; column < size; column++) {
            const point p = { (double)column + 0.5, (double)row + 0.5 };
            double nearest = INFINITY;
            for (int s = 0; s < 7; s++)
                if (shown[digit] >> s & 1) nearest = fmin(nearest, distance(p, at[segments[s][0]], at[segments[s][1]]));
            const double ink = fmin(fmax(stroke + 0.5 - nearest, 0), 1), noise = 10 * sq__draw_normal(draws);
            const double value = ink > 0 ? 255 * ink + noise : noise > 15 ? noise : 0;   /* paper is mostly clean */
            pixels[row * size + column] = (uint8_t)fmin(fmax(value, 0), 255);
        }
}
