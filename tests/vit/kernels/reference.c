#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/vit/kernels/reference.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Random numbers ---------------------------------------------------------------------------- */

uint64_t random_bits(random_stream *r) // xorshift64*
{
    uint64_t x = r->state ? r->state : 0x9E3779B97F4A7C15u;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->state = x;
    return x * 0x2545F4914F6CDD1Du;
}

size_t random_below(random_stream *r, size_t n)
{
    return (size_t)((random_bits(r) >> 32) * n >> 32);
}

float random_float(random_stream *r)
{
    return (float)(random_bits(r) >> 40) * 0x1p-23f - 1;
}

void random_fill(random_stream *r, float *x, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++)
        x[i] = random_float(r) * scale;
}

/* ---- Arrays that notice ------------------------------------------------------------------------ */

#ifdef __SANITIZE_ADDRESS__
#define FENCE 0
#else
#define FENCE 33 // odd, so that the array is not aligned to a vector
#endif

static const uint32_t fence_bits = 0x7fc0beef, fresh_bits = 0x7fc00001; // both NaN

float *array_new(size_t n)
{
    size_t header = FENCE ? sizeof(size_t) : 0;
    char *memory = malloc(header + (n + 2 * FENCE) * sizeof(float));
    assert_non_null(memory);
    if (FENCE)
        memcpy(memory, &n, sizeof n);
    float *first = (float *)(memory + header), *array = first + FENCE;
    for (size_t i = 0; i < n + 2 * FENCE; i++)
        memcpy(first + i, first + i < array || first + i >= array + n ? &fence_bits : &fresh_bits,
               sizeof *first);
    return array;
}

float *array_random(random_stream *r, size_t n, float scale)
{
    float *array = array_new(n);
    random_fill(r, array, n, scale);
    return array;
}

float *array_copy(const float *x, size_t n)
{
    float *copy = array_new(n);
    memcpy(copy, x, n * sizeof *x);
    return copy;
}

void array_free(float *array)
{
    if (!array)
        return;
    char *memory = (char *)(array - FENCE);
    if (FENCE) {
        size_t n;
        memory -= sizeof n;
        memcpy(&n, memory, sizeof n);
        for (size_t i = 1; i <= FENCE; i++)
            if (float_bits(array[-(ptrdiff_t)i]) != fence_bits || float_bits(array[n + i - 1]) != fence_bits)
                fail_msg("something wrote %zu floats outside of an array of %zu", i, n);
    }
    free(memory);
}

double *widened(const float *x, size_t n)
{
    double *wide = malloc((n + 1) * sizeof *wide);
    assert_non_null(wide);
    for (size_t i = 0; i < n; i++)
        wide[i] = (double)x[i];
    return wide;
}

/* ---- Comparisons ------------------------------------------------------------------------------- */

uint32_t float_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

void assert_same_bits(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_int_equal(float_bits(a[i]), float_bits(b[i]));
}

void reference_assert_close(const char *file, int line, double found, double expected, double tolerance)
{
    if (fabs(found - expected) <= tolerance || (isnan(found) && isnan(expected)))
        return;
    print_error("found %.9g, expected %.9g: differs by %.3g, tolerance %.3g\n", found, expected,
                found - expected, tolerance);
    _fail(file, line);
}

/* ---- Spec 2 ------------------------------------------------------------------------------------ */

void reference_layer_norm(double *y, const double *x, size_t rows, size_t C, const float *weight,
                          const float *bias, double eps)
{
    for (size_t r = 0; r < rows; r++) {
        const double *row = x + r * C;
        double mean = 0, variance = 0;
        for (size_t c = 0; c < C; c++)
            mean += row[c] / (double)C;
        for (size_t c = 0; c < C; c++)
            variance += (row[c] - mean) * (row[c] - mean) / (double)C;
        for (size_t c = 0; c < C; c++)
            y[r * C + c] = (row[c] - mean) / sqrt(variance + eps) * (double)weight[c] + (double)bias[c];
    }
}

double reference_gelu(double x)
{
    return x / 2 * erfc(-x / sqrt(2)); // 1 + erf(z) = erfc(−z), without its cancellation
}

double reference_softplus(double x)
{
    return x > 20 ? x : log1p(exp(x));
}

void reference_l2_normalise(double *x, size_t rows, size_t h, size_t d)
{
    for (size_t vector = 0; vector < rows * h; vector++, x += d) {
        double norm = 0;
        for (size_t i = 0; i < d; i++)
            norm = hypot(norm, x[i]);
        for (size_t i = 0; i < d; i++)
            x[i] /= norm < 1e-12 ? 1e-12 : norm;
    }
}

