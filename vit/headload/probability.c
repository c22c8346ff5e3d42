#include "vit/headload/probability.h"

#include <math.h>

/* The continued fraction of NIST's Digital Library of Mathematical Functions, 8.17.22, from its front: each
 * step multiplies by the ratio of two successive approximants (Lentz 1976). Few steps where x is below
 * (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    enum { STEPS = 100000 };
    static const double tiny = 1e-300; // in place of 0
    double c = 1, d = 1 - (a + b) * x / (a + 1), value;
    d = 1 / (fabs(d) < tiny ? tiny : d);
    value = d;
    for (int i = 1; i < STEPS; i++) {
        double m = i, ratio = 1;
        const double terms[] = {m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
                                -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))};
        for (int k = 0; k < 2; k++) {
            d = 1 + terms[k] * d;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = 1 + terms[k] / c;
            c = fabs(c) < tiny ? tiny : c;
            ratio = c * d;
            value *= ratio;
        }
        if (fabs(ratio - 1) < 1e-15)
            break;
    }
    return value;
}

double beta_share(double a, double b, double x)
{
    if (!(x > 0 && x < 1))
        return x > 0;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                     : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

/* Newton's method from the left of a convex tail never overshoots. */
double student_quantile(double freedom)
{
    static const double z = 1.959963984540054, tail = 0.05;
    if (freedom > 10000) // Abramowitz and Stegun 1964, 26.7.5: the next term is below 1e-11
        return z + (pow(z, 3) + z) / (4 * freedom) +
               (5 * pow(z, 5) + 16 * pow(z, 3) + 3 * z) / (96 * freedom * freedom);
    double t = z, scale = 2 * exp(lgamma((freedom + 1) / 2) - lgamma(freedom / 2)) / sqrt(freedom * M_PI);
    for (int i = 0; i < 100; i++) {
        double above = beta_share(freedom / 2, 0.5, freedom / (freedom + t * t)) - tail;
        double density = scale * pow(1 + t * t / freedom, -(freedom + 1) / 2), step = above / density;
        t += step;
        if (fabs(step) < 1e-14 * t)
            break;
    }
    return t;
}
