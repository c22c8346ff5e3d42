/* mohvit.h - classify images with MoH-ViT.
 *
 *     mohvit_model *model;
 *     mohvit_context *ctx;
 *     mohvit_error err;
 *     if (mohvit_open(&model, "moh_transnext_small_75.pth", NULL, &err) ||
 *         mohvit_context_create(&ctx, model, 1, 0, &err)) fatal(err.message);
 *     mohvit_prediction top[5];
 *     mohvit_classify_file(ctx, "cat.jpg", top, 5, &err);
 *
 * A model is immutable and may be shared by threads; a context belongs to one caller at a time. A forked
 * child may go on with both, provided that no other thread was inside a call when its parent forked. Every
 * call that can fail returns a status (0 is success) and, on failure, fills *err (which may be NULL) with a
 * message that says what, where, expected and found; on success *err is untouched. Nothing prints, nothing
 * exits. What a call is given it reads during the call only, unless it says otherwise.
 *
 * A struct whose first member is `size` may get more members in later versions, at its end. The caller sets
 * size, and zero is the default of everything else:
 *
 *     mohvit_options o = {.size = sizeof o, .precision = MOHVIT_PRECISION_BF16};
 *
 * So a program runs with a library that is older or newer than its header. Where the program is older, the
 * library takes for zero what the struct lacks, and writes nothing beyond size. Where the program is newer,
 * the library fills members that it does not know with zero, and takes them only if they are zero: else the
 * call fails with MOHVIT_ERROR_ARGUMENT, as it does where size was forgotten. Structs without size stay as
 * they are. Enums may get more values at their end.
 *
 * "spec 4" is section 4 of docs/specification.md, which is installed with the other documents. */
#ifndef MOHVIT_H
#define MOHVIT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define MOHVIT_API __attribute__((visibility("default")))
#else
#define MOHVIT_API
#endif

typedef struct mohvit_model mohvit_model;
typedef struct mohvit_context mohvit_context;

/* ---- Opening a model ------------------------------------------------------------------------- */

/* Whose matrix products. */
typedef enum mohvit_backend {
    MOHVIT_BACKEND_AUTO,   /* native where it is vectorised for the processor or alone, else OpenBLAS */
    MOHVIT_BACKEND_NATIVE, /* the library's own */
    MOHVIT_BACKEND_OPENBLAS
} mohvit_backend;

/* In what they compute. */
typedef enum mohvit_precision {
    MOHVIT_PRECISION_AUTO, /* F32 */
    MOHVIT_PRECISION_F32,
    MOHVIT_PRECISION_BF16, /* with float32 sums; native */
    MOHVIT_PRECISION_INT8, /* with int32 sums; native */
    MOHVIT_PRECISION_F16   /* half precision, with float32 sums of sums; native */
} mohvit_precision;

/* "auto", "native", "openblas"; "auto", "f32", "bf16", "int8", "f16". NULL for a value that is none: counting
 * from AUTO lists them. Constants. Thread-safe. */
MOHVIT_API const char *mohvit_backend_name(mohvit_backend backend);
MOHVIT_API const char *mohvit_precision_name(mohvit_precision precision);
/* And back; MOHVIT_ERROR_ARGUMENT lists the names. *backend, *precision are set on success alone.
 * Thread-safe. */
MOHVIT_API mohvit_status mohvit_backend_by_name(mohvit_backend *backend, const char *name, mohvit_error *err);
MOHVIT_API mohvit_status mohvit_precision_by_name(mohvit_precision *precision, const char *name,
                                                  mohvit_error *err);