void reference_depthwise_gelu_gate(double *y, const double *uv, size_t side, size_t hidden,
                                   const float *weight, const float *bias)
{
    long S = (long)side;
    for (long row = 0; row < S; row++)
        for (long col = 0; col < S; col++)
            for (size_t c = 0; c < hidden; c++) {
                double sum = (double)bias[c];
                for (long i = -1; i <= 1; i++)
                    for (long j = -1; j <= 1; j++) {
                        bool inside = row + i >= 0 && row + i < S && col + j >= 0 && col + j < S;
                        size_t token = inside ? (size_t)((row + i) * S + col + j) : 0;
                        if (inside)
                            sum += uv[token * 2 * hidden + c] *
                                   (double)weight[c * 9 + (size_t)((i + 1) * 3 + j + 1)];
                    }
                size_t token = (size_t)(row * S + col);
                y[token * hidden + c] = reference_gelu(sum) * uv[token * 2 * hidden + hidden + c];
            }
}

static void reference_softmax(double *p, const float *x, size_t n)
{
    double sum = 0, max = -(double)INFINITY;
    for (size_t i = 0; i < n; i++)
        max = (double)x[i] > max ? (double)x[i] : max;
    for (size_t i = 0; i < n; i++)
        sum += p[i] = exp((double)x[i] - max);
    for (size_t i = 0; i < n; i++)
        p[i] /= sum;
}

void reference_gates(double *gate, uint8_t *pick, size_t heads, size_t shared, size_t routed,
                     const float *logits)
{
    size_t candidates = routed ? heads - shared : 0;
    double balance[2] = {1, 1}, sum = 0, probability[GATES_MAX_HEADS];
    const float *wg_0 = logits + candidates, *wg_1 = wg_0 + (routed && shared ? 2 : 0);
    memset(pick, 0, heads);
    if (routed && shared) {
        reference_softmax(balance, wg_0, 2);
        balance[0] *= 2;
        balance[1] *= 2;
    }
    if (shared > 1)
        reference_softmax(gate, wg_1, shared);
    for (size_t i = 0; i < shared; i++) {
        gate[i] = (shared > 1 ? gate[i] * (double)shared : 1) * balance[0];
        pick[i] = 1;
    }
    if (!routed)
        return;
    reference_softmax(probability, logits, candidates);
    for (size_t i = 0; i < candidates; i++) { // picked if fewer than `routed` others come before it
        size_t before = 0;
        for (size_t j = 0; j < candidates; j++)
            before += logits[j] > logits[i] || (j < i && logits[j] >= logits[i]);
        pick[shared + i] = before < routed;
        sum += before < routed ? probability[i] : 0;
    }
    for (size_t i = 0; i < candidates; i++)
        gate[shared + i] = pick[shared + i] ? probability[i] / sum * (double)routed * balance[1] : 0;
}

void reference_linear(double *y, const double *x, size_t N, size_t in, size_t out, const float *w,
                      const float *bias)
{
    for (size_t n = 0; n < N; n++)
        for (size_t o = 0; o < out; o++) {
            double sum = bias ? (double)bias[o] : 0;
            for (size_t i = 0; i < in; i++)
                sum += x[n * in + i] * (double)w[o * in + i];
            y[n * out + o] = sum;
        }
}

double reference_bf16(float x)
{
    if (x == 0 || !isfinite(x))
        return (double)x;
    int exponent = ilogb((double)x);
    double unit = ldexp(1, (exponent < -126 ? -126 : exponent) - 7); // 8 bits of significand, one implied
    double rounded = nearbyint((double)x / unit) * unit;
    return fabs(rounded) < 0x1p128 ? rounded : copysign(INFINITY, rounded);
}

double reference_half_step(double largest, int least, int most)
{
    if (!isfinite(largest))
        return largest;
    int exponent = largest < (double)FLT_MIN ? -127 : ilogb(largest), wanted = exponent;
    if (wanted < least)
        wanted = least;
    if (wanted > most)
        wanted = most;
    exponent = exponent == -127 || exponent - wanted < -127 ? -127 : exponent - wanted;
    return ldexp(1, exponent);
}

double reference_half_step_of_weights(double largest, bool encodes)
{
    return encodes ? reference_half_step(largest, 3, 3) : reference_half_step(largest, -10, 14);
}

double reference_half(double x)
{
    if (x == 0)
        return x;
    int exponent = ilogb(x);
    double unit = ldexp(1, (exponent < -14 ? -14 : exponent) - 10); // 11 bits of significand, one implied
    return nearbyint(x / unit) * unit;
}

long reference_steps(float x, float step, bool *doubtful)
{
    double steps = step > 0 && 1 / step < INFINITY ? (double)x / (double)step : 0;
    *doubtful = fabs(fabs(steps - trunc(steps)) - 0.5) < 1e-4;
    return lrint(steps);
}

