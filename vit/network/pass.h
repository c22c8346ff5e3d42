/* pass.h - how the forward pass of one image computes, and with what. */
#ifndef MOHVIT_PASS_H
#define MOHVIT_PASS_H

#include "base/parallel.h"
#include "vit/kernels/linear.h"
#include "vit/network/profile.h"
#include "vit/network/scratch.h"

/* Multiply-adds of one image: linear layers, convolutions, router, scores and weighted sums. */
typedef struct cost {
    double all_heads; /* as if every head worked for every token */
    double routed;    /* as performed: what of unselected heads is not computed is left out */
} cost;

/* Heads that a pass goes without: their gates are 0, whatever the router says (router_drop). */
typedef struct head_drops {
    const uint8_t *heads; // (blocks, max_heads): 1: dropped. Within a block: (heads), its own. NULL: none
    bool renormalise;     // the gates that a token has left grow, so that they add up to what all did
} head_drops;

typedef struct pass {
    const kernels *kernels;
    team *team; // NULL: this thread alone
    scratch *scratch;
    profile *profile;
    cost *cost; // where multiply-adds are added up; NULL: nowhere
    head_drops drops;
    // Compute every (token, head) pair, selected or not: the gates make it the same but for rounding.
    bool all_heads;
    // Leave out all but the matrix products, which then have no meaning but their time.
    bool products_only;
} pass;

/* parallel_for over the team, of products and of anything else. Nothing while the scratch measures. */
void pass_products(const pass *p, size_t tasks, parallel_task *run, void *arg);
void pass_loop(const pass *p, size_t tasks, parallel_task *run, void *arg);

/* linear_forward over the team, its multiply-adds counted. */
void pass_linear(const pass *p, const linear_call *calls, size_t count);

/* Counts multiply-adds. */
void pass_count(const pass *p, double all_heads, double routed);

#endif
