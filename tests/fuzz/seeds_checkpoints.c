#include "tests/fuzz/seeds.h"

#include "vit/api/description.h"
#include "tests/weights/pickle_writing.h"
#include "weights/safetensors_writer.h"

static config tiny_config(void)
{
    config c;
    mohvit_error err;
    expect_ok(config_from_json(&c, seed_config, strlen(seed_config), "seed", &err), &err);
    return c;
}

/* ---- Safetensors ----------------------------------------------------------------------------- */

/* Every byte of the tensors is `fill`; 0xff makes NaN of all kinds of floats. */
static void write_safetensors(const tensor_info *tensors, size_t count, const metadata_entry *metadata,
                              size_t metadata_count, int fill)
{
    safetensors_writer *w;
    mohvit_error err;
    expect_ok(safetensors_writer_create(&w, seed_path("safetensors"), tensors, count, metadata,
                                        metadata_count, &err),
              &err);
    for (size_t i = 0; i < count; i++) {
        void *values = malloc(8 * (tensors[i].elements + 1));
        assert_non_null(values);
        memset(values, fill, 8 * (tensors[i].elements + 1));
        expect_ok(safetensors_writer_add_raw(w, values, &err), &err);
        free(values);
    }
    expect_ok(safetensors_writer_finish(w, MOHVIT_OK, &err), &err);
}

/* A whole model, in half precision for the sake of its size; with a tensor that is no part of it, or one of
 * another shape. */
static void seed_model(bool extra, bool misshaped, int fill)
{
    const config c = tiny_config();
    const metadata_entry metadata[] = {{"config", seed_config},
                                       {"labels", "[\"n01440764\\ttench\",\"dress\"]"},
                                       {"preprocess", "{\"crop_pct\":0.9}"}};
    tensor_list list;
    assert_int_equal(model_tensors(&list, &c, NULL), MOHVIT_OK);
    tensor_info *infos = calloc(list.count + 1, sizeof *infos);
    for (size_t i = 0; i < list.count; i++)
        infos[i] = tensor_of_spec(&list.tensors[i], DTYPE_BF16);
    infos[list.count] = (tensor_info){.name = "extra", .dtype = DTYPE_U8, .elements = 1};
    if (misshaped)
        infos[1] = (tensor_info){
            .name = list.tensors[1].name, .dtype = DTYPE_F32, .rank = 1, .shape = {9}, .elements = 9};
    write_safetensors(infos, list.count + extra, metadata, 3, fill);
    free(infos);
    tensor_list_free(&list);
}

static void seed_safetensors(void)
{
    const tensor_info few[] = {
        {"module.head.weight", DTYPE_F32, 2, {2, 3}, 6},
        {"b", DTYPE_F16, 1, {2}, 2},
        {"c", DTYPE_BF16, 0, {0}, 1},
        {"d", DTYPE_I64, 3, {1, 0, 1}, 0},
        {"e", DTYPE_U8, 1, {3}, 3},
    };
    const metadata_entry metadata[] = {{"format", "pt"}, {"config", seed_config}};
    write_safetensors(few, 5, metadata, 2, 0);
    write_safetensors(few, 1, NULL, 0, 0);
    write_safetensors(few, 0, NULL, 0, 0);
    seed_model(false, false, 0);
    seed_model(true, false, 0);
    seed_model(false, true, 0);
    seed_model(false, false, 0xff);
    seed_text("safetensors", "\x1f\x8b gzip");
    seed_text("safetensors", "version https://git-lfs.github.com/spec/v1");
}

static void seed_indexes(void)
{
    seed_text("safetensors_index",
              "{\"metadata\":{\"total_size\":16},\"weight_map\":{\"x\":\"a\",\"y\":\"b\"}}");
    seed_text("safetensors_index", "\n{\"weight_map\":{\"y\":\"b\"}}");
    seed_text("safetensors_index", "{\"weight_map\":{\"x\":\"b\",\"y\":\"b\"}}");
    seed_text("safetensors_index", "{\"weight_map\":{\"x\":\"a\",\"z\":\"a\"}}");
    seed_text("safetensors_index", "{\"weight_map\":{\"x\":\"c\"}}");
    seed_text("safetensors_index", "{\"weight_map\":{\"x\":\"../a\"}}");
}