/* The largest magnitude of x (n); NaN where an x is. */
static double magnitude(const float *x, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        if (isnan(x[i]) || fabs((double)x[i]) > largest)
            largest = fabs((double)x[i]);
    return largest;
}

/* Rows as a product multiplies them. */
typedef struct {
    double *numbers; // (rows, n): floats, bfloat16, halves or whole steps
    bool *doubtful;  // (rows, n)
    double *largest; // (rows): magnitude of the floats
    double *step;    // (rows): what a number counts
} operand_rows;

/* half_step: of a row in half precision, by its largest magnitude. */
static operand_rows operand_of(precision p, double (*half_step)(double largest), const float *x, size_t ldx,
                               size_t rows, size_t n)
{
    operand_rows o = {malloc(rows * n * sizeof *o.numbers), calloc(rows * n, sizeof *o.doubtful),
                      malloc(rows * sizeof *o.largest), malloc(rows * sizeof *o.step)};
    assert_true(o.numbers && o.doubtful && o.largest && o.step);
    for (size_t r = 0; r < rows; r++) {
        float step = 1;
        o.largest[r] = magnitude(x + r * ldx, n);
        if (p == PRECISION_INT8)
            step = (float)o.largest[r] / 127;
        if (p == PRECISION_F16)
            step = (float)half_step(o.largest[r]);
        o.step[r] = (double)step;
        for (size_t i = 0; i < n; i++) {
            float number = x[r * ldx + i];
            size_t at = r * n + i;
            o.numbers[at] = p == PRECISION_F32    ? (double)number
                            : p == PRECISION_BF16 ? reference_bf16(number)
                            : !isfinite(step)     ? NAN
                            : p == PRECISION_F16  ? reference_half((double)number / (double)step)
                                                  : (double)reference_steps(number, step, &o.doubtful[at]);
        }
    }
    return o;
}

static void operand_free(operand_rows *o)
{
    free(o->numbers);
    free(o->doubtful);
    free(o->largest);
    free(o->step);
}

static double step_of_row(double largest)
{
    return reference_half_step(largest, 4, 4);
}

static double step_of_weights(double largest)
{
    return reference_half_step_of_weights(largest, true);
}

static double step_of_widened(double largest)
{
    return reference_half_step_of_weights(largest, false);
}

void reference_product(double *y, double *tolerance, precision p, bool encodes, const float *x, size_t ldx,
                       size_t N, size_t in, size_t out, const float *w, const float *bias)
{
    const double eps = (double)FLT_EPSILON, n = (double)in;
    operand_rows a = operand_of(encodes ? p : PRECISION_F32, step_of_row, x, ldx, N, in),
                 b = operand_of(p, encodes ? step_of_weights : step_of_widened, w, in, out, in);
    for (size_t at = 0; at < N * out; at++) {
        size_t row = at / out, o = at % out;
        const double *an = a.numbers + row * in, *bn = b.numbers + o * in;
        size_t chains = (in - 1) / 72 + 1, chain = 1;
        double sum = 0, part = 0, roundings = 0, doubts = 0, scale = a.step[row] * b.step[o];
        for (size_t i = 0; i < in; i++) {
            if (i == chain * in / chains) {
                part = 0;
                chain++;
            }
            sum += an[i] * bn[i];
            part += an[i] * bn[i];
            roundings += an[i] * bn[i] * an[i] * bn[i] + part * part;
            doubts += a.doubtful[row * in + i] ? fabs(bn[i]) : 0;
            doubts += b.doubtful[o * in + i] ? fabs(an[i]) : 0;
        }
        y[at] = sum * scale + (double)bias[o];
        tolerance[at] = n * (double)FLT_TRUE_MIN + eps * fabs((double)bias[o]);
        if (p == PRECISION_INT8) // an exact sum, made a float and scaled
            tolerance[at] +=
                (2 * eps * fabs(sum) + doubts) * scale + 16384 * n * (double)FLT_TRUE_MIN + eps * fabs(y[at]);
        else
            tolerance[at] += eps * (2 + n) * a.largest[row] * b.largest[o];
        // In half precision each product and each step of a chain of sums (gemm_native.c) round by half of
        // 2^-10 of what they come to, at most. Of either sign, they add up as their squares do: this is seven
        // times the standard deviation. The scale of it all may be denormal.
        if (p == PRECISION_F16 && encodes)
            tolerance[at] += scale * (0x1p-9 * sqrt(roundings) + n * 0x1p-24) + 65536 * (double)FLT_TRUE_MIN;
        if (p == PRECISION_BF16 && encodes) // to its instruction what is below FLT_MIN is 0
            tolerance[at] += n * (double)FLT_MIN * (1 + a.largest[row] + b.largest[o]);
    }
    operand_free(&a);
    operand_free(&b);
}

