/* The synthetic weights of spec 6 against values that a few lines of Python computed from the text of the
 * spec. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/vit/kernels/reference.h"
#include "vit/network/synthetic.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Elements 0, 1 and 7 under seed 7: one tensor or two for each rule, in the order of the rules. */
static const struct {
    const char *name;
    size_t rank, shape[4];
    float value[3];
} cases[] = {
    /* clang-format off */
    {"block3.4.attn.temperature", 3, {12, 1, 1}, {0x1.1d20f4p+2f, 0x1.185d80p+2f, 0x1.1c8c2ep+2f}},
    {"block1.0.attn.query_embedding", 3, {3, 1, 24}, {0x1.5910ccp-5f, 0x1.91d864p-5f, 0x1.6b204cp-7f}},
    {"block1.0.attn.relative_pos_bias_local", 2, {3, 9}, {-0x1.3b8940p-7f, 0x1.965f6cp-5f, 0x1.1b984cp-8f}},
    {"block2.1.attn.learnable_tokens", 3, {6, 24, 9}, {0x1.5a8bb6p-5f, 0x1.b700c0p-7f, 0x1.56350cp-6f}},
    {"block2.1.attn.learnable_bias", 3, {6, 1, 9}, {-0x1.10b734p-11f, -0x1.5d1c00p-8f, 0x1.4ad164p-5f}},
    {"patch_embed1.norm.weight", 1, {72}, {0x1.d26d60p-1f, 0x1.fc03b6p-1f, 0x1.afe01ep-1f}},
    {"block1.0.norm1.weight", 1, {72}, {0x1.dfcbbcp-1f, 0x1.d396fap-1f, 0x1.f998f2p-1f}},
    {"block1.0.attn.norm.bias", 1, {72}, {0x1.b8983ap-5f, 0x1.175856p-4f, -0x1.30a134p-9f}},
    {"norm4.weight", 1, {576}, {0x1.a7131cp-1f, 0x1.b3cc3ep-1f, 0x1.09a498p+0f}},
    {"norm4.bias", 1, {576}, {-0x1.c053e6p-6f, 0x1.84efb4p-6f, 0x1.7a571ap-7f}},
    {"block1.0.attn.q.bias", 1, {72}, {-0x1.bd0cccp-14f, -0x1.67f12cp-4f, -0x1.f2f574p-5f}},
    {"head.bias", 1, {1000}, {-0x1.5cbdf0p-4f, -0x1.222dd0p-4f, 0x1.cf544cp-6f}},
    {"block3.0.attn.wg.weight", 2, {9, 288}, {0x1.02fb86p-6f, 0x1.6f8ae6p-4f, -0x1.76dfb8p-4f}},
    {"block3.0.attn.wg_0.weight", 2, {2, 288}, {-0x1.b6af64p-6f, -0x1.abc22cp-5f, 0x1.6016c2p-3f}},
    {"block3.0.attn.wg_1.weight", 2, {3, 288}, {-0x1.116e82p-5f, -0x1.567d4ap-3f, 0x1.9f876cp-7f}},
    {"block1.0.attn.proj.weight", 2, {72, 72}, {0x1.68e4a8p-6f, -0x1.6db5d2p-5f, 0x1.b3934ep-12f}},
    {"block1.0.mlp.fc2.weight", 2, {72, 384}, {-0x1.37f810p-7f, 0x1.95ebbap-7f, -0x1.22e548p-6f}},
    {"head.weight", 2, {1000, 576}, {0x1.17bd3ap-4f, 0x1.0cf8c8p-2f, -0x1.be453ap-3f}},
    {"patch_embed1.proj.weight", 4, {72, 3, 7, 7}, {-0x1.0ee392p-6f, -0x1.2ea112p-4f, 0x1.17cca0p-3f}},
    {"patch_embed2.proj.weight", 4, {144, 72, 3, 3}, {-0x1.d942a8p-5f, -0x1.bcb03ap-5f, 0x1.47619ap-6f}},
    {"block1.0.mlp.dwconv.dwconv.weight", 4, {384, 1, 3, 3}, {0x1.9fe0a2p-2f, 0x1.ae6bbcp-4f, 0x1.cde5dep-2f}},
    {"block1.0.attn.cpb_fc1.weight", 2, {512, 2}, {0x1.beea4ep-3f, -0x1.02cf1cp+0f, 0x1.ad0cdcp-1f}},
    {"block1.0.attn.cpb_fc2.weight", 2, {3, 512}, {-0x1.9faeacp-5f, 0x1.361ee0p-5f, 0x1.b2e9acp-5f}},
    {"block1.0.attn.sr.weight", 4, {72, 72, 1, 1}, {0x1.5e5c26p-4f, -0x1.1ac472p-3f, 0x1.b84ff4p-4f}},
    {"block4.0.attn.qkv.weight", 2, {1728, 576}, {-0x1.9e7a68p-5f, 0x1.c4c8a0p-6f, 0x1.f082b2p-5f}},
    {"block1.0.mlp.fc1.weight", 2, {768, 72}, {-0x1.6ff2dcp-3f, 0x1.52d732p-4f, 0x1.7978cep-3f}},
    /* clang-format on */
};

