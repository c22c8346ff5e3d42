/* calls.h - what the Python module asks of the library in one step, while the interpreter's lock is free:
 * images that are loaded, run and copied one after the other. Python that runs between two forward passes is
 * slow, since these have filled the caches with weights. cffi reads this header (make_binding.py). */
#include <stdint.h>

/* Whether a call goes on. */
typedef struct watch {
    const int *stop; /* nonzero: cancel the call; may be NULL */
    void *told;   /* handle of what wants to know the progress; NULL: nobody, signals alone are looked for */
    int64_t next; /* when to call Python again, ns */
} watch;

/* A mohvit_progress; of is a watch. */
int watch_progress(void *of, size_t done, size_t total);

typedef enum picture_kind { PICTURE_FILE, PICTURE_ENCODED, PICTURE_RGB, PICTURE_TENSOR } picture_kind;

/* What mohvit_load_file, _memory, _rgb or _tensor takes. */
typedef struct picture {
    int kind;
    const void *data;             /* a path, the bytes of a file, pixels or floats */
    size_t size;                  /* of the bytes of a file */
    size_t width, height, stride; /* of pixels */
} picture;

/* What a thread of Python works with. */
typedef struct call {
    mohvit_context *ctx;
    picture *pictures; /* that are to be run */
    /* Bytes of each array that the model answers for an image, in the order in which they are copied: doubles
     * first, which must be aligned. 0: not wanted. */
    size_t head_gate_sum, logits, features, head_tokens, gates, outputs;
    size_t at; /* the image that failed: its place among those of the call, after run_together that among the
                  pictures */
    mohvit_error err;
    watch watch;
} call;

/* Loads, runs and copies n images, one after the other, in slot 0. memory: array after array, each with room
 * for `images` images, of which these are at, at + 1, … An int that turns nonzero at `stop`, which may be
 * NULL, cancels the run. */
mohvit_status run_each(call *c, size_t n, char *memory, size_t images, size_t at, const int *stop);

/* Loads n images into as many slots, and runs them. */
mohvit_status run_together(call *c, size_t n);