/* ---- Pickles --------------------------------------------------------------------------------- */

static void put_entry(blob *b, const char *name, const pickled_tensor *t)
{
    put_string(b, name);
    put_tensor(b, t);
    PUT(b, "s");
}

/* A whole model whose tensors are views of one number. */
static blob pickle_of_model(void)
{
    blob b = {0};
    tensor_list list;
    const config c = tiny_config();
    assert_int_equal(model_tensors(&list, &c, NULL), MOHVIT_OK);
    PUT(&b, "\x80\x02}");
    for (size_t i = 0; i < list.count; i++) {
        pickled_tensor t = {"FloatStorage", "1", 1, 0, list.tensors[i].rank, {0}, {0}};
        for (size_t k = 0; k < t.rank; k++)
            t.shape[k] = (int64_t)list.tensors[i].shape[k];
        put_entry(&b, list.tensors[i].name, &t);
    }
    PUT(&b, ".");
    tensor_list_free(&list);
    return b;
}

/* Weight sets side by side, one a wrapper's; and what is no tensor. */
static blob pickle_of_sets(void)
{
    const pickled_tensor transposed = {"FloatStorage", "0", 12, 0, 2, {3, 4}, {1, 3}},
                         half = {"HalfStorage", "0", 24, 2, 1, {4}, {2}};
    blob b = {0};
    PUT(&b, "\x80\x02}(");
    put_string(&b, "model");
    PUT(&b, "}");
    put_entry(&b, "module.w", &transposed);
    put_string(&b, "model_ema");
    PUT(&b, "}");
    put_string(&b, "state_dict");
    PUT(&b, "}");
    put_entry(&b, "w", &half);
    PUT(&b, "s");
    put_string(&b, "optimizer");
    PUT(&b, "}");
    put_string(&b, "args");
    put_global(&b, "argparse", "Namespace");
    PUT(&b, ")\x81}b");
    put_string(&b, "epoch");
    put_int(&b, 300);
    PUT(&b, "u.");
    return b;
}

/* A parameter, an untyped storage, and tensors that are passed over. */
static blob pickle_of_kinds(void)
{
    const pickled_tensor whole_storage = {"FloatStorage", "0", 12, 0, 1, {12}, {1}};
    blob b = {0};
    PUT(&b, "\x80\x04}");
    put_string(&b, "p");
    put_global(&b, "torch._utils", "_rebuild_parameter");
    PUT(&b, "(");
    put_tensor(&b, &whole_storage);
    PUT(&b, "\x88}tRs");
    put_string(&b, "v3");
    put_global(&b, "torch._utils", "_rebuild_tensor_v3");
    PUT(&b, "((");
    put_string(&b, "storage");
    put_global(&b, "torch.storage", "UntypedStorage");
    PUT(&b, "X\x01\0\0\0"
            "0X\x03\0\0\0"
            "cpuK\x30tQK\0");
    put_global(&b, "torch", "Size");
    PUT(&b, "K\x03\x85\x85RK\x02\x85\x89}");
    put_global(&b, "torch", "bfloat16");
    PUT(&b, "}tRs");
    put_string(&b, "q");
    put_global(&b, "torch._utils", "_rebuild_qtensor");
    PUT(&b, ")Rs.");
    return b;
}