/* All zero but size means: everything as the checkpoint says. */
typedef struct mohvit_options {
    size_t size; /* sizeof(mohvit_options) */
    /* Weight set of a .pth: "model", "model_ema", "state_dict", …; NULL: the first of these. Or what stands
     * before the tensors' names: "student", "state_dict.student"; NULL: what one set of tensors alone has;
     * "": nothing. */
    const char *key;
    const char *config;     /* path of a JSON config (spec 1) that replaces the checkpoint's own */
    const char *labels;     /* path of a label file: line i names class i; or imagenet_class_index.json */
    const char *preprocess; /* path of a JSON preprocess (spec 4) that replaces the checkpoint's whole */
    size_t img_size;        /* side of the square input in pixels; 0: the config's img_size */
    mohvit_backend backend;
    mohvit_precision precision;
    /* How many of the routed heads a token picks (top-k): NULL: as trained; "K" heads, or all of a block that
     * has fewer, or "P%" of them. An error for a model that routes none, and where no block has K. */
    const char *routed_heads;
    int threads; /* used while loading; 0: mohvit_default_threads() */
    /* Gets extra tensors, non-finite weights; may be NULL. Called by one thread at a time, any
     * of those that load. */
    void (*warn)(void *user, const char *message);
    /* Told how many of the model's parameters have been read; may be NULL. Called as warn is. */
    mohvit_progress *progress;
    void *user; /* handed to warn, progress and note */
    /* Told how the checkpoint was understood, where that had to be found out; may be NULL. Called as warn is.
     */
    void (*note)(void *user, const char *message);
    /* JSON texts in place of the files, of which messages speak as "config", "labels" and "preprocess"; NULL:
     * none. labels_json is an array of strings. What preprocess_json lacks is the checkpoint's. To give a
     * file and a text for the same is an error. */
    const char *config_json, *labels_json, *preprocess_json;
} mohvit_options;

/* Opens a checkpoint (.safetensors or .pth, told apart by content). path NULL opens the built-in model.
 * options may be NULL. *model is set on success alone and must be closed. All functions that make a model are
 * thread-safe. */
MOHVIT_API mohvit_status mohvit_open(mohvit_model **model, const char *path, const mohvit_options *options,
                                     mohvit_error *err);

/* The same from size bytes at data, which are copied as needed and may be freed afterwards. */
MOHVIT_API mohvit_status mohvit_open_memory(mohvit_model **model, const void *data, size_t size,
                                            const mohvit_options *options, mohvit_error *err);

/* A model with the deterministic test weights of spec 6, for tests and benchmarks without a download.
 * variant is a published name; options->config, where given, takes its place. */
MOHVIT_API mohvit_status mohvit_open_synthetic(mohvit_model **model, const char *variant, uint64_t seed,
                                               const mohvit_options *options, mohvit_error *err);

/* A model that differs from base in routed_heads alone (dropped heads stay dropped), written as in
 * mohvit_options (NULL: as base); it shares base's weights. *model is set on success alone and must be
 * closed; either may be closed first. */
MOHVIT_API mohvit_status mohvit_reroute(mohvit_model **model, const mohvit_model *base,
                                        const char *routed_heads, mohvit_error *err);

/* A model that differs from base in its dropped heads alone, and shares base's weights. The router chooses as
 * before, but the gate of a dropped head is 0 for every token, so that nothing of its output is left; in a
 * model that does not route, whose gates are 1, likewise. heads is a list whose items are separated by
 * blanks: heads of a block "4.0:r3,r5", of every block of a stage "4:s1", all of a block "4.0" or stage "4",
 * or "routed", "shared", also behind a place: "4.0:routed". s1 is the first shared head of a block, r1 the
 * first routed one; in a block that does not route all heads are shared ones. NULL: none, whatever base does.
 * With renormalise 1 each gate that a token has left is multiplied by Σ g / Σ g of those left, over all heads
 * of the block, shared and routed, so that they add up to what all did; where nothing is left, all are 0.
 * With 0 they stay.
 *
 * Its head tokens, and so the load, are those of the router's choice, dropped heads included; gates and their
 * sums are those that were used, 0 for a dropped head. It takes as long as base. Results say so:
 * mohvit_provenance_json has "dropped_heads" and "renormalise", and head loads of models that drop other
 * heads are not merged. MOHVIT_ERROR_ARGUMENT names the item that is wrong and what the block has. *model is
 * set on success alone and must be closed; either may be closed first. */
