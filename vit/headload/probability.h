/* probability.h - the distributions that head load is judged by. */
#ifndef MOHVIT_PROBABILITY_H
#define MOHVIT_PROBABILITY_H

/* The regularised incomplete beta function I_x(a, b), for a and b above 0 and x from 0 to 1. */
double beta_share(double a, double b, double x);

/* t such that Student's distribution with so many degrees of freedom, at least 1, has 2.5 % above it. */
double student_quantile(double freedom);

#endif
