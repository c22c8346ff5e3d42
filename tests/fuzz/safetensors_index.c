/* The index of a sharded checkpoint. Beside it lie two shards of one tensor each, "a" and "b", and "c", which
 * is none. */
#include "tests/fuzz/fuzz.h"
#include "weights/checkpoint.h"
#include "weights/safetensors_index.h"
#include "weights/safetensors_writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/dev/shm/fuzz-XXXXXX", path[sizeof root + 8];

static const char *in_root(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static void leave(void)
{
    const char *const names[] = {"a", "b", "c", "index"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(in_root(names[i]));
    rmdir(root);
}

static void write_shard(const char *name, const char *tensor)
{
    const tensor_info info = {.name = tensor, .dtype = DTYPE_F32, .rank = 1, .shape = {2}, .elements = 2};
    const metadata_entry metadata = {"format", "pt"};
    safetensors_writer *w = NULL;
    mohvit_status status = safetensors_writer_create(&w, in_root(name), &info, 1, &metadata, 1, NULL);
    if (!status)
        status = safetensors_writer_add_f32(w, (float[]){1, 2}, NULL);
    fuzz_require(!safetensors_writer_finish(w, status, NULL), "no room for a shard");
}

static void write_file(const char *name, const uint8_t *data, size_t size)
{
    int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    fuzz_require(fd >= 0 && write(fd, data, size) == (ssize_t)size, "no room for a file");
    close(fd);
}

static void enter(void)
{
    fuzz_require(mkdtemp(root) && !atexit(leave), "no folder for temporary files");
    write_shard("a", "x");
    write_shard("b", "y");
    write_file("c", (const uint8_t *)"PK", 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool entered;
    checkpoint *cp;
    char **shards;
    size_t count;
    mohvit_error err;
    if (!entered)
        enter();
    entered = true;
    write_file("index", data, size);
    const char *index = in_root("index");
    if (!fuzz_checked(safetensors_index_shards(&shards, &count, index, &err), &err, index)) {
        for (size_t i = 0; i < count; i++) {
            fuzz_require(!strncmp(shards[i], root, sizeof root - 1) && !strchr(shards[i] + sizeof root, '/'),
                         "a shard that is not beside its index");
            free(shards[i]);
        }
        if (count)
            free(shards);
    }
    if (fuzz_checked(checkpoint_open(&cp, index, NULL, NULL, &err), &err, index))
        return 0;
    for (size_t i = 0; i < checkpoint_count(cp); i++) {
        const tensor_info *t = checkpoint_tensor(cp, i);
        float values[2] = {0};
        fuzz_require(t->elements == 2 && checkpoint_find(cp, t->name) == t, "a tensor that is in no shard");
        fuzz_checked(checkpoint_read_f32(cp, t, values, &err), &err, index);
        fuzz_require(values[0] == 1 && values[1] == 2, "other values");
    }
    checkpoint_close(cp);
    return 0;
}
