#include "vit/network/block.h"

void block_bind(binder *b, block *to, const config *c, size_t s, size_t index, const position_grid *grid)
{
    size_t C = c->embed_dims[s];
    bind_within(b, "block%zu.%zu.", s + 1, index);
    to->norm1 = norm_bind(b, "norm1", C, 1e-6f);
    bind_within(b, "block%zu.%zu.attn.", s + 1, index);
    attention_bind(b, &to->attention, c, s, grid);
    bind_within(b, "block%zu.%zu.", s + 1, index);
    to->norm2 = norm_bind(b, "norm2", C, 1e-6f);
    bind_within(b, "block%zu.%zu.mlp.", s + 1, index);
    conv_glu_bind(b, &to->mlp, c, s);
}

selection block_forward(const pass *p, const block *b, float *x)
{
    size_t N = b->mlp.side * b->mlp.side;
    float *y = scratch_floats(p->scratch, N, b->norm1.C);

    selection r = attention_forward(p, &b->attention, &b->norm1, y, x); // x += proj(gated heads of LN(x))
    norm_forward(p, &b->norm2, &b->mlp.fc1, y, x, N);                   // y = LN(x)
    profile_lap(p->profile, OP_NORM);
    conv_glu_forward(p, &b->mlp, y, x); // x += fc2(gelu(dw(u)) * v)
    return r;
}