MOHVIT_API mohvit_status mohvit_drop_heads(mohvit_model **model, const mohvit_model *base, const char *heads,
                                           int renormalise, mohvit_error *err);

/* Frees a model; NULL is allowed. Every context of it must have been destroyed, and no other thread may use
 * it any more. */
MOHVIT_API void mohvit_close(mohvit_model *model);

typedef struct mohvit_info {
    size_t size;         /* sizeof(mohvit_info) */
    const char *variant; /* published name, or "custom"; owned by the library */
    size_t img_size;     /* side of the square input, pixels */
    size_t num_classes;
    size_t features;  /* length of mohvit_features: channels of the last stage */
    size_t blocks;    /* attention blocks over all four stages */
    size_t max_heads; /* heads of the widest block */
    size_t parameters;
    double gmacs;                /* 10^9 multiply-adds for one image with all heads */
    double gmacs_routed;         /* the same as this model performs them, unselected heads skipped */
    double active_heads_percent; /* spec 1, "Active heads" */
    /* How it computes; neither is AUTO. */
    mohvit_backend backend;
    mohvit_precision precision;
    const char *instruction_set; /* such as "avx512" */
    /* Every version of the matrix products that it takes, such as "bf16_widen_avx2, f32_avx2": two that round
     * differently have different names. */
    const char *kernels;
} mohvit_info;

/* Fills *info, whose size the caller has set. Strings are the model's and live as long as it. Fails for a
 * wrong size alone; thread-safe. */
MOHVIT_API mohvit_status mohvit_get_info(const mohvit_model *model, mohvit_info *info, mohvit_error *err);

/* An attention block, and how many of its heads work for a token. */
typedef struct mohvit_block {
    size_t size;         /* sizeof(mohvit_block) */
    const char *name;    /* for people: "4.2" is block 2 of stage 4; the model's, and lives as long as it */
    size_t stage, block; /* stage from 1, block in it from 0 */
    size_t tokens;       /* of one image */
    size_t heads;
    size_t shared; /* heads that are always on, the first ones; all of them where routed is 0 */
    size_t routed; /* top-k: how many of the others, the routed heads, each token selects */
} mohvit_block;

/* Fills *block, whose size the caller has set, with the block of that index over all stages, from 0: below
 * mohvit_info's blocks, or MOHVIT_ERROR_ARGUMENT. Thread-safe. */
MOHVIT_API mohvit_status mohvit_get_block(const mohvit_model *model, size_t index, mohvit_block *block,
                                          mohvit_error *err);

/* JSON texts that say what a model is. They are the model's and live as long as it. Thread-safe. */

/* What options->config reads: {"embed_dims": [...], "num_heads": [...], …, "num_classes", "img_size"}. */
MOHVIT_API const char *mohvit_config_json(const mohvit_model *model);
/* What options->preprocess and mohvit_set_preprocess read: {"mean": [3], "std": [3], "interpolation"} of red,
 * green, blue between 0 and 1, and "crop_pct": the shorter side becomes img_size / crop_pct, of which the
 * middle is taken. Without it that is 8/7 · img_size, and from 384 pixels on both sides become img_size. */
MOHVIT_API const char *mohvit_preprocess_json(const mohvit_model *model);
/* What its results depend on: {"version", "variant", "config", "active_heads_percent", "backend",
 * "precision", "instruction_set", "kernels", "weights_hash", "synthetic_seed", "dropped_heads",
 * "renormalise", "preprocess"}. Either of variant and config is left out where the other says everything, the
 * seed where the weights are not those of mohvit_open_synthetic, what is dropped where nothing is.
 * weights_hash is the XXH3-128 of the checkpoint as xxh128sum prints it, of an index with shards that of "cat
 * INDEX SHARD ...", sorted by name, or "synthetic:SEED". */
MOHVIT_API const char *mohvit_provenance_json(const mohvit_model *model);

/* Name of a class, in UTF-8, and its WordNet id or NULL; "" and NULL past num_classes. They are the model's
 * and live as long as it. Thread-safe. */