static tensor_spec spec_of(const char *name, size_t rank, const size_t *shape)
{
    tensor_spec spec = {.rank = rank, .elements = 1};
    strcpy(spec.name, name);
    for (size_t i = 0; i < rank; i++) {
        spec.shape[i] = shape[i];
        spec.elements *= shape[i];
    }
    return spec;
}

static void every_rule_gives_the_values_of_the_specification(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tensor_spec spec = spec_of(cases[i].name, cases[i].rank, cases[i].shape);
        float *values = array_new(spec.elements);
        synthetic_tensor(values, &spec, 7);
        for (size_t j = 0; j < 3; j++) {
            float found = values[(size_t[]){0, 1, 7}[j]];
            if (float_bits(found) != float_bits(cases[i].value[j]))
                fail_msg("%s: %a, expected %a", spec.name, (double)found, (double)cases[i].value[j]);
        }
        array_free(values);
    }
}

static void the_input_is_2u_and_images_follow_one_another(void **state)
{
    (void)state;
    enum { IMAGE = 3 * 64 * 64 };
    float *input = array_new(2 * IMAGE), *first = array_new(IMAGE);
    uint64_t seed = (UINT64_C(1) << 63) + 5;
    synthetic_input(input, 2, 64, seed);
    const struct {
        size_t at;
        float value;
    } expected[] = {{0, 0x1.3bf754p+0f},   {1, 0x1.3d5c14p+0f},      {2, -0x1.774984p+0f},
                    {11, -0x1.0ad654p+0f}, {IMAGE, -0x1.c353d8p+0f}, {2 * IMAGE - 1, -0x1.a32390p-2f}};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(float_bits(input[expected[i].at]), float_bits(expected[i].value));
    for (size_t i = 0; i < 2 * IMAGE; i++)
        assert_true(input[i] >= -2 && input[i] < 2);
    synthetic_input(first, 1, 64, seed);
    assert_memory_equal(first, input, IMAGE * sizeof *first);
    synthetic_input(first, 1, 64, 0);
    assert_int_equal(float_bits(first[0]), float_bits(-0x1.9bd584p+0f));
    assert_int_equal(float_bits(first[1]), float_bits(0x1.3808b8p-1f));
    array_free(input);
    array_free(first);
}

/* Mean 0 and variance 1/3, and neither seed nor name nor element repeats another. */
static void values_are_uniform_and_their_own(void **state)
{
    (void)state;
    enum { N = 100000 };
    tensor_spec spec = spec_of("block1.0.attn.q.bias", 1, (size_t[]){N});
    float *a = array_new(N), *b = array_new(N);
    double sum = 0, squares = 0, products = 0;
    synthetic_tensor(a, &spec, 1);
    synthetic_tensor(b, &spec, 2);
    for (size_t i = 0; i < N; i++) {
        double u = (double)a[i] * 10, v = (double)b[i] * 10;
        assert_true(u >= -1 && u < 1);
        sum += u;
        squares += u * u;
        products += u * v;
    }
    assert_close(sum / N, 0, 0.01);
    assert_close(squares / N, 1.0 / 3, 0.01);
    assert_close(products / N, 0, 0.01);
    array_free(a);
    array_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_gives_the_values_of_the_specification),
        cmocka_unit_test(the_input_is_2u_and_images_follow_one_another),
        cmocka_unit_test(values_are_uniform_and_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