/* Every opcode, in values that nobody reads. */
static const char opcodes[] =
    "\x80\x04\x95\0\0\0\0\0\0\0\0}(\x8c\x01"
    "a](K\x01M\x02\0J\xff\xff\xff\xff\x8a\x01\x05\x8b\x01\0\0\0\x07NeK\x03"
    "a\x8d\x01\0\0\0\0\0\0\0b("
    "U\x01xT\x01\0\0\0yC\x01zB\x01\0\0\0w\x8e\x01\0\0\0\0\0\0\0v\x96\x01\0\0\0\0\0\0\0ut"
    "X\x01\0\0\0cG\0\0\0\0\0\0\0\0X\x01\0\0\0d\x88\x89\x86X\x01\0\0\0e\x8f(K\x01\x90X\x01\0\0\0f(K\x01\x91"
    "X\x01\0\0\0g(K\x01lX\x01\0\0\0h(K\x01K\x02"
    "dq\x05h\x05"
    "0p6\ng6\n"
    "0r\x07\0\0\0j\x07\0\0\0"
    "0\x94"
    "X\x01\0\0\0i\x8c\x07"
    "builtins\x8c\x03"
    "set\x93]\x85RX\x01\0\0\0j2"
    "0(K\x01"
    "1cm\nn\n)}\x92N}K\x01K\x02su.";

static void seed_pickles(void)
{
    blob every = {0};
    PUT(&every, opcodes);
    seed("pickle", every);
    seed("pickle", pickle_of_model());
    seed("pickle", pickle_of_sets());
    seed("pickle", pickle_of_kinds());
}

/* ---- Zips ------------------------------------------------------------------------------------ */

static void seed_zips(void)
{
    static const float storage[12] = {1, 2, 3};
    const blob pickle = pickle_of_sets();
    const zip_entry entries[] = {{"m/data.pkl", pickle.data, pickle.size, false},
                                 {"m/byteorder", "little", 6, false},
                                 {"m/data/0", storage, sizeof storage, false},
                                 {"m/data/1", storage, 4, false},
                                 {"m/version", "3\n", 2, false}};
    zip_entry deflated[5];
    for (size_t i = 0; i < 5; i++) {
        deflated[i] = entries[i];
        deflated[i].deflate = true;
    }
    seed("pth", make_zip(entries, 5));
    seed("pth", make_zip(deflated, 5));
    seed("pth", make_zip(entries + 1, 2));
    const zip_entry script[] = {entries[0], {"m/constants.pkl", "N.", 2, false}};
    seed("pth", make_zip(script, 2));
    free(pickle.data);
}

/* ---- What describes a model ------------------------------------------------------------------ */

static void seed_texts(void)
{
    config c;
    const char *name;
    for (size_t i = 0; (name = config_variant_name(i)); i++) {
        assert_true(config_variant(&c, name));
        char *text = config_to_json(&c);
        seed_text("config", text);
        free(text);
    }
    seed_text("config", seed_config);
    seed_text("config", "{\"dense\":true,\"fixed_pool_size\":7,\"pretrain_size\":null}");
    char *named = NULL;
    assert_true(asprintf(&named, "{\"name\":\"my-net_0.1\",%s", seed_config + 1) > 0);
    seed_text("config", named);
    free(named);
    seed_text("config", "{\"name\":\"my net\"}");
    seed_text("config", "{\"name\":7,\"dense\":[]}");
    seed_text("config", "{\"fixed_pool_size\":0}");
    seed_text("preprocess", "{}");
    seed_text("preprocess", "{\"crop_pct\":0.875,\"mean\":[0.485,0.456,0.406],\"std\":[0.229,0.224,0.225],"
                            "\"interpolation\":\"bilinear\"}");
    seed_text("preprocess", "{\"crop_pct\":4,\"interpolation\":\"bicubic\"}");
    seed_text("labels", "tench\ngoldfish, Carassius auratus\r\nT-shirt/top");
    seed_text("labels", "\xef\xbb\xbfn01440764\ttench\nn01443537\tz\xc3\xbcrich\n");
    seed_text("labels", "[\"n01440764\\ttench\",\"dress\",\"\\u00e9t\\u00e9\"]");
}

void seed_checkpoints(void)
{
    seed_safetensors();
    seed_indexes();
    seed_pickles();
    seed_zips();
    seed_texts();
}