MOHVIT_API const char *mohvit_label(const mohvit_model *model, size_t class_index);
MOHVIT_API const char *mohvit_label_id(const mohvit_model *model, size_t class_index);

/* ---- Classifying ----------------------------------------------------------------------------- */

/* Threads that the affinity mask and the cgroup quota grant to this process, and no more than OpenMP would
 * take in the caller's place (OMP_NUM_THREADS, omp_set_num_threads); at least 1. Thread-safe. */
MOHVIT_API int mohvit_default_threads(void);

/* A context holds the scratch memory for `batch` images and uses `threads` threads (0: the default); the
 * caller's alone for a run of less than 100 million multiply-adds, which is not worth waking the others.
 * The answers for an image are bitwise the same in any slot, batch size and number of threads.
 * *ctx is set on success alone and must be destroyed, before its model is closed. batch: 1 to 4096.
 * One caller at a time, for this and all functions below; contexts of one model may run concurrently. */
MOHVIT_API mohvit_status mohvit_context_create(mohvit_context **ctx, const mohvit_model *model, size_t batch,
                                               int threads, mohvit_error *err);
/* Frees a context; NULL is allowed. */
MOHVIT_API void mohvit_context_destroy(mohvit_context *ctx);

/* Has later runs tell progress how many attention blocks are done, of those of all their images: 0 at the
 * beginning, after each block that the calling thread did, and all at the end. It is called by the thread
 * that called mohvit_run and by no other. Where as many images as threads or more run side by side, the other
 * threads' blocks are counted when it is next called. NULL: nothing is told, and that costs nothing. Neither
 * it nor a mohvit_trace may destroy its own context, nor load, run, record or set routed heads in it, which
 * is refused with MOHVIT_ERROR_ARGUMENT. The progress or trace that it sets holds for later runs. */
MOHVIT_API void mohvit_set_progress(mohvit_context *ctx, mohvit_progress *progress, void *user);

/* Sees what an attention block made of an image: x (tokens, channels) floats, the tokens that leave the
 * block, which are what the next one gets, before the norm at the end of a stage. Tokens go row by row over
 * the stage's square map; the scale is the network's own. block counts over all stages, as in
 * mohvit_get_block. x may be read until the function returns; 0 goes on, anything else cancels the run as a
 * mohvit_progress does, under the same rules. */
typedef int mohvit_trace(void *user, size_t slot, size_t block, const float *x, size_t tokens,
                         size_t channels);

/* Has later runs call trace after each block: block by block for slot 0, then for slot 1, … It is called by
 * the thread that called mohvit_run and by no other. Images no longer run side by side, but one by one over
 * all threads, which takes longer and changes no result. NULL: nothing is called, and that costs nothing. */
MOHVIT_API void mohvit_set_trace(mohvit_context *ctx, mohvit_trace *trace, void *user);

/* Has later runs pick another number of the routed heads, written as in mohvit_options; NULL: as the model
 * does. Slots keep their input, and results of the last run end. The answers are those of a model that
 * mohvit_reroute makes, but without another context. On failure all stays as it was. */
MOHVIT_API mohvit_status mohvit_set_routed_heads(mohvit_context *ctx, const char *routed_heads,
                                                 mohvit_error *err);
/* The model as the context computes it: its own, or after mohvit_set_routed_heads one that shares its
 * weights, for mohvit_get_info and whatever else is asked of a model. It lives until the next such call or
 * the context's end. */
MOHVIT_API const mohvit_model *mohvit_context_model(const mohvit_context *ctx);

/* record 1: later runs keep each gate for mohvit_gates, in memory that is allocated here: a float for each
 * token and head of every block and slot, 0.5 MiB a slot for moh_transnext_small_75 at 224 pixels. It changes
 * no other result. 0: they do not, as in a new context, and the memory is freed. */
MOHVIT_API mohvit_status mohvit_record_gates(mohvit_context *ctx, int record, mohvit_error *err);

