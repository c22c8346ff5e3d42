/* pass.h - what the forward pass of one image works with: how to compute, and where. */
#ifndef MOHVIT_PASS_H
#define MOHVIT_PASS_H

#include "vit/network/config.h"
#include "vit/kernels/linear.h"
#include "base/parallel.h"

/* Parts of a forward pass that its time is told apart by. */
typedef enum operation {
    OP_PATCHES,     /* windows of a convolution, copied */
    OP_PATCH_EMBED, /* its product */
    OP_NORM,        /* layer norms on their own */
    OP_ROUTER,      /* layer norm, router, lists of tokens */
    OP_QKV,         /* q, kv and sr, or qkv */
    OP_POOL,        /* the pooled map and its kv, keys normalised and gathered */
    OP_ATTEND,      /* scores, softmax, weighted sums */
    OP_PROJ,
    OP_FC1,
    OP_GLU, /* depthwise convolution, GELU, gate */
    OP_FC2,
    OP_COUNT, /* head load: what each block's router chose, written down */
    OP_HEAD,
    OPERATIONS
} operation;

/* As users know it, such as "depthwise + GELU + gate"; and whether it is matrix products and nothing else. */
const char *operation_name(operation op);
bool operation_is_product(operation op);

typedef struct profile {
    uint64_t ns[OPERATIONS], last;
} profile;

/* Memory for one image at a time, sized once for the largest stage. Letters as in kernels.h. */
typedef struct scratch {
    float *x;       // (N, C) tokens
    float *y;       // (N, C) normalised tokens
    float *patches; // (N, window² · channels) what a convolution sees
    float *gated;   // (N, hidden; rows conv_glu_ld apart) what leaves the MLP's gate
    float *seam;    // image rows at which the MLP's parts meet
    float *q;  // (N, C), or (N, 3C) = [q | k | v] where attention is global; pairs.h: (h, N, d), then k and v
    float *kv; // (N + 1, 2C) = [k | v] of the 3×3 neighbourhoods; 0 in row N, outside the image
    float *pooled;   // (N, C) what the pooled map is the mean of
    float *map;      // (P², C) the pooled map
    float *map_kv;   // (P², 2C)
    float *keys;     // (h, K, d) shared keys, head by head
    float *values;   // (h, K, d)
    float *heads;    // (N, C) gated outputs of the heads, 0 where not selected; pairs.h: (h, N, d)
    float *logits;   // (N, router rows)
    float *gate;     // (N, h)
    uint8_t *pick;   // (N, h)
    uint32_t *lists; // (h, N) the tokens that selected each head
    size_t *counts;  // (h) how many those are
    char *coded;     // (N, stride) rows encoded for the products that read them next
    float *lanes;    // (threads, lane_floats) each thread's own: of the attention kernel, of the MLP's bands,
                     // of rows on their way to coded
    size_t lane_floats;
    uint32_t *tokens; // (N) 0, 1, 2 …: the list of a head that every token selects
    size_t *pairs;    // (threads) (token, head) pairs computed
    uint64_t *fc1_ns; // (threads) time of the MLP's first layer,
    uint64_t *glu_ns; // (threads) and of what each block of its channels goes through next
    size_t threads;
    profile profile;
    void *memory; // holds all of the above
} scratch;

typedef struct pass {
    const kernels *kernels;
    team *team; // NULL: this thread alone
    scratch *s;
    bool all_heads; // compute every (token, head) pair, selected or not; the gates make it the same but for
                    // rounding
    bool products_only; // leave out all but the matrix products, which then have no meaning but their time
} pass;

/* parallel_for over the pass's team, of what is no matrix product. */
void pass_loop(const pass *p, size_t tasks, parallel_task *run, void *arg);

/* Begins a pass: time counts from here. */
void pass_begin(const pass *p);

/* What happened since the last lap, or the beginning, was op. */
void pass_lap(const pass *p, operation op);

/* It was the MLP's middle: fc1 and glu, in the proportion of the time that the threads spent on each. */
void pass_lap_glu(const pass *p);

/* For a model of this config whose products are these gemms' (NULL: none), and as many threads as its team
 * may have. */
mohvit_status scratch_create(scratch *s, const config *c, const gemm *const gemms[PRECISIONS],
                             const kernels *k, size_t threads, mohvit_error *err);
void scratch_free(scratch *s);

/* Rows on their way to the layer that multiplies them. x (N, in) holds them where it reads floats; else they
 * are written to a thread's own memory and encoded from there, and x is not touched. */

/* Where the task of `worker` writes row `row` and, without gaps, those that follow: at most CODED_ROWS, an
 * image row of patches, or a band of the pooled map. */
float *coded_rows(const pass *p, const linear *reader, float *x, size_t row, size_t worker);
#define POOL_BANDS 28 // tasks that make the pooled map, and as many runs of its rows
#define CODED_ROWS 14 // divides 196, 784 and 3136 tokens, and is one block of the products

/* Encodes rows row … row+rows−1, which lie at `from`; nothing where the layer reads floats. */
void coded_done(const pass *p, const linear *reader, const float *from, size_t row, size_t rows);

/* The same for all N rows of x, ldx apart, over the team. */
void coded_all(const pass *p, const linear *reader, const float *x, size_t ldx, size_t N);

/* What the layer then multiplies: those, or x's own rows, ldx apart. */
operand coded_operand(const pass *p, const linear *reader, float *x, size_t ldx);

typedef struct norm {
    const float *weight, *bias; // (C)
    size_t C;
    float eps;
} norm;

/* y (N, C) = LayerNorm(x (N, C)), for `reader` to multiply; y may be x, and reader NULL: plain floats. */
void norm_forward(const pass *p, const norm *n, const linear *reader, float *y, const float *x, size_t N);

#endif