/* First cell and the end of what cell i of an adaptive pool of `side` to P covers. */
static size_t pool_first(size_t i, size_t side, size_t P)
{
    return (size_t)floor((double)(i * side) / (double)P);
}

static size_t pool_end(size_t i, size_t side, size_t P)
{
    return (size_t)ceil((double)((i + 1) * side) / (double)P);
}

void reference_pool(double *y, const double *x, size_t side, size_t P, size_t C)
{
    for (size_t py = 0; py < P; py++)
        for (size_t px = 0; px < P; px++)
            for (size_t c = 0; c < C; c++) {
                double sum = 0, count = 0;
                for (size_t row = pool_first(py, side, P); row < pool_end(py, side, P); row++)
                    for (size_t col = pool_first(px, side, P); col < pool_end(px, side, P); col++) {
                        sum += x[(row * side + col) * C + c];
                        count++;
                    }
                y[(py * P + px) * C + c] = sum / count;
            }
}

/* log-spaced coordinate of one axis */
static double position_coordinate(size_t side, size_t key_side, size_t S, size_t query, size_t key)
{
    double centre = 0, count = 0;
    for (size_t i = pool_first(key, side, key_side); i < pool_end(key, side, key_side); i++) {
        centre += (double)i;
        count++;
    }
    double r = ((double)query - centre / count) / ((double)S - 1) * 8;
    double size = log2(fabs(r) + 1) / 3;
    return r < 0 ? -size : size;
}

double reference_position_bias(size_t side, size_t key_side, size_t S, size_t qy, size_t qx, size_t ky,
                               size_t kx, const float *fc1, const float *fc1_bias, const float *fc2,
                               double fc2_bias)
{
    double row = position_coordinate(side, key_side, S, qy, ky),
           col = position_coordinate(side, key_side, S, qx, kx), sum = fc2_bias;
    for (size_t i = 0; i < 512; i++) {
        double hidden = row * (double)fc1[2 * i] + col * (double)fc1[2 * i + 1] + (double)fc1_bias[i];
        if (hidden > 0)
            sum += hidden * (double)fc2[i];
    }
    return sum;
}

static double dot(const double *a, const double *b, size_t d)
{
    double sum = 0;
    for (size_t i = 0; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

void reference_attend(double *out, const reference_head *head, size_t token)
{
    size_t d = head->d, locals = head->k ? 9 : 0, N = head->side * head->side;
    double *unit = malloc(2 * d * sizeof *unit), *query = unit + d;
    double *score = malloc((locals + head->K) * sizeof *score);
    size_t neighbour[9];
    double inside = 0;
    assert_non_null(unit);
    assert_non_null(score);

    for (size_t j = 0; j < locals; j++) {
        long row = (long)(token / head->side) + (long)(j / 3) - 1,
             col = (long)(token % head->side) + (long)(j % 3) - 1, side = (long)head->side;
        bool in = row >= 0 && row < side && col >= 0 && col < side;
        neighbour[j] = in ? (size_t)(row * side + col) : N; // N: outside the image
        inside += in;
    }

    memcpy(unit, head->q + token * d, d * sizeof *unit);
    reference_l2_normalise(unit, 1, 1, d);
    for (size_t i = 0; i < d; i++)
        query[i] =
            (unit[i] + head->query_embedding[i]) * head->softplus_temperature * log(inside + (double)head->K);

    for (size_t j = 0; j < locals; j++)
        score[j] = neighbour[j] < N ? dot(query, head->k + neighbour[j] * d, d) + head->local_bias[j]
                                    : -(double)INFINITY;
    for (size_t k = 0; k < head->K; k++)
        score[locals + k] = dot(query, head->keys + k * d, d) + head->bias[token * head->K + k];

    double max = -(double)INFINITY, sum = 0;
    for (size_t k = 0; k < locals + head->K; k++)
        max = score[k] > max ? score[k] : max;
    for (size_t k = 0; k < locals + head->K; k++)
        sum += exp(score[k] - max);

    for (size_t i = 0; i < d; i++)
        out[i] = 0;
    for (size_t j = 0; j < locals; j++) {
        if (neighbour[j] == N)
            continue;
        double weight = exp(score[j] - max) / sum + head->learnable_bias[j];
        for (size_t i = 0; i < d; i++)
            weight += unit[i] * head->learnable_tokens[i * 9 + j];
        for (size_t i = 0; i < d; i++)
            out[i] += weight * head->v[neighbour[j] * d + i];
    }
    for (size_t k = 0; k < head->K; k++)
        for (size_t i = 0; i < d; i++)
            out[i] += exp(score[locals + k] - max) / sum * head->values[k * d + i];
    free(unit);
    free(score);
}