/* The same of what leaves each block, for mohvit_outputs: a float for each token and channel of every block
 * and slot, 12 MiB a slot for moh_transnext_small_75 at 224 pixels. Unlike a trace it leaves images side by
 * side. */
MOHVIT_API mohvit_status mohvit_record_outputs(mohvit_context *ctx, int record, mohvit_error *err);

/* A prediction does not grow: what else is known of a class is asked by its index. */
typedef struct mohvit_prediction {
    size_t class_index;
    float probability; /* softmax over all classes, 0 … 1 */
    const char *label; /* as mohvit_label */
    const char *id;    /* as mohvit_label_id */
} mohvit_prediction;

/* Loads, runs and ranks one image; uses slot 0. top (k, the caller's) receives min(k, num_classes)
 * predictions, the most likely first, an exact tie to the lower class. Fails as mohvit_load_file, mohvit_run
 * and mohvit_top do. */
MOHVIT_API mohvit_status mohvit_classify_file(mohvit_context *ctx, const char *path, mohvit_prediction *top,
                                              size_t k, mohvit_error *err);
/* The same from size bytes of an encoded picture at data. */
MOHVIT_API mohvit_status mohvit_classify_memory(mohvit_context *ctx, const void *data, size_t size,
                                                mohvit_prediction *top, size_t k, mohvit_error *err);

/* The same in steps, for batches: fill slots 0 … n−1, run n of them, read the results of each slot. */

/* What a loader may accept, and how. Zero members take the defaults. */
typedef struct mohvit_image_options {
    size_t size;           /* sizeof(mohvit_image_options) */
    size_t max_file_bytes; /* default 256 MiB */
    size_t max_pixels; /* default 128 Mpx = 128 · 2^20; checked on the header, before anything is allocated */
    size_t exif_orientation; /* 1: turn the picture as its EXIF says; default 0, as the reference does */
} mohvit_image_options;

/* Applies to the mohvit_load_* calls that follow. NULL restores the defaults. Fails for a wrong size alone;
 * then the options stay. */
MOHVIT_API mohvit_status mohvit_set_image_options(mohvit_context *ctx, const mohvit_image_options *options,
                                                  mohvit_error *err);

/* Has the mohvit_load_* calls that follow preprocess as this JSON says (mohvit_preprocess_json), where
 * missing keys take the defaults of ImageNet. NULL: as the model does. On failure the preprocessing stays. */
MOHVIT_API mohvit_status mohvit_set_preprocess(mohvit_context *ctx, const char *json, mohvit_error *err);

/* JPEG, PNG, WebP (HEIC and AVIF, where built with libheif) by content; resized, cropped and normalised (spec
 * 4) into the slot. "-" is standard input. A slot is below the context's batch; where a load fails, what the
 * slot held is undefined. */
MOHVIT_API mohvit_status mohvit_load_file(mohvit_context *ctx, size_t slot, const char *path,
                                          mohvit_error *err);
/* The same from size bytes of an encoded picture at data. */
MOHVIT_API mohvit_status mohvit_load_memory(mohvit_context *ctx, size_t slot, const void *data, size_t size,
                                            mohvit_error *err);
/* rgb (height, width, 3) bytes, 0 … 255, rows `stride` ≥ 3 · width bytes apart: preprocessed like a decoded
 * picture. */
MOHVIT_API mohvit_status mohvit_load_rgb(mohvit_context *ctx, size_t slot, const uint8_t *rgb, size_t width,
                                         size_t height, size_t stride, mohvit_error *err);
/* tensor (3, img_size, img_size) floats, channels red, green, blue, already resized and normalised as the
 * model wants ((value / 255 − mean) / std): taken as it is. */
MOHVIT_API mohvit_status mohvit_load_tensor(mohvit_context *ctx, size_t slot, const float *tensor,
                                            mohvit_error *err);

/* Forward pass of slots 0 … n−1 (1 ≤ n ≤ batch). Allocates nothing. Slots keep their input, also when the run
 * was cancelled. */
MOHVIT_API mohvit_status mohvit_run(mohvit_context *ctx, size_t n, mohvit_error *err);

/* Results of a slot of the last run. They are the context's, and valid until its next run or its end. A slot
 * that was not in the last run, or whose run was cancelled, has none: the pointers are NULL, and the calls
 * that return a status fail with MOHVIT_ERROR_ARGUMENT. The arrays of slots 0 … n−1 lie one behind the other:
 * mohvit_logits(ctx, 0) is (n, num_classes), and so for the others that take a slot. */

/* (num_classes) floats: scores before softmax. */
MOHVIT_API const float *mohvit_logits(const mohvit_context *ctx, size_t slot);
/* (features) floats that the classifier scores: the mean over the normalised tokens of the last stage. */
MOHVIT_API const float *mohvit_features(const mohvit_context *ctx, size_t slot);
/* As mohvit_classify_file ranks them; MOHVIT_ERROR_NONFINITE if any logit is NaN or infinite. */
MOHVIT_API mohvit_status mohvit_top(const mohvit_context *ctx, size_t slot, mohvit_prediction *top, size_t k,
                                    mohvit_error *err);
/* (blocks, max_heads): tokens of this image that selected the head; −1 where a block has fewer heads. Heads
 * count from 0, the shared ones first; figures number the others from 1. */
MOHVIT_API const int32_t *mohvit_head_tokens(const mohvit_context *ctx, size_t slot);
/* (blocks, max_heads): the head's final gate, summed over the image's tokens; 0 where a block has fewer. */
MOHVIT_API const double *mohvit_head_gate_sum(const mohvit_context *ctx, size_t slot);
/* (tokens, heads) floats of that block (mohvit_get_block): the factor of the head's output for the token, 0
 * where the token did not select it. Tokens go row by row over the stage's square map. NULL also where the
 * run did not record gates, or past the last block. The blocks of a slot lie one behind the other. */
MOHVIT_API const float *mohvit_gates(const mohvit_context *ctx, size_t slot, size_t block);
/* (tokens, channels) floats: the tokens that leave that block, as a mohvit_trace sees them. *channels, unless
 * channels is NULL, is set with the result alone. NULL also where the run did not record outputs, or past
 * the last block. */
MOHVIT_API const float *mohvit_outputs(const mohvit_context *ctx, size_t slot, size_t block,
                                       size_t *channels);

/* ---- Head load ------------------------------------------------------------------------------- */

/* Which heads work for which class: exact counts over any number of images, the same to the last bit whatever
 * their order. For what the program's "headload" commands show. One caller at a time for each. */
typedef struct head_load mohvit_head_load;

/* Nothing counted yet. *load is set on success alone and must be destroyed. It does not need the model any
 * longer. */
MOHVIT_API mohvit_status mohvit_head_load_create(mohvit_head_load **load, const mohvit_model *model,
                                                 mohvit_error *err);
/* The same for a context whose preprocessing or image options are not those of a new one: it counts with what
 * the context has now. */
MOHVIT_API mohvit_status mohvit_head_load_create_of_context(mohvit_head_load **load,
                                                            const mohvit_context *ctx, mohvit_error *err);
/* What mohvit_head_load_save or the program has written, to be asked or counted on. */
MOHVIT_API mohvit_status mohvit_head_load_open(mohvit_head_load **load, const char *path, mohvit_error *err);
/* The same from the size bytes of such a file at data, which may be freed afterwards. */
MOHVIT_API mohvit_status mohvit_head_load_open_memory(mohvit_head_load **load, const void *data, size_t size,
                                                      mohvit_error *err);
/* Frees it; NULL is allowed. */
MOHVIT_API void mohvit_head_load_destroy(mohvit_head_load *load);

/* Adds an image of a class below num_classes: what a slot of the last run reports. MOHVIT_ERROR_MISMATCH
 * unless the context is of the same model and dropped heads, and was set to the same preprocessing and EXIF
 * orientation when that image was loaded. On failure nothing is added. */
MOHVIT_API mohvit_status mohvit_head_load_add(mohvit_head_load *load, const mohvit_context *ctx, size_t slot,
                                              size_t class_index, mohvit_error *err);

/* The same by numbers that were kept, or come from elsewhere: tokens and gate_sum (blocks, max_heads), as
 * mohvit_head_tokens and mohvit_head_gate_sum have them. MOHVIT_ERROR_FORMAT where they cannot be an image's
 * of this model: absent heads are −1, shared ones have all tokens, each token has its number of routed ones,
 * and gates are not negative, and 0 where no token selected the head.
 * On failure nothing is added. Which heads the same tokens selected is then no longer known: `headload relate
 * --heads` needs head loads that mohvit_head_load_add has counted. */
MOHVIT_API mohvit_status mohvit_head_load_add_image(mohvit_head_load *load, const int32_t *tokens,
                                                    const double *gate_sum, size_t class_index,
                                                    mohvit_error *err);

/* Adds what `from` has counted, which stays as it is. MOHVIT_ERROR_MISMATCH where it is of another model or
 * was counted otherwise: weights, preprocessing, EXIF orientation or precision, and unless allow_mixed
 * backend or instruction set, which round differently; and unless allow_mixed where one of them is a file of
 * 0.1, which has no sums of squares: the sum then has none, and no intervals. Which heads the same tokens
 * selected it knows where both do. MOHVIT_ERROR_ARGUMENT where
 * both have counted the same data, as the program's files tell. Then nothing is added; after another failure
 * `to` can only be destroyed.
 */
MOHVIT_API mohvit_status mohvit_head_load_merge(mohvit_head_load *to, const mohvit_head_load *from,
                                                int allow_mixed, mohvit_error *err);

typedef struct mohvit_head_load_info {
    size_t size; /* sizeof(mohvit_head_load_info) */
    size_t classes, blocks, max_heads;
    int64_t images; /* of all classes */
} mohvit_head_load_info;

/* Fills *info, whose size the caller has set. Fails for a wrong size alone. */
MOHVIT_API mohvit_status mohvit_head_load_get_info(const mohvit_head_load *load, mohvit_head_load_info *info,
                                                   mohvit_error *err);
/* As mohvit_get_block, mohvit_label and mohvit_label_id, of the model that was counted; strings are the head
 * load's and live as long as it. */
MOHVIT_API mohvit_status mohvit_head_load_get_block(const mohvit_head_load *load, size_t index,
                                                    mohvit_block *block, mohvit_error *err);
MOHVIT_API const char *mohvit_head_load_label(const mohvit_head_load *load, size_t class_index);
MOHVIT_API const char *mohvit_head_load_label_id(const mohvit_head_load *load, size_t class_index);

/* What was counted of a class, copied to the caller's arrays, each of which may be NULL: images (1), tokens
 * (blocks), active (blocks, max_heads), the tokens that selected each head or −1 where a block has fewer, and
 * gate_sum (blocks, max_heads), 0 there. A head's load is active / tokens. */
MOHVIT_API mohvit_status mohvit_head_load_of_class(const mohvit_head_load *load, size_t class_index,
                                                   int64_t *images, int64_t *tokens, int64_t *active,
                                                   double *gate_sum, mohvit_error *err);

/* Writes a safetensors file, whole or not at all; a file of that name is replaced. Tensors: images (classes),
 * tokens (classes, blocks), active (classes, blocks, max_heads), and of the same shape gate_sum,
 * active_squares and gate_squares (vit/headload/head_load.h). */
MOHVIT_API mohvit_status mohvit_head_load_save(const mohvit_head_load *load, const char *path,
                                               mohvit_error *err);
/* The same bytes in memory: *data, which the caller frees with free(), and *size are set on success alone. */
MOHVIT_API mohvit_status mohvit_head_load_save_memory(const mohvit_head_load *load, void **data, size_t *size,
                                                      mohvit_error *err);

/* Of the library, such as "0.1.0"; a constant. Thread-safe. */
MOHVIT_API const char *mohvit_version(void);

#ifdef __cplusplus
}
#endif
#endif
